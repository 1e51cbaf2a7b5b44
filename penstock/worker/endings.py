"""What happens in the step that ends a job: its record, what it held is let go, what comes after it is told."""

from msgspec import structs

from penstock.core.effects import Arrival, Effects
from penstock.worker.envelope import Envelope
from penstock.worker.records import NOTHING, JobRecord, Status, cancel_key, job_key, to_record


def ending(
    job_id: str, envelope: Envelope | None, record: JobRecord, expires_at: int | None, *, was_known: bool
) -> Effects:
    """Return the effects of a job's end.

    Args:
        job_id: the job's id.
        envelope: what its message said, if it could be read.
        record: how it ended; a final status.
        expires_at: when the record is forgotten (ms since the epoch); ``None``: never. At once: none is kept.
        was_known: a record of it may be there from before.
    """
    is_kept = expires_at is None or record.finished_at is None or record.finished_at < expires_at
    records = (to_record(job_id, record, expires_at),) if is_kept else ()
    forgets: tuple[str, ...] = (job_key(job_id),) if was_known and not is_kept else ()
    if envelope is None:
        return Effects(records=records, forgets=forgets)
    arrivals: tuple[Arrival, ...] = ()
    if envelope.place is not None:
        has_succeeded = record.status is Status.SUCCEEDED
        arrivals = tuple(
            Arrival(dependent.join_id, job_id)
            for dependent in envelope.place.dependents
            if has_succeeded or dependent.despite_failure
        )
    forgets += envelope.holds
    if record.status is Status.CANCELLED:
        forgets += (cancel_key(job_id),)
    return Effects(records=records, arrivals=arrivals, forgets=forgets)


def cancelled(record: JobRecord, now: int) -> JobRecord:
    """Return the record of a job that was called off."""
    return structs.replace(record, status=Status.CANCELLED, finished_at=now, progress=None, checkpoint=NOTHING)
