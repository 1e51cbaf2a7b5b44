"""DeleteMessage, ChangeMessageVisibility and their batches."""

from collections.abc import Callable, Sequence

from penstock.core.operations import Settle, SettleReply
from penstock.core.settlements import ChangeVisibility, Settled, Settlement, SettleOutcome
from penstock.wire.http import Call, Step
from penstock.wire.sqs.batches import check_entries, failed_entry
from penstock.wire.sqs.cancelling import Errors, cancelled, is_cancel, is_reschedule, rescheduled
from penstock.wire.sqs.errors import SqsError, handle_is_invalid, invalid, missing, no_such_queue, of_problem
from penstock.wire.sqs.exchange import Exchange
from penstock.wire.sqs.limits import LONGEST_VISIBILITY_SECONDS, Limits
from penstock.wire.sqs.model import (
    ChangeMessageVisibilityBatchRequest,
    ChangeMessageVisibilityRequest,
    DeleteMessageBatchRequest,
    DeleteMessageRequest,
)
from penstock.wire.sqs.names import Address
from penstock.wire.sqs.results import BatchResult, BatchResultEntry, BatchResultErrorEntry

Changes = Sequence[tuple[str, int]]
"""Receipt handles, each with the seconds that were given for it."""

_DELETE_ENTRY = "DeleteMessageBatchRequestEntry"
_CHANGE_ENTRY = "ChangeMessageVisibilityBatchRequestEntry"
_TOO_LONG_IN_ALL = f"Total VisibilityTimeout for the message is beyond the limit [{LONGEST_VISIBILITY_SECONDS} seconds]"


