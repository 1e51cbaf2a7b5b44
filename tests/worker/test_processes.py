"""Tasks in processes of their own: they run like all others, and exactly the one that must end is ended."""

import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import astuple

from penstock.core.operations import FindRecords
from penstock.worker import App, AsyncJob, JobCancelled, JobFailed
from penstock.worker.engine.machine import start_of
from penstock.worker.engine.worker import Worker
from penstock.worker.job_logs import LogRecord, log_prefix
from penstock.worker.outcomes import Backoff
from penstock.worker.records import JobRecord, Progress
from penstock.worker.status import JobView
from tests.worker import process_tasks
from tests.worker.live import PATIENCE_SECONDS, at_work, nowhere, until

APP = "tests.worker.process_tasks:app"
pytestmark = pytest.mark.xdist_group("processes")


async def first_record(job: AsyncJob[Any]) -> JobRecord:
    """Return what is first written down of a job."""
    view = await until(lambda: told(job))
    assert view.record is not None
    return view.record


async def told(job: AsyncJob[Any]) -> JobView | None:
    view = await job.look()
    return view if view.record is not None else None


def is_alive(pid: int) -> bool:
    return start_of(pid) is not None


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with at_work(process_tasks.app, url, app_path=APP, app_url=url) as worker:
        yield worker


async def test_jobs_run_in_other_processes_that_are_used_again(worker: Worker) -> None:
    seen = set()
    for task in (process_tasks.where, process_tasks.where_async):
        value, pid = await (await task.asend(5)).result(PATIENCE_SECONDS)
        assert value == 5
        assert pid != os.getpid()
        seen.add(pid)
    assert len(seen) == 1


async def test_a_task_in_a_process_can_send_jobs_and_wait_for_them(worker: Worker) -> None:
    for task in (process_tasks.sends_another, process_tasks.sends_another_async):
        assert await (await task.asend(2)).result(PATIENCE_SECONDS) == 3


async def test_what_is_logged_in_a_process_is_kept_with_its_job(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with at_work(process_tasks.app, url, app_path=APP, app_url=url, job_log_level=logging.WARNING):
        job = await process_tasks.logs.asend("so it is")
        await job.result(PATIENCE_SECONDS)
        (kept,) = (await process_tasks.app.portal.arun(lambda b: b.perform(FindRecords(log_prefix(job.id))))).records
    ((line,), _) = astuple(msgspec.json.decode(kept.value, type=LogRecord))
    assert (line.level, line.logger, line.text) == ("WARNING", "shop", "in a process: so it is")


async def test_a_process_that_dies_fails_the_attempt_and_says_how(worker: Worker) -> None:
    for how, said in {
        "exit": "ended by itself with exit status 7",
        "segmentation fault": "died of SIGSEGV",
        "out of memory": "died of SIGKILL",
        "SystemExit": "SystemExit: 3",
    }.items():
        job = await process_tasks.dies.asend(how)
        with pytest.raises(JobFailed, match=said):
            await job.result(PATIENCE_SECONDS)
        record = (await job.look()).record
        assert record is not None
        assert record.attempts == 1
    assert (await (await process_tasks.where.asend(1)).result(PATIENCE_SECONDS))[0] == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is watched through /proc")
async def test_a_job_that_uses_too_much_memory_is_killed(worker: Worker) -> None:
    with pytest.raises(JobFailed, match=r"MemoryLimitExceeded: it used 1\d\d MiB, and 100 are allowed"):
        await (await process_tasks.grows.asend()).result(PATIENCE_SECONDS)


async def test_a_job_that_takes_too_long_is_ended(worker: Worker) -> None:
    for task in (process_tasks.too_long, process_tasks.too_long_async):
        with pytest.raises(JobFailed, match=r"TimeLimitExceeded: it took longer than 0.2 s"):
            await (await task.asend()).result(PATIENCE_SECONDS)


async def test_exactly_the_job_that_is_cancelled_is_killed(worker: Worker, tmp_path: Path) -> None:
    jobs = [await process_tasks.sleeps.asend(str(tmp_path / name)) for name in ("one", "other")]
    await until(lambda: all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in ("one", "other")))
    pids = [int((tmp_path / name).read_text()) for name in ("one", "other")]
    assert await jobs[0].cancel()
    with pytest.raises(JobCancelled):
        await jobs[0].result(PATIENCE_SECONDS)
    await until(lambda: not is_alive(pids[0]))
    assert is_alive(pids[1])


async def test_a_second_attempt_finds_what_the_first_one_told(worker: Worker) -> None:
    job = await process_tasks.goes_on_where_it_was.asend()
    assert (await first_record(job)).progress == Progress(1, 2, "so far")
    assert await job.result(PATIENCE_SECONDS) == [1, 2]


async def test_without_knowing_its_module_a_worker_says_what_to_do() -> None:
    app = App(nowhere)

    @app.task(runs_in="process", max_attempts=1, backoff=Backoff(0.01))
    def work() -> None: ...

    async with at_work(app):
        job = await work.asend()
        record = await first_record(job)
        assert record.failure is not None
        assert "penstock work module:app" in record.failure.message
