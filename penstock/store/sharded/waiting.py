"""Which calls wait while slots move from shard to shard: those that change something of these.

Questions are answered meanwhile: what moves stands still, and is where the map says.
"""

from collections.abc import Callable, Sequence
from typing import Any

from penstock.core.effects import Effects
from penstock.core.placement import slot_of, slot_of_key
from penstock.core.settlements import Settlement

_OF_A_QUEUE = frozenset(
    {"create_queue", "update_queue", "delete_queue", "purge_queue", "update_group", "send", "receive"}
)
_OF_KEYS: dict[str, Callable[[Any], str]] = {
    "put_records": lambda record: record.key,
    "delete_records": lambda key: key,
}
_OF_ALL = frozenset(
    {"release_leases", "cancel", "delete_messages", "reschedule", "rewrite", "cancel_move", "step_moves", "sweep"}
)
"""What changes whatever it finds."""


def has_to_wait(verb: str, arguments: Sequence[Any], moving: dict[int, int]) -> bool:
    """Return whether a call is about a slot that moves."""
    if verb in _OF_ALL:
        return True
    if verb in _OF_A_QUEUE:
        return slot_of(arguments[0]) in moving
    if verb in _OF_KEYS:
        return any(slot_of_key(_OF_KEYS[verb](each)) in moving for each in arguments[0])
    if verb == "settle":
        return any(_is_moving(each, moving) for each in arguments[0])
    if verb == "apply":
        return not slots_in(arguments[0]).isdisjoint(moving)
    return verb == "start_move" and slot_of(arguments[0].source) in moving


def slots_in(effects: Effects) -> set[int]:
    """Return the slots of all that effects are about."""
    keys = [each.key for each in effects.guards] + [each.key for each in effects.records]
    joins = [each.join_id for each in effects.joins] + [each.join_id for each in effects.arrivals]
    slots = {slot_of_key(key) for key in (*keys, *joins, *effects.forgets)}
    queues = [each.queue for each in effects.sends] + [each.follow_up.queue for each in effects.joins]
    return slots | {slot_of(queue) for queue in queues}


def _is_moving(settlement: Settlement, moving: dict[int, int]) -> bool:
    return slot_of(settlement.queue) in moving or not slots_in(settlement.effects).isdisjoint(moving)
