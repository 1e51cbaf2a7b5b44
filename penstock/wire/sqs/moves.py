"""StartMessageMoveTask, CancelMessageMoveTask and ListMessageMoveTasks.

A task handle is base64 of ``{"taskId": ..., "sourceArn": ...}``, as recorded of AWS.
"""

import binascii
import re

import msgspec
from msgspec import Struct

from penstock.core.moves import Move, MoveStatus
from penstock.core.operations import CancelMove, ListMoves, ListQueues, MoveReply, MovesReply, QueuesReply, StartMove
from penstock.core.queues import QueueDescription
from penstock.wire.http import Call, Step
from penstock.wire.sqs.errors import QUEUE_DOES_NOT_EXIST, RESOURCE_NOT_FOUND, SqsError, invalid, missing
from penstock.wire.sqs.exchange import Exchange
from penstock.wire.sqs.limits import MOST_MOVES_A_SECOND, MOST_MOVES_LISTED
from penstock.wire.sqs.model import (
    CancelMessageMoveTaskRequest,
    ListMessageMoveTasksRequest,
    StartMessageMoveTaskRequest,
)
from penstock.wire.sqs.names import Address
from penstock.wire.sqs.redrive import find_queue
from penstock.wire.sqs.results import (
    CancelMessageMoveTaskResult,
    ListMessageMoveTasksResult,
    ListMessageMoveTasksResultEntry,
    StartMessageMoveTaskResult,
)

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


class _Handle(Struct, rename="camel"):
    task_id: str
    source_arn: str


def start_message_move_task(asked: StartMessageMoveTaskRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``StartMessageMoveTask``."""
    source = _by_arn(asked.source_arn, "SourceArn", exchange)
    target = None if not asked.destination_arn else _by_arn(asked.destination_arn, "DestinationArn", exchange)
    rate = asked.max_number_of_messages_per_second
    if rate is not None and not 1 <= rate <= MOST_MOVES_A_SECOND:
        raise invalid(
            "MaxNumberOfMessagesPerSecond", rate, f"You must specify a value between 1 and {MOST_MOVES_A_SECOND}."
        )
    if target is not None and target == source:
        raise SqsError("Source queue arn and destination queue arn cannot be the same.")
    if target is not None and target.is_fifo is not source.is_fifo:
        raise SqsError("The source queue and the destination queue must be of the same type.")
    start = Call(
        StartMove(source.queue, None if target is None else target.queue, rate),
        lambda reply: exchange.answer(StartMessageMoveTaskResult(_handle_of(reply.move, source))),
    )

    def found(described: QueueDescription | None) -> Step:
        if described is None:
            raise _not_found("SourceArn")
        return Call(ListQueues(limit=1, dead_letter_queue=source.queue), is_target_of)

    def is_target_of(reply: QueuesReply) -> Step:
        if not reply.queues:
            raise SqsError("Source queue must be configured as a Dead Letter Queue.")
        return start if target is None else find_queue(target, target_found)

    def target_found(described: QueueDescription | None) -> Step:
        if described is None:
            raise _not_found("DestinationArn")
        return start

    return find_queue(source, found)


def cancel_message_move_task(asked: CancelMessageMoveTaskRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``CancelMessageMoveTask``; what was moved stays moved."""
    if not asked.task_handle:
        raise missing("TaskHandle")
    try:
        handle = msgspec.json.decode(binascii.a2b_base64(asked.task_handle.encode(), strict_mode=True), type=_Handle)
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise SqsError("Value for parameter TaskHandle is invalid.") from None
    source = exchange.edge.addresses.of_arn(handle.source_arn)
    if source is None or not _UUID.fullmatch(handle.task_id):
        raise SqsError("Value for parameter TaskHandle is invalid.")

    def found(described: QueueDescription | None) -> Step:
        if described is None:
            raise _not_found("SourceArn")
        return Call(CancelMove(handle.task_id), cancelled)

    def cancelled(reply: MoveReply) -> Step:
        return exchange.answer(CancelMessageMoveTaskResult(reply.move.moved_count))

    return find_queue(source, found)


def list_message_move_tasks(asked: ListMessageMoveTasksRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``ListMessageMoveTasks``; one task unless more are asked for, latest first."""
    source = _by_arn(asked.source_arn, "SourceArn", exchange)
    most = 1 if asked.max_results is None else asked.max_results
    if not 1 <= most <= MOST_MOVES_LISTED:
        raise invalid("MaxResults", most, f"You must specify a value between 1 and {MOST_MOVES_LISTED}.")

    def found(described: QueueDescription | None) -> Step:
        if described is None:
            raise _not_found("SourceArn")
        return Call(ListMoves(source.queue, most), listed)

    def listed(reply: MovesReply) -> Step:
        results = [_entry(move, source, exchange) for move in reply.moves]
        return exchange.answer(ListMessageMoveTasksResult(results or None))

    return find_queue(source, found)


def _entry(move: Move, source: Address, exchange: Exchange) -> ListMessageMoveTasksResultEntry:
    target = None if move.target is None else exchange.edge.addresses.of_queue(move.target).arn
    return ListMessageMoveTasksResultEntry(
        move.status.value.upper(),
        source.arn,
        move.moved_count,
        move.to_move_count,
        move.started_at,
        _handle_of(move, source) if move.status is MoveStatus.RUNNING else None,
        target,
        move.rate_per_second,
        QUEUE_DOES_NOT_EXIST.code if move.status is MoveStatus.FAILED else None,
    )


def _handle_of(move: Move, source: Address) -> str:
    handle = msgspec.json.encode(_Handle(move.move_id, source.arn))
    return binascii.b2a_base64(handle, newline=False).decode()


def _by_arn(arn: str | None, parameter: str, exchange: Exchange) -> Address:
    if not arn:
        raise missing(parameter)
    address = exchange.edge.addresses.of_arn(arn)
    if address is None:
        raise SqsError(
            f"You must use this format to specify the {parameter}: "
            "arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        )
    return address


def _not_found(parameter: str) -> SqsError:
    return SqsError(
        f"The resource that you specified for the {parameter} parameter doesn't exist.", kind=RESOURCE_NOT_FOUND
    )
