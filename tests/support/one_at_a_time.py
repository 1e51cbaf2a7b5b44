"""Steps without what a store of several shards leaves open: in which order things come to a queue that one step sends
there from other shards, and which of two messages of one caller's own id is kept when both are under way."""

from msgspec import structs

from penstock.core.effects import Effects, FollowUp
from penstock.core.operations import Apply, Settle, StartMove
from penstock.core.settlements import DeadLetter, Settlement
from tests.support.scripts import Advance, Step


class OneAtATime:
    """Makes steps of which each sends at most one thing to other shards, and lets one move run at a time."""

    def __init__(self) -> None:
        self._has_moved = False

    def made(self, step: Step) -> Step:
        """Return a step, or as much of it as is determined."""
        if isinstance(step, StartMove):
            if self._has_moved:
                return Advance(0.001)
            self._has_moved = True
        elif isinstance(step, Apply):
            return Apply(_plain(step.effects))
        elif isinstance(step, Settle):
            return Settle((_settlement(step.settlements[0]),))
        return step


def _settlement(settlement: Settlement) -> Settlement:
    if isinstance(settlement.action, DeadLetter):
        kept = Effects(settlement.effects.guards, settlement.effects.forgets, records=settlement.effects.records)
        return structs.replace(settlement, effects=kept)
    return structs.replace(settlement, effects=_plain(settlement.effects))


def _plain(effects: Effects) -> Effects:
    joins = tuple(structs.replace(join, follow_up=_unnamed(join.follow_up)) for join in effects.joins[:1])
    arrivals = tuple(each for each in effects.arrivals if each.join_id == effects.arrivals[0].join_id)
    sends = () if arrivals else tuple(map(_unnamed, effects.sends))
    return structs.replace(effects, sends=sends, joins=joins, arrivals=arrivals)


def _unnamed(follow_up: FollowUp) -> FollowUp:
    return structs.replace(follow_up, message=structs.replace(follow_up.message, message_id=None))
