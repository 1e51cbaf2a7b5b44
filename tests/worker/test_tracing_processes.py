"""Tracing of tasks in processes of their own: the trace goes on there, and nothing of it is lost when they end."""

import json
from pathlib import Path

import pytest

from penstock.worker import Tracing
from tests.worker import traced_tasks
from tests.worker.live import PATIENCE_SECONDS, at_work
from tests.worker.test_tracing import Spans

pytestmark = pytest.mark.xdist_group("processes")


async def test_the_trace_goes_on_in_the_process_and_is_whole_when_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "spans"
    monkeypatch.setenv("TRACED_SPANS", str(file))
    spans = Spans()
    monkeypatch.setattr(traced_tasks.app, "middleware", [Tracing(spans.provider)])
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with at_work(traced_tasks.app, url, app_path="tests.worker.traced_tasks:app", app_url=url):
        with spans.provider.get_tracer("test").start_as_current_span("request") as request:
            job = await traced_tasks.apart.asend()
        pid = await job.result(PATIENCE_SECONDS)
    (created,) = spans.named("create tests.worker.traced_tasks.apart")
    told = {span["name"]: span for span in map(json.loads, file.read_text().splitlines())}
    attempt, inside = told["process default"], told["inside"]
    assert {span["trace"] for span in told.values()} == {request.get_span_context().trace_id}
    assert (attempt["parent"], inside["parent"]) == (created.get_span_context().span_id, attempt["id"])
    assert (attempt["pid"], inside["pid"]) == (pid, pid)
