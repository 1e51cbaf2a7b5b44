"""Where settlements and effects that name a queue of several partitions happen: each at the partition it means."""

from collections.abc import Iterable

from msgspec import structs

from penstock.core.effects import NO_EFFECTS, Effects, FollowUp
from penstock.core.errors import InvalidRequest
from penstock.core.operations import ApplyReply
from penstock.core.partitions import queue_of
from penstock.core.settlements import Settlement
from penstock.store.partitioned.parts import Known


def names_in(settlement: Settlement) -> Iterable[str]:
    """Return the queues that a settlement names."""
    yield queue_of(settlement.queue)
    yield from names_in_effects(settlement.effects)


def names_in_effects(effects: Effects) -> Iterable[str]:
    """Return the queues that effects name."""
    for follow_up in (*effects.sends, *(join.follow_up for join in effects.joins)):
        yield queue_of(follow_up.queue)


def routed(settlement: Settlement, known: Known) -> Settlement:
    """Return a settlement as it names partitions. Raises InvalidRequest where there is none, or where several are meant
    at once."""
    parts = known.get(settlement.queue)
    if parts is not None:
        numbers = parts.of_handles(settlement.receipt_handle, *settlement.also)
        if len(numbers) > 1:
            raise InvalidRequest(
                "Deliveries of several partitions cannot end in one step.",
                hint="Name those of one message group, or settle each by itself.",
                field="also",
            )
        settlement = structs.replace(settlement, queue=parts.names[numbers[0]])
    if settlement.effects is NO_EFFECTS:
        return settlement
    effects = routed_effects(settlement.effects, known)
    return settlement if effects is settlement.effects else structs.replace(settlement, effects=effects)


def routed_effects(effects: Effects, known: Known) -> Effects:
    """Return effects as they name partitions. Raises InvalidRequest where a message fits none."""
    if not any(name in known for name in names_in_effects(effects)):
        return effects
    return structs.replace(
        effects,
        sends=tuple([_routed(each, known) for each in effects.sends]),
        joins=tuple([structs.replace(each, follow_up=_routed(each.follow_up, known)) for each in effects.joins]),
    )


def _routed(follow_up: FollowUp, known: Known) -> FollowUp:
    parts = known.get(follow_up.queue)
    if parts is None:
        return follow_up
    return FollowUp(parts.names[parts.of_draft(follow_up.message)], follow_up.message)


def applied(reply: ApplyReply, effects: Effects, known: Known) -> ApplyReply:
    """Return what partitions answer to effects as their queues answer it."""
    outcomes = list(reply.outcomes)
    for place, send in enumerate(effects.sends):
        parts = known.get(send.queue)
        if parts is not None:
            outcomes[place] = parts.sent(outcomes[place], parts.of_draft(send.message))
    return structs.replace(reply, outcomes=tuple(outcomes))
