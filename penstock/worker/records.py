"""What is kept of a job beside its message: how its attempts went, how far it is, and how it ended.

A job that waits or runs for the first time needs no record; its state is derived from the message.
"""

from enum import StrEnum

import msgspec
from msgspec import Raw, Struct

from penstock.core.effects import Record

JOB_PREFIX = "job/"
CANCEL_PREFIX = "cancel/"
NOTHING = Raw()
"""No JSON at all, not even null."""


class Status(StrEnum):
    """Where a job is in its life.

    waiting: it may start when a slot is free. delayed: not before its time. blocked: other jobs come first.
    running: a worker holds it. retrying: an attempt failed, and the next is to come. The other three are final:
    succeeded; failed: no attempt is left, it is among the dead letters; cancelled: somebody called it off, or what it
    needed failed. ``unknown``: there never was such a job, or what was known of it has expired.
    """

    WAITING = "waiting"
    DELAYED = "delayed"
    BLOCKED = "blocked"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})


class Failure(Struct, frozen=True, omit_defaults=True):
    """Why an attempt did not succeed.

    Attributes:
        kind: name of the exception's class.
        message: what it said.
        traceback: where it happened, as Python prints it.
    """

    kind: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


class Progress(Struct, frozen=True, omit_defaults=True):
    """How far a job is: ``done`` of ``total`` (any unit, ``None``: not known), and a word about it."""

    done: float
    total: float | None = None
    note: str = ""


class JobRecord(Struct, frozen=True, omit_defaults=True):
    """Kept under ``job/<id>``. Instants are ms since the epoch.

    Attributes:
        task: name of the task.
        queue: where its message is or was.
        status: how it ended, or ``RETRYING`` or ``RUNNING`` when written before the end.
        attempts: how many attempts have ended, by success or failure.
        receive_count: of the message when this was written; what was handed out since then and not written down
            here was lost with its worker.
        started_at: when the latest attempt started.
        finished_at: when the job ended.
        worker: who ran the latest attempt.
        result: what it returned, as JSON.
        failure: why the latest attempt failed.
        progress: as the task tells it.
        checkpoint: what the task wants to find again at its next attempt, as JSON.
        workflow_id: the workflow it belongs to.
        trial: the latest delivery, by its receive count, in which it ran with no other job that had lost its workers.
    """

    task: str
    queue: str = ""
    status: Status = Status.RUNNING
    attempts: int = 0
    receive_count: int = 0
    started_at: int = 0
    finished_at: int | None = None
    worker: str = ""
    result: Raw = NOTHING
    failure: Failure | None = None
    progress: Progress | None = None
    checkpoint: Raw = NOTHING
    workflow_id: str | None = None
    trial: int = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(JobRecord)


def job_key(job_id: str) -> str:
    """Return the key of a job's record."""
    return JOB_PREFIX + job_id


def cancel_key(job_id: str) -> str:
    """Return the key of the mark that asks a worker to stop running a job."""
    return CANCEL_PREFIX + job_id


def to_record(job_id: str, job: JobRecord, expires_at: int | None) -> Record:
    """Return what the store keeps; it is found by task and by status."""
    tags = {"task": job.task, "status": job.status.value}
    if job.workflow_id is not None:
        tags["workflow"] = job.workflow_id
    return Record(job_key(job_id), _encoder.encode(job), tags, expires_at)


def from_record(record: Record | None) -> JobRecord | None:
    """Return what a record says; ``None`` where there is none."""
    return None if record is None else _decoder.decode(record.value)
