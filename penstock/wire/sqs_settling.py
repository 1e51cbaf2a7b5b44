"""DeleteMessage, ChangeMessageVisibility and their batches."""

from collections.abc import Sequence

from penstock.core.operations import Settle, SettleReply
from penstock.core.settlements import ChangeVisibility, Settled, Settlement, SettleOutcome
from penstock.wire.http import Call, Step
from penstock.wire.sqs_batches import check_entries, failed_entry
from penstock.wire.sqs_errors import SqsError, handle_is_invalid, invalid, missing, no_such_queue, of_problem
from penstock.wire.sqs_exchange import Exchange
from penstock.wire.sqs_limits import LONGEST_VISIBILITY_SECONDS
from penstock.wire.sqs_model import (
    ChangeMessageVisibilityBatchRequest,
    ChangeMessageVisibilityRequest,
    DeleteMessageBatchRequest,
    DeleteMessageRequest,
)
from penstock.wire.sqs_names import Address
from penstock.wire.sqs_results import BatchResult, BatchResultEntry, BatchResultErrorEntry

_DELETE_ENTRY = "DeleteMessageBatchRequestEntry"
_CHANGE_ENTRY = "ChangeMessageVisibilityBatchRequestEntry"


def delete_message(asked: DeleteMessageRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``DeleteMessage``."""
    queue = exchange.queue(asked.queue_url)
    handle = asked.receipt_handle
    if not handle:
        raise missing("ReceiptHandle")

    def settled(reply: SettleReply) -> Step:
        error = _delete_error(reply.outcomes[0], handle, queue)
        if error is not None:
            raise error
        return exchange.answer()

    return Call(Settle((Settlement(queue.queue, handle),)), settled)


def delete_message_batch(asked: DeleteMessageBatchRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``DeleteMessageBatch``."""
    queue = exchange.queue(asked.queue_url)
    ids = check_entries(asked.entries, _DELETE_ENTRY)
    handles = _handles([entry.receipt_handle for entry in asked.entries or ()], _DELETE_ENTRY)

    def settled(reply: SettleReply) -> Step:
        outcomes = zip(reply.outcomes, handles, strict=True)
        return _answer(exchange, ids, [_delete_error(outcome, handle, queue) for outcome, handle in outcomes])

    return Call(Settle(tuple(Settlement(queue.queue, handle) for handle in handles)), settled)


def change_message_visibility(asked: ChangeMessageVisibilityRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``ChangeMessageVisibility``."""
    queue = exchange.queue(asked.queue_url)
    handle, timeout = asked.receipt_handle, asked.visibility_timeout
    if not handle:
        raise missing("ReceiptHandle")
    if timeout is None:
        raise missing("VisibilityTimeout")
    refused = _timeout_error(timeout)
    if refused is not None:
        raise refused

    def settled(reply: SettleReply) -> Step:
        error = _change_error(reply.outcomes[0], handle, queue)
        if error is not None:
            raise error
        return exchange.answer()

    return Call(Settle((_change(queue, handle, timeout),)), settled)


def change_message_visibility_batch(asked: ChangeMessageVisibilityBatchRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``ChangeMessageVisibilityBatch``."""
    queue = exchange.queue(asked.queue_url)
    ids = check_entries(asked.entries, _CHANGE_ENTRY)
    entries = asked.entries or ()
    handles = _handles([entry.receipt_handle for entry in entries], _CHANGE_ENTRY)
    errors: list[SqsError | None] = []
    settlements: list[Settlement] = []
    for number, (entry, handle) in enumerate(zip(entries, handles, strict=True), 1):
        if entry.visibility_timeout is None:
            raise missing(f"{_CHANGE_ENTRY}.{number}.VisibilityTimeout")
        errors.append(_timeout_error(entry.visibility_timeout))
        if errors[-1] is None:
            settlements.append(_change(queue, handle, entry.visibility_timeout))
    if not settlements:
        return _answer(exchange, ids, errors)

    def settled(reply: SettleReply) -> Step:
        outcomes = iter(reply.outcomes)
        pairs = zip(errors, handles, strict=True)
        return _answer(
            exchange, ids, [error or _change_error(next(outcomes), handle, queue) for error, handle in pairs]
        )

    return Call(Settle(tuple(settlements)), settled)


def _change(queue: Address, handle: str, timeout_seconds: int) -> Settlement:
    """Handles of earlier deliveries count on standard queues: recorded of AWS."""
    return Settlement(queue.queue, handle, ChangeVisibility(timeout_seconds), any_delivery=not queue.is_fifo)


def _handles(handles: Sequence[str | None], shape: str) -> list[str]:
    for number, handle in enumerate(handles, 1):
        if not handle:
            raise missing(f"{shape}.{number}.ReceiptHandle")
    return [handle or "" for handle in handles]


def _delete_error(outcome: SettleOutcome, handle: str, queue: Address) -> SqsError | None:
    """Return why a delete failed. One that comes too late has done what it can, but not on FIFO (sqs-facts 14)."""
    result = outcome.result
    if result is Settled.DONE or result is Settled.GONE:
        return None
    if result is Settled.REFUSED:
        return _refusal(outcome, handle, queue)
    if queue.is_fifo:
        return invalid("ReceiptHandle", handle, "The receipt handle has expired.")
    return None


def _change_error(outcome: SettleOutcome, handle: str, queue: Address) -> SqsError | None:
    result = outcome.result
    if result is Settled.DONE:
        return None
    if result is Settled.REFUSED:
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
