"""What may be asked again when the connection broke before the answer came, so that once and twice are the same."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from msgspec import structs

from penstock.core.effects import Effects, FollowUp
from penstock.core.messages import Draft
from penstock.core.operations import (
    Apply,
    ApplyReply,
    CreateQueue,
    DeleteRecords,
    DescribeQueue,
    Find,
    FindRecords,
    GetRecords,
    ListGroups,
    ListMoves,
    ListQueues,
    Operation,
    Peek,
    PutRecords,
    ReadEvents,
    ReadHistory,
    Receive,
    ReleaseLeases,
    Reschedule,
    Send,
    SendOutcome,
    SendReply,
    Sent,
    Settle,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.settlements import GiveBack

Asked = TypeVar("Asked", bound=Operation[Any])
Reply = TypeVar("Reply")

_SAFE = frozenset(
    {
        # reads
        DescribeQueue,
        ListQueues,
        ListGroups,
        Peek,
        Find,
        ListMoves,
        GetRecords,
        FindRecords,
        ReadHistory,
        ReadEvents,
        # set something to a value
        CreateQueue,
        UpdateQueue,
        UpdateGroup,
        Reschedule,
        DeleteRecords,
        ReleaseLeases,
        # messages carry ids, see ``named``
        Send,
        # what a lost answer handed out comes back when its lease ends, asked again or not
        Receive,
    }
)


def may_repeat(operation: Operation[Any]) -> bool:
    """Return whether asking twice has the effect of asking once, and an answer that does not mislead.

    Deleting a message twice is safe; its second answer may be ``GONE``. Giving back twice would count twice; who put a
    record first, cancelled first or started a move first is told by the first answer only, and what a guarded step
    changed may be what its guards look at.
    """
    kind = type(operation)
    if kind in _SAFE:
        return True
    if isinstance(operation, Settle):
        return all(
            not isinstance(each.action, GiveBack) and _is_repeatable(each.effects) for each in operation.settlements
        )
    if isinstance(operation, Apply):
        return _is_repeatable(operation.effects)
    if isinstance(operation, PutRecords):
        return not any(record.only_if_absent for record in operation.records)
    return False


def _is_repeatable(effects: Effects) -> bool:
    return not (effects.guards or effects.joins or any(record.only_if_absent for record in effects.records))


def named(operation: Asked, mint: Callable[[str], str]) -> Asked:
    """Return the operation with an id for each of its messages, so that the store knows a repeated one."""
    changed: Operation[Any] = operation
    if isinstance(operation, Send):
        changed = Send(operation.queue, tuple(_named(draft, operation.queue, mint) for draft in operation.messages))
    elif isinstance(operation, Apply):
        changed = Apply(_effects_named(operation.effects, mint))
    elif isinstance(operation, Settle) and any(
        each.effects.sends or each.effects.joins for each in operation.settlements
    ):
        changed = Settle(
            tuple(structs.replace(each, effects=_effects_named(each.effects, mint)) for each in operation.settlements)
        )
    return cast(Asked, changed)


def _named(draft: Draft, queue: str, mint: Callable[[str], str]) -> Draft:
    return draft if draft.message_id is not None else structs.replace(draft, message_id=mint(queue))


def _effects_named(effects: Effects, mint: Callable[[str], str]) -> Effects:
    def name(follow_up: FollowUp) -> FollowUp:
        return FollowUp(follow_up.queue, _named(follow_up.message, follow_up.queue, mint))

    return structs.replace(
        effects,
        sends=tuple(map(name, effects.sends)),
        joins=tuple(structs.replace(each, follow_up=name(each.follow_up)) for each in effects.joins),
    )


def as_if_once(asked: Operation[Any], sent: Operation[Any], reply: Reply) -> Reply:
    """Return the reply to a repeated operation as the first would have been.

    Parameters:
        asked: what the caller asked.
        sent: the same with the ids that ``named`` gave: a message the store knows by one of these is no duplicate.
        reply: what the second attempt answered.
    """
    if isinstance(asked, Send) and isinstance(sent, Send) and isinstance(reply, SendReply):
        return cast(Reply, SendReply(_first_outcomes(asked.messages, sent.messages, reply.outcomes)))
    if isinstance(asked, Apply) and isinstance(sent, Apply) and isinstance(reply, ApplyReply):
        before, after = ([each.message for each in one.effects.sends] for one in (asked, sent))
        return cast(Reply, structs.replace(reply, outcomes=_first_outcomes(before, after, reply.outcomes)))
    return reply


def _first_outcomes(
    asked: Sequence[Draft], sent: Sequence[Draft], outcomes: Sequence[SendOutcome]
) -> tuple[SendOutcome, ...]:
    return tuple(
        structs.replace(outcome, is_duplicate=False)
        if isinstance(outcome, Sent) and before.message_id is None and outcome.message_id == after.message_id
        else outcome
        for before, after, outcome in zip(asked, sent, outcomes, strict=True)
    )
