"""The AWS SDK for JavaScript and sqs-consumer. The scenarios are in js/, each line of output is one that held."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.clients.served import PATIENCE_SECONDS, Served, until_it_waits

Named = Callable[[str], str]
FOLDER = Path(__file__).with_name("js")


def test_the_aws_sdk_for_javascript_works(served: Served, named: Named) -> None:
    assert run("sdk.mjs", served, named("js")) == [
        "ok a batch of ten is sent, received and deleted",
        "ok errors are typed",
        "ok visibility, tags, purge and paging",
        "ok FIFO: order, repetition and dead letters with redrive",
        "ok a poll that is aborted takes no message",
    ]


def test_sqs_consumer_works(served: Served, named: Named) -> None:
    assert run("consumer.mjs", served, named("js")) == [
        "ok messages are handled one by one and deleted",
        "ok batches are handled and deleted together",
        "ok a message whose handler fails comes again at once, and its lease is kept by heartbeats",
        "ok a consumer stopped in mid-poll takes no message",
    ]


def run(script: str, served: Served, prefix: str) -> list[str]:
    """Return the scenarios that held. Where a script says ``polling``, it is told when the server holds its poll."""
    node = Path(sys.executable).with_name("node")
    assert (FOLDER / "node_modules").exists(), "no JavaScript packages: run make setup-test"
    before = served.waiting_count()
    process = subprocess.Popen(
        [node, FOLDER / script],
        env={**served.environment, "QUEUE_PREFIX": prefix, "NODE_NO_WARNINGS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    alarm = threading.Timer(PATIENCE_SECONDS, process.kill)
    alarm.start()
    lines = []
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            if line == "polling\n":
                until_it_waits(served, before)
                process.stdin.write("\n")
                process.stdin.flush()
            else:
                lines.append(line.rstrip("\n"))
    finally:
        # its output has ended: it has too, or is about to unless something failed here and not there
        if sys.exc_info()[0] is not None:
            process.kill()
        _, errors = process.communicate()
        alarm.cancel()
    assert process.returncode == 0, errors
    return lines
