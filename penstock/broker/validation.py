"""What an operation must look like before it is performed, whichever edge it came through."""

import re
from collections.abc import Iterable
from functools import singledispatch
from math import isfinite

from msgspec import structs

from penstock.core.effects import NO_EFFECTS, Effects, Record
from penstock.core.errors import InvalidRequest
from penstock.core.messages import HIGHEST_PRIORITY, Draft
from penstock.core.operations import (
    Apply,
    Cancel,
    CreateQueue,
    DeleteMessages,
    DeleteQueue,
    DeleteRecords,
    Find,
    FindRecords,
    ListGroups,
    ListMoves,
    ListQueues,
    Operation,
    Peek,
    PurgeQueue,
    PutRecords,
    ReadEvents,
    Receive,
    Reschedule,
    Send,
    Settle,
    StartMove,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.partitions import HASH, MOST_PARTITIONS, check_partitioner, is_partition, queue_of
from penstock.core.queues import QUEUE_NAME, QueueChanges
from penstock.core.settlements import ChangeVisibility, GiveBack
from penstock.store.contract import RESERVED

LONGEST_SECONDS = 100 * 366 * 86_400
"""No duration is longer than a hundred years."""

MOST_AT_ONCE = 1000
MOST_EFFECTS = 10_000
"""Of each kind in one step; one atomic step may be a whole workflow."""

_FARTHEST_INSTANT = (1 << 48) - 1
_GREATEST_EVENT_ID = (1 << 63) - 1
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@singledispatch
def validate(operation: Operation) -> None:  # type: ignore[type-arg]
    """Raise InvalidRequest where an operation cannot be meant."""


@validate.register
def _(operation: CreateQueue) -> None:
    if not QUEUE_NAME.fullmatch(operation.queue):
        raise InvalidRequest(
            f"{operation.queue[:100]!r} is no name for a queue.",
            hint="Use 1 to 80 letters, digits, hyphens, underscores and dots.",
            field="queue",
        )
    _duration(operation.name_rest_seconds, "name_rest_seconds")
    if operation.settings.is_fifo is True and operation.settings.group_order == "fair":
        raise InvalidRequest(
            "A FIFO queue orders its groups strictly.", hint="Leave group_order out.", field="group_order"
        )
    _settings(operation.queue, operation.settings)


@validate.register
def _(operation: UpdateQueue) -> None:
    _whole(operation.queue, "queue")
    _settings(operation.queue, operation.settings)


@validate.register(DeleteQueue)
@validate.register(UpdateGroup)
def _(operation: DeleteQueue | UpdateGroup) -> None:
    _whole(operation.queue, "queue")


@validate.register
def _(operation: PurgeQueue) -> None:
    _duration(operation.rest_seconds, "rest_seconds")


@validate.register(ListQueues)
@validate.register(ListGroups)
@validate.register(ListMoves)
@validate.register(Peek)
@validate.register(FindRecords)
@validate.register(ReadEvents)
def _(operation: ListQueues | ListGroups | ListMoves | Peek | FindRecords | ReadEvents) -> None:
    _between(operation.limit, 1, MOST_AT_ONCE, "limit")
    if isinstance(operation, Peek | ReadEvents):
        farthest = _FARTHEST_INSTANT if isinstance(operation, Peek) else _GREATEST_EVENT_ID
        _between(operation.after, -1, farthest, "after")


@validate.register
def _(operation: Send) -> None:
    if not 1 <= len(operation.messages) <= MOST_AT_ONCE:
        _count(operation.messages, "messages")
    _whole(operation.queue, "queue")
    for draft in operation.messages:
        _draft(draft)


@validate.register
def _(operation: Receive) -> None:
    _between(operation.max_messages, 1, MOST_AT_ONCE, "max_messages")
    if operation.wait_seconds is not None:
        _duration(operation.wait_seconds, "wait_seconds")
    if operation.visibility_timeout_seconds is not None:
        _duration(operation.visibility_timeout_seconds, "visibility_timeout_seconds")
    if operation.following is not None and operation.attempt_id is not None:
        raise InvalidRequest(
            "A receive that follows a delivery is no attempt.", hint="Leave attempt_id out.", field="attempt_id"
        )


@validate.register
def _(operation: Settle) -> None:
    _count(operation.settlements, "settlements")
    for settlement in operation.settlements:
        if isinstance(settlement.action, ChangeVisibility):
            _duration(settlement.action.visibility_timeout_seconds, "visibility_timeout_seconds")
            if settlement.action.most_total_seconds is not None:
                _duration(settlement.action.most_total_seconds, "most_total_seconds")
        elif isinstance(settlement.action, GiveBack):
            _duration(settlement.action.delay_seconds, "delay_seconds")
        if settlement.also:
            _between(len(settlement.also), 1, MOST_AT_ONCE, "also")
            if len({settlement.receipt_handle, *settlement.also}) <= len(settlement.also):
                raise InvalidRequest(
                    "A receipt handle is named twice in one settlement.", hint="Name each once.", field="also"
                )
        if settlement.effects is not NO_EFFECTS:
            _effects(settlement.effects)


@validate.register
def _(operation: Apply) -> None:
    _effects(operation.effects)


@validate.register(Cancel)
@validate.register(DeleteMessages)
@validate.register(Find)
def _(operation: Cancel | DeleteMessages | Find) -> None:
    _count(operation.message_ids, "message_ids")


@validate.register
def _(operation: Reschedule) -> None:
    _count(operation.message_ids, "message_ids")
    if (operation.deliver_at is None) == (operation.delay_seconds is None):
        raise InvalidRequest(
            "A message is rescheduled to an instant or by a delay.",
            hint="Give one of deliver_at and delay_seconds.",
            field="deliver_at",
        )
    if operation.deliver_at is not None:
        _between(operation.deliver_at, 0, _FARTHEST_INSTANT, "deliver_at")
    if operation.delay_seconds is not None:
        _duration(operation.delay_seconds, "delay_seconds")


@validate.register
def _(operation: PutRecords) -> None:
    _count(operation.records, "records")
    for record in operation.records:
        _record(record)


@validate.register
def _(operation: DeleteRecords) -> None:
    for key in operation.keys:
        _free(key)


@validate.register
def _(operation: StartMove) -> None:
    if operation.rate_per_second is not None:
        _between(operation.rate_per_second, 1, 1_000_000, "rate_per_second")
    _duration(operation.delay_seconds, "delay_seconds")
    _whole(operation.source, "source")
    _whole(operation.target or "", "target")
    if operation.source == operation.target:
        raise InvalidRequest("The source cannot be its own target.", hint="Name another target.", field="target")


def _draft(draft: Draft) -> None:
    if draft.delay_seconds is not None:
        _duration(draft.delay_seconds, "delay_seconds")
    if draft.deliver_at is not None:
        _between(draft.deliver_at, 0, _FARTHEST_INSTANT, "deliver_at")
    if draft.time_to_live_seconds is not None:
        _duration(draft.time_to_live_seconds, "time_to_live_seconds")
    if draft.priority:
        _between(draft.priority, 0, HIGHEST_PRIORITY, "priority")
    if draft.group_id is not None:
        _text(draft.group_id, "group_id")
    if draft.deduplication_id is not None:
        _text(draft.deduplication_id, "deduplication_id")
    if draft.message_id is not None and not _UUID.fullmatch(draft.message_id):
        raise InvalidRequest(
            f"{draft.message_id[:100]!r} is no message id.",
            hint="Use a UUID in lower case, or leave it out and one is minted.",
            field="message_id",
        )


def _effects(effects: Effects) -> None:
    if max(map(len, structs.astuple(effects))) > MOST_EFFECTS:
        for kind in effects.__struct_fields__:
            _between(len(getattr(effects, kind)), 0, MOST_EFFECTS, kind)
    for guard in effects.guards:
        _text(guard.key, "key")
    for key in effects.forgets:
        _text(key, "key")
        _free(key)
    for follow_up in effects.sends:
        _whole(follow_up.queue, "queue")
        _draft(follow_up.message)
    for join in effects.joins:
        _whole(join.follow_up.queue, "queue")
        _draft(join.follow_up.message)
        _between(join.parts, 1, 1_000_000, "parts")
        _text(join.join_id, "join_id")
        if join.expires_at is not None:
            _between(join.expires_at, 0, _FARTHEST_INSTANT, "expires_at")
    for arrival in effects.arrivals:
        _text(arrival.join_id, "join_id")
        _text(arrival.part_id, "part_id")
    for record in effects.records:
        _record(record)


def _record(record: Record) -> None:
    _text(record.key, "key")
    _free(record.key)
    if record.expires_at is not None:
        _between(record.expires_at, 0, _FARTHEST_INSTANT, "expires_at")


def _free(key: str) -> None:
    if key.startswith(RESERVED):
        raise InvalidRequest(
            f"Records that begin with {RESERVED} are the store's own.", hint="Name others.", field="key"
        )


def _settings(queue: str, changes: QueueChanges) -> None:
    for field in changes.__struct_fields__:
        value = getattr(changes, field)
        if field.endswith("_seconds") and isinstance(value, int | float):
            _duration(value, field)
        elif field in ("max_in_flight", "group_max_in_flight", "max_message_bytes") and isinstance(value, int):
            _between(value, 1, 1 << 31, field)
    if isinstance(changes.partitions, int):
        _between(changes.partitions, 1, MOST_PARTITIONS, "partitions")
        check_partitioner(changes.partitioner if isinstance(changes.partitioner, str) else HASH, changes.partitions)
    if changes.redrive:
        _whole(changes.redrive.dead_letter_queue, "dead_letter_queue")
        _between(changes.redrive.max_receive_count, 1, 1_000_000, "max_receive_count")
        if changes.redrive.dead_letter_queue == queue:
            raise InvalidRequest(
                "A queue cannot be its own dead-letter queue.", hint="Name another queue.", field="dead_letter_queue"
            )


def _whole(queue: str, field: str) -> None:
    if is_partition(queue):
        raise InvalidRequest(
            f"{queue[:100]!r} is a partition.", hint=f"Name the whole queue, {queue_of(queue)[:100]!r}.", field=field
        )


def _count(items: Iterable[object], field: str) -> None:
    _between(len(tuple(items)), 1, MOST_AT_ONCE, field)


def _duration(seconds: float, field: str) -> None:
    if not isfinite(seconds):
        raise InvalidRequest(f"{field} must be a number.", hint="Give it in seconds.", field=field)
    _between(seconds, 0, LONGEST_SECONDS, field)


def _between(value: float, low: int, high: int, field: str) -> None:
    if not low <= value <= high:
        raise InvalidRequest(
            f"{field} must be between {low} and {high}, not {value}.", hint=f"Choose another {field}.", field=field
        )


def _text(value: str, field: str) -> None:
    if not 1 <= len(value) <= 1000:
        raise InvalidRequest(
            f"{field} must have 1 to 1000 characters.", hint="Shorten it, or leave it out.", field=field
        )