def delete_message(asked: DeleteMessageRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``DeleteMessage``."""
    queue = exchange.queue(asked.queue_url)
    handle = asked.receipt_handle
    if not handle:
        raise missing("ReceiptHandle")

    def ended(errors: Errors) -> Step:
        if errors[0] is not None:
            raise errors[0]
        return exchange.answer()

    return _ended(queue, (handle,), ended)


def delete_message_batch(asked: DeleteMessageBatchRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``DeleteMessageBatch``."""
    queue = exchange.queue(asked.queue_url)
    ids = check_entries(asked.entries, _DELETE_ENTRY)
    handles = _handles([entry.receipt_handle for entry in asked.entries or ()], _DELETE_ENTRY)
    return _ended(queue, handles, lambda errors: _answer(exchange, ids, errors))


def change_message_visibility(asked: ChangeMessageVisibilityRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``ChangeMessageVisibility``."""
    queue = exchange.queue(asked.queue_url)
    handle, timeout = asked.receipt_handle, asked.visibility_timeout
    if not handle:
        raise missing("ReceiptHandle")
    if timeout is None:
        raise missing("VisibilityTimeout")

    def changed(errors: Errors) -> Step:
        if errors[0] is not None:
            raise errors[0]
        return exchange.answer()

    return _changed(queue, ((handle, timeout),), exchange.edge.limits, changed)


def change_message_visibility_batch(asked: ChangeMessageVisibilityBatchRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``ChangeMessageVisibilityBatch``."""
    queue = exchange.queue(asked.queue_url)
    ids = check_entries(asked.entries, _CHANGE_ENTRY)
    entries = asked.entries or ()
    handles = _handles([entry.receipt_handle for entry in entries], _CHANGE_ENTRY)
    timeouts = []
    for number, entry in enumerate(entries, 1):
        if entry.visibility_timeout is None:
            raise missing(f"{_CHANGE_ENTRY}.{number}.VisibilityTimeout")
        timeouts.append(entry.visibility_timeout)
    changes = tuple(zip(handles, timeouts, strict=True))
    return _changed(queue, changes, exchange.edge.limits, lambda errors: _answer(exchange, ids, errors))


def _changed(queue: Address, changes: Changes, limits: Limits, then: Callable[[Errors], Step]) -> Step:
    """Change visibility by receipt handle, reschedule those whose handle asks for that; ``then`` is told of each."""
    by_id = [each for each in changes if is_reschedule(each[0])]
    held = [each for each in changes if not is_reschedule(each[0])]

    def merged(of_held: Errors, of_ids: Errors) -> Step:
        held, ids = iter(of_held), iter(of_ids)
        return then([next(ids) if is_reschedule(handle) else next(held) for handle, _ in changes])

    def go_on(of_held: Errors) -> Step:
        return rescheduled(queue, by_id, lambda of_ids: merged(of_held, of_ids)) if by_id else then(of_held)

    return _held(queue, held, limits, go_on) if held else go_on([])


def _held(queue: Address, changes: Changes, limits: Limits, then: Callable[[Errors], Step]) -> Step:
    errors = [_timeout_error(seconds) for _, seconds in changes]
    possible = [each for each, error in zip(changes, errors, strict=True) if error is None]
    if not possible:
        return then(errors)

    def settled(reply: SettleReply) -> Step:
        outcomes = iter(reply.outcomes)
        return then(
            [
                error or _change_error(next(outcomes), handle, seconds, queue)
                for error, (handle, seconds) in zip(errors, changes, strict=True)
            ]
        )

    return Call(Settle(tuple(_change(queue, handle, seconds, limits) for handle, seconds in possible)), settled)


def _ended(queue: Address, handles: Sequence[str], then: Callable[[Errors], Step]) -> Step:
    """Delete messages by receipt handle, cancel those whose handle asks for that; ``then`` is told of each."""
    to_cancel = [handle for handle in handles if is_cancel(handle)]
    if not to_cancel:
        return _deleted(queue, handles, then)
    if len(to_cancel) == len(handles):
        return cancelled(queue, handles, then)

    def merged(of_deletes: Errors, of_cancels: Errors) -> Step:
        deletes, cancels = iter(of_deletes), iter(of_cancels)
        return then([next(cancels) if is_cancel(handle) else next(deletes) for handle in handles])

    return _deleted(
        queue,
        [handle for handle in handles if not is_cancel(handle)],
        lambda of_deletes: cancelled(queue, to_cancel, lambda of_cancels: merged(of_deletes, of_cancels)),
    )


def _deleted(queue: Address, handles: Sequence[str], then: Callable[[Errors], Step]) -> Step:
    def settled(reply: SettleReply) -> Step:
        outcomes = zip(reply.outcomes, handles, strict=True)
        return then([_delete_error(outcome, handle, queue) for outcome, handle in outcomes])

    return Call(Settle(tuple(Settlement(queue.queue, handle) for handle in handles)), settled)


def _change(queue: Address, handle: str, timeout_seconds: int, limits: Limits) -> Settlement:
    """Handles of earlier deliveries count on standard queues: recorded of AWS."""
    action = ChangeVisibility(timeout_seconds, limits.total_visibility_seconds)
    return Settlement(queue.queue, handle, action, any_delivery=not queue.is_fifo)


def _handles(handles: Sequence[str | None], shape: str) -> list[str]:
    for number, handle in enumerate(handles, 1):
        if not handle:
            raise missing(f"{shape}.{number}.ReceiptHandle")
    return [handle or "" for handle in handles]


def _delete_error(outcome: SettleOutcome, handle: str, queue: Address) -> SqsError | None:
    """Return why a delete failed. One that comes too late has done what it can, but not on FIFO (as recorded)."""
    result = outcome.result
    if result is Settled.DONE or result is Settled.GONE:
        return None
    if result is Settled.REFUSED:
        return _refusal(outcome, handle, queue)
    if queue.is_fifo:
        return invalid("ReceiptHandle", handle, "The receipt handle has expired.")
    return None


def _change_error(outcome: SettleOutcome, handle: str, timeout_seconds: int, queue: Address) -> SqsError | None:
    result = outcome.result
    if result is Settled.DONE:
        return None
    if result is Settled.REFUSED:
        if outcome.problem is not None and outcome.problem.code == "lease_too_long":
            return invalid("VisibilityTimeout", timeout_seconds, _TOO_LONG_IN_ALL)
        return _refusal(outcome, handle, queue)
    return invalid("ReceiptHandle", handle, "Message does not exist or is not available for visibility timeout change.")


def _refusal(outcome: SettleOutcome, handle: str, queue: Address) -> SqsError:
    problem = outcome.problem
    if problem is None or problem.code == "receipt_handle_invalid":
        return handle_is_invalid(handle)
    if problem.code == "queue_not_found":
        raise no_such_queue()  # not of one entry: of the whole request
    return of_problem(problem, queue.name)


def _timeout_error(timeout_seconds: int) -> SqsError | None:
    if 0 <= timeout_seconds <= LONGEST_VISIBILITY_SECONDS:
        return None
    return invalid(
        "VisibilityTimeout",
        timeout_seconds,
        f"VisibilityTimeout must be an integer between 0 and {LONGEST_VISIBILITY_SECONDS}.",
    )


def _answer(exchange: Exchange, ids: list[str], errors: Sequence[SqsError | None]) -> Step:
    successful: list[BatchResultEntry] = []
    failed: list[BatchResultErrorEntry] = []
    for entry_id, error in zip(ids, errors, strict=True):
        if error is None:
            successful.append(BatchResultEntry(entry_id))
        else:
            failed.append(failed_entry(entry_id, error))
    return exchange.answer(BatchResult(successful or None, failed or None))
