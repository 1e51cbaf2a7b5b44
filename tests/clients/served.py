"""A real `penstock serve` on its durable default store, as people start it, for clients in this and other processes."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3

PATIENCE_SECONDS = 30
REGION = "eu-central-1"
ANYBODY = ("any-key", "any-secret")

_WAITING = "penstock_waiting_receives "
_COUNTS = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes:
        url: the endpoint that clients are given.
        key: access key id and secret that clients are given; without keys on the server, any.
    """

    url: str
    key: tuple[str, str] = ANYBODY

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a client process: this process's, without what concerns AWS, and with endpoint and keys."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PENSTOCK_"))},
            "AWS_ENDPOINT_URL_SQS": self.url,
            "AWS_ACCESS_KEY_ID": self.key[0],
            "AWS_SECRET_ACCESS_KEY": self.key[1],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def arguments(self) -> dict[str, str]:
        """Return what boto3 and its relatives are given."""
        return {
            "endpoint_url": self.url,
            "aws_access_key_id": self.key[0],
            "aws_secret_access_key": self.key[1],
            "region_name": REGION,
        }

    def message_count(self, queue: str) -> int:
        """Return how many messages a queue holds, in whatever state."""
        client = boto3.client("sqs", **self.arguments())
        url = client.get_queue_url(QueueName=queue)["QueueUrl"]
        found = client.get_queue_attributes(QueueUrl=url, AttributeNames=_COUNTS)["Attributes"]
        client.close()
        return sum(int(found[name]) for name in _COUNTS)

    def waiting_count(self) -> int:
        """Return how many long polls the server holds."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=PATIENCE_SECONDS) as answer:
            lines = answer.read().decode().splitlines()
        (line,) = (line for line in lines if line.startswith(_WAITING))
        return int(float(line.removeprefix(_WAITING)))


@contextlib.contextmanager
def serving(folder: Path, *flags: str, key: tuple[str, str] | None = None, **environment: str) -> Iterator[Served]:
    """Run a server of its own.

    Args:
        folder: where it keeps its data and its log.
        flags: of ``penstock serve``; without ``--port`` and ``PORT`` the port is a free one.
        key: the only access key that it takes; ``None``: everybody may call.
        environment: further variables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if "PORT" not in environment:
        flags = ("--port", "0", *flags)
    if key is not None:
        environment["PENSTOCK_KEYS"] = ":".join(key)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_") and name != "PORT"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("penstock"), "serve", "--log-format", "json", *flags],
            cwd=folder,
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            assert process.stdout is not None
            said = _line_of(process)
            assert said, f"did not start:\n{(folder / 'server.log').read_text()}"
            yield Served(json.loads(said)["url"], key or ANYBODY)
        finally:
            stop(process)


def until_it_waits(served: Served, before: int) -> None:
    """Return when a server holds more long polls than before."""
    until(lambda: served.waiting_count() > before, "the poll is at the server")


def stop(process: "subprocess.Popen[bytes]") -> int:
    """Ask a process to stop, or end it where it does not; return its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(PATIENCE_SECONDS)
    finally:
        if process.stdout is not None:
            process.stdout.close()


def until(holds: Callable[[], object], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Return when something holds that another process brings about; it is looked at 50 times a second.

    Raises:
        AssertionError: it did not hold in time.
    """
    pause = threading.Event()
    for _ in range(int(seconds * 50)):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def _line_of(process: "subprocess.Popen[bytes]") -> bytes:
    """Return the first line a process writes, or nothing where it ends or is silent for too long."""
    assert process.stdout is not None
    alarm = threading.Timer(PATIENCE_SECONDS, process.kill)
    alarm.start()
    try:
        return process.stdout.readline()
    finally:
        alarm.cancel()
