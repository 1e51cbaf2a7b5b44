"""Celery with its SQS transport: real worker processes, which the server must lose nothing of, however they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.clients.celery_app import celery_app
from tests.clients.served import PATIENCE_SECONDS, Served, serving, stop, until

pytestmark = pytest.mark.xdist_group("celery")

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = ("AKIACELERY", "celery/secret+key")
MODULE = "tests.clients.celery_tasks"


class Workers:
    """One Celery worker at a time, and the application that gives it work.

    Args:
        served: the server.
        folder: where tasks record what they did.
    """

    def __init__(self, served: Served, folder: Path) -> None:
        self._folder = folder
        host = served.url.removeprefix("http://")
        self._environment = {
            **served.environment,
            "BROKER_URL": f"sqs://{quote(KEY[0])}:{quote(KEY[1], safe='')}@{host}//",
            "RECORDS_FOLDER": str(folder),
        }
        self._app = celery_app(self._environment["BROKER_URL"])
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "worker.log"

    def send(self, task: str, *arguments: object, **options: Any) -> None:
        """Send a task as a web application would."""
        self._app.send_task(f"{MODULE}.{task}", arguments, **options)

    def run(self) -> None:
        """See to it that a worker runs and is ready."""
        if self._process is not None and self._process.poll() is None:
            return
        self._log.write_bytes(b"")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", MODULE, "worker", "--concurrency", "2", "--loglevel", "INFO"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, to be killed with all its children
            )
        until(lambda: b" ready." in self._log.read_bytes() or self._has_ended(), "the worker is ready")
        assert not self._has_ended(), self.log

    def kill(self) -> None:
        """End the worker with all its processes, with nothing they could do about it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE_SECONDS)

    def stop(self) -> int:
        """Ask the worker to stop; return its exit status."""
        if self._process is None:
            return 0
        return stop(self._process)

    @property
    def records(self) -> list[str]:
        """What the tasks recorded."""
        file = self._folder / "records"
        return file.read_text().splitlines() if file.exists() else []

    def forget(self) -> None:
        """Begin with no records."""
        (self._folder / "records").unlink(missing_ok=True)

    def open_gate(self) -> None:
        """Let ``waits_for_the_gate`` pass."""
        (self._folder / "gate").touch()

    def close(self) -> None:
        """End everything."""
        self.stop()
        self._app.close()

    @property
    def log(self) -> str:
        """What the worker wrote."""
        return self._log.read_text(errors="replace")

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("server"), key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def all_workers(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    workers = Workers(served, tmp_path_factory.mktemp("workers"))
    try:
        yield workers
    finally:
        workers.close()


@pytest.fixture
def workers(all_workers: Workers) -> Workers:
    all_workers.forget()
    all_workers.run()
    return all_workers


@pytest.fixture
def count_left(served: Served) -> Callable[[], int]:
    """How many messages the queue of the tasks holds, in whatever state."""
    return lambda: served.message_count("celery-tasks")


def test_tasks_run_once_each_and_are_deleted(workers: Workers, count_left: Callable[[], int]) -> None:
    for number in range(20):
        workers.send("add", number, 1)
    until(lambda: len(workers.records) == 20, "all have run")
    until(lambda: count_left() == 0, "all are deleted")
    assert sorted(workers.records) == sorted(f"sum {number + 1}" for number in range(20))


def test_a_task_that_fails_is_retried_until_it_succeeds(workers: Workers, count_left: Callable[[], int]) -> None:
    workers.send("unreliable")
    until(lambda: len(workers.records) == 3, "the third attempt")
    until(lambda: count_left() == 0, "nothing is left")
    assert workers.records == ["attempt 0", "attempt 1", "attempt 2"]


def test_a_countdown_keeps_a_task_back(workers: Workers, count_left: Callable[[], int]) -> None:
    began = time.monotonic()
    workers.send("add", 1, 1, countdown=1)
    until(lambda: workers.records, "it has run")
    assert time.monotonic() - began >= 1
    until(lambda: count_left() == 0, "it is deleted")
    assert workers.records == ["sum 2"]


def test_a_task_of_a_killed_worker_is_run_by_another(workers: Workers, count_left: Callable[[], int]) -> None:
    workers.send("waits_for_the_gate")
    until(lambda: workers.records == ["started"], "the first worker has it")
    workers.kill()
    assert count_left() == 1
    workers.open_gate()
    workers.run()
    until(lambda: len(workers.records) == 3, "the second worker has run it")
    assert workers.records == ["started", "started", "finished"]
    until(lambda: count_left() == 0, "it is deleted")


def test_a_worker_asked_to_stop_finishes_what_it_runs(workers: Workers, count_left: Callable[[], int]) -> None:
    workers.send("takes_a_moment")
    until(lambda: workers.records == ["begun"], "it runs")
    assert workers.stop() == 0, workers.log
    assert workers.records == ["begun", "ended"]
    assert count_left() == 0
    assert "Traceback" not in workers.log
