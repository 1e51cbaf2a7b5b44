"""What happens in the step that ends a job: its record, what it held is let go, what comes after it is told."""

from msgspec import structs

from penstock.core.effects import NO_EFFECTS, Arrival, Effects, Record
from penstock.worker.envelope import Envelope
from penstock.worker.records import NOTHING, JobRecord, Status, cancel_key, job_key


def ending(
    job_id: str, envelope: Envelope | None, status: Status, record: Record | None, *, was_known: bool
) -> Effects:
    """Return the effects of a job's end.

    Args:
        job_id: the job's id.
        envelope: what its message said, if it could be read.
        status: how it ended.
        record: what is kept of that, if anything is.
        was_known: a record of it may be there from before.
    """
    records = () if record is None else (record,)
    forgets: tuple[str, ...] = (job_key(job_id),) if was_known and record is None else ()
    arrivals: tuple[Arrival, ...] = ()
    if envelope is not None and envelope.place is not None:
        has_succeeded = status is Status.SUCCEEDED
        arrivals = tuple(
            Arrival(dependent.join_id, job_id)
            for dependent in envelope.place.dependents
            if has_succeeded or dependent.despite_failure
        )
    if envelope is not None:
        forgets += envelope.holds
    if status is Status.CANCELLED:
        forgets += (cancel_key(job_id),)
    if not (records or arrivals or forgets):
        return NO_EFFECTS
    return Effects(records=records, arrivals=arrivals, forgets=forgets)


def cancelled(record: JobRecord, now: int) -> JobRecord:
    """Return the record of a job that was called off."""
    return structs.replace(record, status=Status.CANCELLED, finished_at=now, progress=None, checkpoint=NOTHING)
