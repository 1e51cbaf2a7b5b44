"""Dramatiq with its SQS broker: a real worker process; its dead letters are put away by the client."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.served import Served, stop, until

pytestmark = pytest.mark.xdist_group("dramatiq")

ROOT = Path(__file__).resolve().parent.parent.parent
MODULE = "tests.clients.dramatiq_actors"


@pytest.fixture(scope="module")
def environment(served_with_keys: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**served_with_keys.environment, "RECORDS_FOLDER": str(tmp_path_factory.mktemp("dramatiq"))}


@pytest.fixture(scope="module")
def records(environment: dict[str, str]) -> Callable[[], list[str]]:
    """What the actors recorded."""
    file = Path(environment["RECORDS_FOLDER"], "records")
    return lambda: file.read_text().splitlines() if file.exists() else []


@pytest.fixture(scope="module")
def actors(environment: dict[str, str]) -> Iterator[Any]:
    """The module of the actors, as a web application imports it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name not in environment:
                patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        from tests.clients import dramatiq_actors

        yield dramatiq_actors
        dramatiq_actors.broker.sqs.meta.client.close()


@pytest.fixture(scope="module")
def worker(environment: dict[str, str], actors: Any) -> "Iterator[subprocess.Popen[bytes]]":
    # with two worker processes Dramatiq would keep one core busy starting
    with Path(environment["RECORDS_FOLDER"], "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dramatiq", MODULE, "--processes", "1", "--threads", "2"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    yield process
    stop(process)


@pytest.mark.usefixtures("worker")
def test_messages_are_acted_on_retried_and_put_away(
    actors: Any, records: Callable[[], list[str]], served_with_keys: Served
) -> None:
    for number in range(10):
        actors.add.send(number, 1)
    actors.add.send_with_options(args=(100, 1), delay=1000)
    actors.unreliable.send()
    until(lambda: len(records()) == 13, "all have run")
    until(lambda: served_with_keys.message_count("dramatiq_work") == 0, "nothing is left")
    expected = ["attempt", "attempt", *(f"sum {number + 1}" for number in (*range(10), 100))]
    assert sorted(records()) == sorted(expected)
    until(lambda: served_with_keys.message_count("dramatiq_work_dlq") == 1, "what failed for good is put away")


def test_a_worker_asked_to_stop_ends_well(worker: "subprocess.Popen[bytes]") -> None:
    assert stop(worker) == 0
