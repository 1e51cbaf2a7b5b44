"""A job's status, derived from its message and its record; nothing else keeps it."""

from collections.abc import Sequence

from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.messages import MessageView, State
from penstock.core.operations import Find, GetRecords
from penstock.worker.records import FINAL, JobRecord, Status, from_record, job_key

AT_ONCE = 1000
"""How many jobs one operation looks up."""


class JobView(Struct, frozen=True):
    """What is known of a job.

    Attributes:
        job_id: its id.
        status: where it is in its life.
        message: its message, while it is kept.
        record: what was written down of it.
    """

    job_id: str
    status: Status
    message: MessageView | None = None
    record: JobRecord | None = None


async def look(broker: Broker, job_ids: Sequence[str]) -> list[JobView]:
    """Return what is known of some jobs, in the same order."""
    views = []
    for start in range(0, len(job_ids), AT_ONCE):
        some = tuple(job_ids[start : start + AT_ONCE])
        messages = (await broker.perform(Find(some))).messages
        # records second: a job that ends in between is seen as ended
        records = (await broker.perform(GetRecords(tuple(map(job_key, some))))).records
        for job_id, message, kept in zip(some, messages, records, strict=True):
            record = from_record(kept)
            views.append(JobView(job_id, derive(message, record), message, record))
    return views


def derive(message: MessageView | None, record: JobRecord | None) -> Status:
    """Return the status of a job with this message and this record."""
    if record is not None and record.status in (Status.SUCCEEDED, Status.CANCELLED):
        return record.status
    if message is None:
        return record.status if record is not None and record.status in FINAL else Status.UNKNOWN
    if message.dead_letter_source is not None or is_blocking(message, record):
        return Status.FAILED
    match message.state:
        case State.BLOCKED:
            return Status.BLOCKED
        case State.IN_FLIGHT:
            return Status.RUNNING
        case State.DELAYED:
            return Status.RETRYING if message.receive_count else Status.DELAYED
        case State.READY:
            return Status.RETRYING if message.receive_count else Status.WAITING


def is_blocking(message: MessageView | None, record: JobRecord | None) -> bool:
    """Return whether a job has failed and stays at the head of its ordered key, which it blocks until resumed."""
    return (
        message is not None
        and record is not None
        and record.status is Status.FAILED
        and message.dead_letter_source is None
        and message.state in (State.READY, State.DELAYED)
        # handed out since then, or sent anew, it is another attempt's turn
        and message.receive_count == record.receive_count
    )
