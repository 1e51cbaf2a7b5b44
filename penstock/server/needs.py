"""Which right each operation needs, and on which queues: the one table that roles are decided by.

An operation that is not in it needs ``admin`` for all queues, so that one forgotten is refused rather than let through.
"""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import structs

from penstock.core.effects import NO_EFFECTS, Effects
from penstock.core.operations import (
    Apply,
    Cancel,
    CancelMove,
    CreateQueue,
    DeleteMessages,
    DeleteQueue,
    DeleteRecords,
    DescribeQueue,
    Find,
    FindRecords,
    FindReply,
    GetRecords,
    ListGroups,
    ListMoves,
    ListQueues,
    Operation,
    Peek,
    PurgeQueue,
    PutRecords,
    QueuesReply,
    ReadEvents,
    ReadHistory,
    Receive,
    ReleaseLeases,
    Reschedule,
    Send,
    Settle,
    StartMove,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.core.rights import Right, Rights

Need = tuple[str, Right]
"""A queue, or empty for all of them, and a right."""

RIGHT_OF: dict[type, Right] = {
    CreateQueue: Right.ADMIN,
    UpdateQueue: Right.ADMIN,
    DeleteQueue: Right.ADMIN,
    DescribeQueue: Right.DESCRIBE,
    ListQueues: Right.DESCRIBE,
    PurgeQueue: Right.OPERATE,
    ListGroups: Right.VIEW,
    UpdateGroup: Right.OPERATE,
    Send: Right.SEND,
    Receive: Right.RECEIVE,
    Settle: Right.RECEIVE,
    ReleaseLeases: Right.RECEIVE,
    Apply: Right.OPERATE,
    Cancel: Right.OPERATE,
    DeleteMessages: Right.OPERATE,
    Reschedule: Right.OPERATE,
    Peek: Right.VIEW,
    Find: Right.VIEW,
    StartMove: Right.OPERATE,
    CancelMove: Right.OPERATE,
    ListMoves: Right.VIEW,
    PutRecords: Right.OPERATE,
    GetRecords: Right.VIEW,
    DeleteRecords: Right.OPERATE,
    FindRecords: Right.VIEW,
    ReadHistory: Right.VIEW,
    ReadEvents: Right.VIEW,
}

_ANSWERED_IN_PART = frozenset({Find, ListQueues, ReadEvents, ReadHistory})
"""These tell of the queues that the caller may see and leave the others out, so any grant with the right will do."""

_PAUSE = frozenset({"is_paused"})


def is_allowed(rights: Rights, operation: Operation[Any]) -> bool:
    """Return whether somebody's rights suffice for an operation; of some the reply is then ``seen``."""
    if rights.is_full:
        return True
    kind = type(operation)
    if kind in _ANSWERED_IN_PART and getattr(operation, "dead_letter_queue", None) is None:
        return rights.has(RIGHT_OF[kind])
    return all(rights.allows(right, queue) for queue, right in needs_of(operation))


def needs_of(operation: Operation[Any]) -> Iterable[Need]:
    """Return what an operation needs."""
    kind = type(operation)
    several = _SEVERAL.get(kind)
    if several is not None:
        return several(operation)
    return ((getattr(operation, "queue", None) or "", RIGHT_OF.get(kind, Right.ADMIN)),)


def seen(rights: Rights, operation: Operation[Any], action: str, reply: Any) -> Any:
    """Return a reply without what is of queues that somebody may not see.

    Args:
        rights: theirs.
        operation: what they asked for.
        action: what SQS calls the request it is part of; empty where another dialect asked.
        reply: the answer.
    """
    if type(operation) not in _ANSWERED_IN_PART:
        return reply
    right = RIGHT_OF[type(operation)]
    if isinstance(reply, QueuesReply):
        if action == "StartMessageMoveTask":  # it only asks whether there are any
            return reply
        return structs.replace(reply, queues=tuple(each for each in reply.queues if rights.allows(right, each.name)))
    if isinstance(reply, FindReply):
        return FindReply(
            tuple(None if each is None or not rights.allows(right, each.queue) else each for each in reply.messages)
        )
    return structs.replace(reply, events=tuple(each for each in reply.events if rights.allows(right, each.queue)))


def _of_effects(effects: Effects) -> set[Need]:
    """Records, guards and joins are of no queue."""
    needs = {(each.queue, Right.SEND) for each in effects.sends}
    needs |= {(each.follow_up.queue, Right.SEND) for each in effects.joins}
    is_of_all = effects.guards or effects.forgets or effects.records or effects.joins or effects.arrivals
    return needs | {("", Right.OPERATE)} if is_of_all else needs


def _of_settle(operation: Settle) -> Iterable[Need]:
    """Who holds a message of a group may also park the group."""
    needs: set[Need] = set()
    for each in operation.settlements:
        needs.add((each.queue, Right.RECEIVE))
        if each.effects is not NO_EFFECTS:
            needs |= _of_effects(each.effects)
    return needs


def _of_settings(operation: CreateQueue | UpdateQueue) -> Iterable[Need]:
    settings = operation.settings
    named = {name for name in QueueChanges.__struct_fields__ if getattr(settings, name) is not _UNSAID[name]}
    is_pause = isinstance(operation, UpdateQueue) and named <= _PAUSE
    need = (operation.queue, Right.OPERATE if is_pause else Right.ADMIN)
    redrive = settings.redrive
    return (need, (redrive.dead_letter_queue, Right.SEND)) if isinstance(redrive, RedrivePolicy) else (need,)


_UNSAID = {name: getattr(QueueChanges(), name) for name in QueueChanges.__struct_fields__}


def _of_list(operation: ListQueues) -> Iterable[Need]:
    return ((operation.dead_letter_queue or "", Right.DESCRIBE),)


def _of_move(operation: StartMove) -> Iterable[Need]:
    need = (operation.source, Right.OPERATE)
    return (need,) if operation.target is None else (need, (operation.target, Right.SEND))


_SEVERAL: dict[type, Callable[[Any], Iterable[Need]]] = {
    Apply: lambda operation: _of_effects(operation.effects),
    CreateQueue: _of_settings,
    ListMoves: lambda operation: ((operation.source, Right.VIEW),),
    ListQueues: _of_list,
    Settle: _of_settle,
    StartMove: _of_move,
    UpdateQueue: _of_settings,
}
