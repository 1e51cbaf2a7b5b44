"""What a worker and a process of its own say to each other: JSON, each with its length in four bytes before it."""

import socket
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.worker.outcomes import Outcome
from penstock.worker.records import NOTHING, Progress

LENGTH_BYTES = 4


class Start(Struct, frozen=True, tag="start", omit_defaults=True):
    """To a process, first: which app. ``url`` and ``key``: where its jobs are, if not where it says."""

    app_path: str
    url: str | None = None
    key: str | None = None
    log_level: int = 0


class Run(Struct, frozen=True, tag="run", omit_defaults=True):
    """To a process: run this attempt. The attributes are those of its ``JobContext``."""

    job_id: str
    task: str
    queue: str
    attempt: int
    max_attempts: int
    args: Mapping[str, Raw]
    key: str | None = None
    sent_at: int = 0
    deadline_at: int | None = None
    workflow_id: str | None = None
    trace: Mapping[str, str] = {}
    checkpoint: Raw = NOTHING


class Stop(Struct, frozen=True, tag="stop"):
    """To a process: what runs is to end. ``reason``: name of the class of the interruption."""

    reason: str


class Ready(Struct, frozen=True, tag="ready"):
    """From a process: it has the app."""


class Broken(Struct, frozen=True, tag="broken"):
    """From a process: it could not get the app, and ends."""

    message: str


class Told(Struct, frozen=True, tag="told", omit_defaults=True):
    """From a process: what the task tells of itself."""

    progress: Progress | None = None
    checkpoint: Raw = NOTHING


class Logged(Struct, frozen=True, tag="logged"):
    """From a process: a record for the log."""

    logger: str
    level: int
    message: str
    created: float
    job_id: str | None
    task: str | None
    attempt: int | None
    exception: str | None = None


class Ended(Struct, frozen=True, tag="ended"):
    """From a process: the attempt has ended, and how."""

    outcome: Outcome


ToProcess = Start | Run | Stop
FromProcess = Ready | Broken | Told | Logged | Ended

_encoder = msgspec.json.Encoder()
_to_process = msgspec.json.Decoder(ToProcess)
_from_process = msgspec.json.Decoder(FromProcess)


def framed(said: Any) -> bytes:
    """Return what is said as bytes."""
    body = _encoder.encode(said)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def said_by_process(body: bytes) -> FromProcess:
    """Read what a process says."""
    said: FromProcess = _from_process.decode(body)
    return said


def read_from_worker(connection: socket.socket) -> ToProcess | None:
    """Wait for what the worker says next; ``None``: it is gone."""
    length = _exactly(connection, LENGTH_BYTES)
    body = length and _exactly(connection, int.from_bytes(length, "big"))
    if not body:
        return None
    said: ToProcess = _to_process.decode(body)
    return said


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        try:
            part = connection.recv(min(count - len(found), 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        found += part
    return bytes(found)
