"""Tasks as people write them; their workers are started by the test. Results go to a file, a line each."""

import os
import threading
from pathlib import Path

from celery import Task

from tests.clients.celery_app import celery_app

app = celery_app(os.environ["BROKER_URL"])
FOLDER = Path(os.environ["RECORDS_FOLDER"])


def record(*words: object) -> None:
    """Write a line that survives the process."""
    with (FOLDER / "records").open("ab", buffering=0) as file:
        file.write(" ".join(str(word) for word in words).encode() + b"\n")


@app.task  # type: ignore[untyped-decorator]
def add(one: int, other: int) -> None:
    record("sum", one + other)


@app.task(bind=True, max_retries=3)  # type: ignore[untyped-decorator]
def unreliable(self: "Task") -> None:
    record("attempt", self.request.retries)
    if self.request.retries < 2:
        raise self.retry(countdown=0, exc=ConnectionError("not yet"))


@app.task(acks_late=True)  # type: ignore[untyped-decorator]
def waits_for_the_gate() -> None:
    record("started")
    if not (FOLDER / "gate").exists():
        threading.Event().wait(60)
    record("finished")


@app.task(acks_late=True)  # type: ignore[untyped-decorator]
def takes_a_moment() -> None:
    record("begun")
    threading.Event().wait(0.5)
    record("ended")
