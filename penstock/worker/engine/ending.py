"""After a job ran: the settlement that its outcome asks for."""

from msgspec import structs

from penstock.core.effects import NO_EFFECTS, Effects, Record
from penstock.core.settlements import DELETE, Action, DeadLetter, GiveBack, Settlement
from penstock.worker.endings import ending
from penstock.worker.engine.held import Held
from penstock.worker.outcomes import Deferred, Done, Failed, Outcome, RetryLater, Stopped, Unfinished
from penstock.worker.records import NOTHING, Failure, JobRecord, Status, to_record

UNFINISHED_KEPT_MS = 7 * 86_400_000
"""How long it is known how far a job was that goes on elsewhere."""

MOST_REASON_CHARACTERS = 500


def settlement_of(held: Held, outcome: Outcome, now: int, *, worker: str, keep_ms: int) -> Settlement:
    """Return how a delivery is settled.

    Args:
        held: the job.
        outcome: how its attempt ended.
        now: ms since the epoch.
        worker: who ran it.
        keep_ms: how long its end is known.
    """
    was_known = held.delivery.receive_count > 1 or held.progress is not None or bool(held.checkpoint)
    parks = False
    action: Action = DELETE
    effects = NO_EFFECTS

    def record_until(expires_at: int | None) -> Record:
        return to_record(held.job_id, _record(held, outcome, now, worker), expires_at)

    match outcome:
        case Done() | Stopped():
            status = Status.SUCCEEDED if isinstance(outcome, Done) else Status.CANCELLED
            kept = record_until(now + keep_ms) if keep_ms else None
            effects = ending(held.job_id, held.envelope, status, kept, was_known=was_known)
        case RetryLater():
            action = GiveBack(outcome.after_seconds, is_counted=True)
            effects = Effects(records=(record_until(None),))
        case Deferred():
            action = GiveBack(outcome.after_seconds)
        case Unfinished():
            action = GiveBack()
            if held.progress is not None or held.checkpoint:
                effects = Effects(records=(record_until(now + UNFINISHED_KEPT_MS),))
        case Failed():
            on_failure = held.task.options.on_failure if held.task is not None else "skip"
            parks = on_failure != "skip" and held.delivery.group_id is not None
            if parks and on_failure == "block":
                action = GiveBack(is_counted=True)
                effects = Effects(records=(record_until(None),))
            else:
                action = DeadLetter(str(outcome.failure)[:MOST_REASON_CHARACTERS])
                # as long as the dead letter is kept, it is known why it is one
                effects = ending(held.job_id, held.envelope, Status.FAILED, record_until(None), was_known=was_known)
    return Settlement(
        held.queue, held.delivery.receipt_handle, action, is_fenced=True, parks_group=parks, effects=effects
    )


def _record(held: Held, outcome: Outcome, now: int, worker: str) -> JobRecord:
    before = held.record
    received = held.delivery.receive_count
    record = JobRecord(
        held.envelope.task if held.envelope is not None else "",
        held.queue,
        Status.SUCCEEDED,
        held.attempt,
        received,
        held.started_at,
        now,
        worker,
        outcome.result if isinstance(outcome, Done) else NOTHING,
        workflow_id=held.envelope.place.workflow_id if held.envelope is not None and held.envelope.place else None,
    )
    match outcome:
        case Done():
            return record
        case Stopped():
            return structs.replace(record, status=Status.CANCELLED, failure=outcome.failure)
        case RetryLater():
            return _unended(record, held, before, Status.RETRYING, held.attempt, received, outcome.failure)
        case Unfinished() | Deferred():
            failure = before.failure if before is not None else None
            return _unended(record, held, before, Status.RETRYING, held.attempt - 1, received - 1, failure)
        case Failed():
            progress = held.progress or (before.progress if before is not None else None)
            return structs.replace(record, status=Status.FAILED, failure=outcome.failure, progress=progress)


def _unended(
    record: JobRecord,
    held: Held,
    before: JobRecord | None,
    status: Status,
    attempts: int,
    receive_count: int,
    failure: Failure | None,
) -> JobRecord:
    return structs.replace(
        record,
        status=status,
        attempts=attempts,
        receive_count=receive_count,
        finished_at=None,
        failure=failure,
        progress=held.progress or (before.progress if before is not None else None),
        checkpoint=held.checkpoint or (before.checkpoint if before is not None else NOTHING),
    )
