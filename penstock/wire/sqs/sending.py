"""SendMessage and SendMessageBatch."""

from penstock.core.operations import DescribeQueue, QueueReply, Refused, Send, SendReply
from penstock.wire.http import Call, Response, Step
from penstock.wire.sqs.batches import check_entries, failed_entry
from penstock.wire.sqs.drafts import Stamped, require_group, stamped
from penstock.wire.sqs.errors import (
    BATCH_TOO_LONG,
    INVALID_PARAMETER_VALUE,
    MISSING_PARAMETER,
    NO_DEDUPLICATION_ID,
    SqsError,
    missing,
    of_problem,
    too_large,
)
from penstock.wire.sqs.exchange import Exchange
from penstock.wire.sqs.limits import LARGEST_MESSAGE_BYTES
from penstock.wire.sqs.model import SendMessageBatchRequest, SendMessageRequest
from penstock.wire.sqs.names import Address
from penstock.wire.sqs.results import (
    BatchResultErrorEntry,
    SendMessageBatchResult,
    SendMessageBatchResultEntry,
    SendMessageResult,
)

_ENTRY = "SendMessageBatchRequestEntry"
_FIRST_SEQUENCE_NUMBER = 18_849_496_460_467_696_128
"""AWS's sequence numbers have twenty digits; this is where those of its queues begin."""


def sequence_number_of(sequence_number: int) -> str:
    """Return a sequence number as SQS shows it: twenty digits, growing."""
    return str(_FIRST_SEQUENCE_NUMBER + sequence_number)


def send_message(asked: SendMessageRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``SendMessage``."""
    queue = exchange.queue(asked.queue_url)
    body = asked.message_body
    if not body:
        raise missing("MessageBody")
    require_group(asked, queue, MISSING_PARAMETER)
    message = stamped(asked, body, queue, exchange.edge.limits, exchange.request)

    def sent(reply: SendReply) -> Step:
        outcome = reply.outcomes[0]
        if isinstance(outcome, Refused):
            return _refused(outcome, queue)
        return exchange.answer(
            SendMessageResult(
                message.md5_of_body,
                outcome.message_id,
                message.md5_of_attributes,
                message.md5_of_system_attributes,
                sequence_number_of(outcome.sequence_number) if queue.is_fifo else None,
            )
        )

    return Call(Send(queue.queue, (message.draft,)), sent)


def send_message_batch(asked: SendMessageBatchRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``SendMessageBatch``."""
    queue = exchange.queue(asked.queue_url)
    ids = check_entries(asked.entries, _ENTRY)
    accepted: dict[str, Stamped] = {}
    failed: dict[str, SqsError] = {}
    for number, (entry_id, entry) in enumerate(zip(ids, asked.entries or (), strict=True), 1):
        body = entry.message_body
        if not body:
            raise missing(f"{_ENTRY}.{number}.MessageBody")
        require_group(entry, queue, INVALID_PARAMETER_VALUE)
        try:
            accepted[entry_id] = stamped(entry, body, queue, exchange.edge.limits, exchange.request)
        except SqsError as error:
            failed[entry_id] = error
    total = sum(message.size for message in accepted.values())
    if total > LARGEST_MESSAGE_BYTES:
        raise SqsError(
            f"Batch requests cannot be longer than {LARGEST_MESSAGE_BYTES} bytes. You have sent {total} bytes.",
            kind=BATCH_TOO_LONG,
        )
    if not accepted:
        return _answer_batch(exchange, [], [failed_entry(entry_id, failed[entry_id]) for entry_id in ids])
    send = _send_batch(exchange, queue, ids, accepted, failed)
    if queue.is_fifo:
        lacking = sum(message.draft.deduplication_id is None for message in accepted.values())
        if 0 < lacking < len(accepted):
            # some would be kept and some refused, so ask first; where all lack one, nothing is kept unless all are
            return Call(DescribeQueue(queue.queue), lambda reply: _deduplicated(reply, send))
    return send


def _deduplicated(reply: QueueReply, send: Call) -> Step:
    """Fail the whole batch if the queue does not derive the missing deduplication ids, as AWS does."""
    _check_deduplication(reply)
    return send


def _check_deduplication(reply: QueueReply) -> None:
    if not reply.queue.settings.content_based_deduplication:
        raise SqsError(NO_DEDUPLICATION_ID)


def _send_batch(
    exchange: Exchange, queue: Address, ids: list[str], accepted: dict[str, Stamped], failed: dict[str, SqsError]
) -> Call:
    def sent(reply: SendReply) -> Step:
        refused: dict[str, Refused] = {}
        successful: list[SendMessageBatchResultEntry] = []
        for (entry_id, message), outcome in zip(accepted.items(), reply.outcomes, strict=True):
            if isinstance(outcome, Refused):
                refused[entry_id] = outcome
                continue
            successful.append(
                SendMessageBatchResultEntry(
                    entry_id,
                    outcome.message_id,
                    message.md5_of_body,
                    message.md5_of_attributes,
                    message.md5_of_system_attributes,
                    sequence_number_of(outcome.sequence_number) if queue.is_fifo else None,
                )
            )
        if not refused and not failed:
            return _answer_batch(exchange, successful, [])
        problems = {outcome.problem.code for outcome in refused.values()}
        if not successful and "deduplication_id_required" in problems:
            raise SqsError(NO_DEDUPLICATION_ID)

        def told(limit: int) -> Response:
            errors = {
                **failed,
                **{entry_id: _error_of(outcome, queue, limit, is_entry=True) for entry_id, outcome in refused.items()},
            }
            return _answer_batch(
                exchange, successful, [failed_entry(each, errors[each]) for each in ids if each in errors]
            )

        def told_of_limit(described: QueueReply) -> Response:
            if queue.is_fifo and all(message.draft.deduplication_id is None for message in accepted.values()):
                _check_deduplication(described)
            return told(described.queue.settings.max_message_bytes)

        if "message_too_large" in problems:
            return Call(DescribeQueue(queue.queue), told_of_limit)
        return told(LARGEST_MESSAGE_BYTES)

    return Call(Send(queue.queue, tuple(message.draft for message in accepted.values())), sent)


def _answer_batch(
    exchange: Exchange, successful: list[SendMessageBatchResultEntry], failed: list[BatchResultErrorEntry]
) -> Response:
    return exchange.answer(SendMessageBatchResult(successful or None, failed or None))


def _refused(outcome: Refused, queue: Address) -> Step:
    """Say why a message was not accepted; for its size, ask for the queue's limit first."""
    if outcome.problem.code != "message_too_large":
        raise _error_of(outcome, queue, LARGEST_MESSAGE_BYTES, is_entry=False)

    def told(described: QueueReply) -> Step:
        raise _error_of(outcome, queue, described.queue.settings.max_message_bytes, is_entry=False)

    return Call(DescribeQueue(queue.queue), told)


def _error_of(outcome: Refused, queue: Address, limit: int, *, is_entry: bool) -> SqsError:
    if outcome.problem.code == "message_too_large":
        return too_large(limit, is_entry=is_entry)
    return of_problem(outcome.problem, queue.name)
