"""What an operation demands of its caller: SQS actions on queues, or to own them.

An operation that SQS does not have counts as the action that gives a caller as much.
"""

from collections.abc import Callable, Iterable
from typing import Any

from penstock.core.effects import NO_EFFECTS, Effects
from penstock.core.operations import (
    Apply,
    Cancel,
    CancelMove,
    CreateQueue,
    DeleteMessages,
    DeleteQueue,
    DescribeQueue,
    ListGroups,
    ListMoves,
    ListQueues,
    Operation,
    Peek,
    PurgeQueue,
    Receive,
    Reschedule,
    Send,
    Settle,
    StartMove,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.core.settlements import ChangeVisibility, DeadLetter, Delete, GiveBack

Demand = tuple[str, str]
"""A queue and an SQS action."""

OWN = ""
"""Instead of an action: the queue must be the caller's own; its policy is not asked."""

EVERYTHING: Demand = ("", OWN)
"""To be of the server's own account: what names no queue reaches into the queues of all."""

POLICY = "Policy"
"""The edge attribute of a queue that holds its policy."""

ONE_QUEUE: dict[type, str] = {
    DeleteQueue: "DeleteQueue",
    ListGroups: "ReceiveMessage",
    Peek: "ReceiveMessage",
    PurgeQueue: "PurgeQueue",
    Receive: "ReceiveMessage",
    Send: "SendMessage",
    UpdateGroup: "SetQueueAttributes",
}
"""Operations that demand one action of the one queue they name."""

_BY_ID: dict[type, str] = {
    Cancel: "DeleteMessage",
    DeleteMessages: "DeleteMessage",
    Reschedule: "ChangeMessageVisibility",
}
_OF_SETTLEMENT: dict[type, str] = {
    ChangeVisibility: "ChangeMessageVisibility",
    DeadLetter: "DeleteMessage",
    Delete: "DeleteMessage",
    GiveBack: "ChangeMessageVisibility",
}


def demands_of(operation: Operation[Any], action: str) -> Iterable[Demand]:
    """Return what an operation demands.

    Args:
        operation: any.
        action: what SQS calls the request it is part of, empty where another dialect asked. It decides only for those
            operations that serve many actions.
    """
    kind = type(operation)
    several = _SEVERAL.get(kind)
    if several is not None:
        return several(operation, action.removesuffix("Batch"))
    if kind in ONE_QUEUE:
        return ((operation.queue, ONE_QUEUE[kind]),)  # type: ignore[attr-defined]
    if kind in _BY_ID and operation.queue is not None:  # type: ignore[attr-defined]
        return ((operation.queue, _BY_ID[kind]),)  # type: ignore[attr-defined]
    return (EVERYTHING,)


def only_queue_of(operation: Operation[Any]) -> str | None:
    """Return the queue of an operation that demands nothing but actions on one; ``None`` for others. A quick look."""
    kind = type(operation)
    if kind in ONE_QUEUE:
        queue: str = operation.queue  # type: ignore[attr-defined]
        return queue
    if kind is not Settle or not operation.settlements:  # type: ignore[attr-defined]
        return None
    settlements = operation.settlements  # type: ignore[attr-defined]
    queue = settlements[0].queue
    for each in settlements:
        if each.queue != queue or each.effects is not NO_EFFECTS:
            return None
    return queue


def is_about_policy(operation: Operation[Any]) -> bool:
    """Return whether all it does is to read a queue's policy or to change it: an owner is never locked out of that."""
    if not isinstance(operation, UpdateQueue):
        return isinstance(operation, DescribeQueue)
    edge = operation.settings.edge_attributes
    return operation.settings == QueueChanges(edge_attributes=edge) and isinstance(edge, dict) and set(edge) == {POLICY}


def _of_effects(effects: Effects) -> set[Demand]:
    """Records, guards of them and joins are of no queue, and so of no account."""
    demands = {(each.queue, "SendMessage") for each in effects.sends}
    demands |= {(each.follow_up.queue, "SendMessage") for each in effects.joins}
    is_of_all = effects.guards or effects.forgets or effects.records or effects.joins or effects.arrivals
    return demands | {EVERYTHING} if is_of_all else demands


def _of_settle(operation: Settle, _: str) -> Iterable[Demand]:
    demands: set[Demand] = set()
    for each in operation.settlements:
        demands.add((each.queue, _OF_SETTLEMENT[type(each.action)]))
        if each.parks_group:
            demands.add((each.queue, ONE_QUEUE[UpdateGroup]))
        if each.effects is not NO_EFFECTS:
            demands |= _of_effects(each.effects)
    return demands


def _of_settings(operation: CreateQueue | UpdateQueue, action: str) -> Iterable[Demand]:
    redrive = operation.settings.redrive
    demand = (operation.queue, action)
    return (demand, (redrive.dead_letter_queue, OWN)) if isinstance(redrive, RedrivePolicy) else (demand,)


def _of_list(operation: ListQueues, action: str) -> Iterable[Demand]:
    """SQS tells the names of the source queues only; others tell all of them, which is for their owner alone."""
    queue = operation.dead_letter_queue
    if queue is None:
        return ((operation.prefix, OWN),)
    demand = (queue, action or "ListDeadLetterSourceQueues")
    return (demand,) if action else (demand, (queue, OWN))


def _of_move(operation: StartMove, _: str) -> Iterable[Demand]:
    demand = (operation.source, "StartMessageMoveTask")
    return (demand,) if operation.target is None else (demand, (operation.target, "SendMessage"))


_SEVERAL: dict[type, Callable[[Any, str], Iterable[Demand]]] = {
    Apply: lambda operation, _: _of_effects(operation.effects),
    CancelMove: lambda operation, _: (),  # its id is a secret that only who started it knows
    CreateQueue: lambda operation, _: _of_settings(operation, "CreateQueue"),
    DescribeQueue: lambda operation, action: ((operation.queue, action or "GetQueueAttributes"),),
    ListMoves: lambda operation, _: ((operation.source, "ListMessageMoveTasks"),),
    ListQueues: _of_list,
    Settle: _of_settle,
    StartMove: _of_move,
    UpdateQueue: lambda operation, action: _of_settings(operation, action or "SetQueueAttributes"),
}
