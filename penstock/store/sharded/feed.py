"""One feed of the events of several shards, in the order of their instants.

An event's id is made of its instant, its id on its shard, and the shard; so a reader goes on after any event, at any
process. Within a shard the way back from an instant to an id is looked for by halves.
"""

import asyncio
from collections.abc import Sequence

from msgspec import structs

from penstock.core.events import Event
from penstock.store.sharded.shards import Shards

_SHARD_BITS, _ID_BITS = 6, 15


class Feed:
    """Reads the events of shards as one feed.

    Args:
        shards: which.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._known = [(0, 0)] * len(shards)

    async def read(self, after: int, limit: int) -> list[Event]:
        """Return events after an id, oldest first; ``after=-1`` the latest ones."""
        if after < 0:
            pages = await self._shards.all(lambda shard: shard.read_events(after, limit))
            return self._merged(pages)[-limit:]
        at = after >> _SHARD_BITS + _ID_BITS
        pages = await asyncio.gather(*(self._read_one(index, after, at, limit) for index in self._shards.indexes))
        return [event for event in self._merged(pages) if event.event_id > after][:limit]

    def _merged(self, pages: Sequence[Sequence[Event]]) -> list[Event]:
        found = [
            structs.replace(event, event_id=_name(event, index)) for index, page in enumerate(pages) for event in page
        ]
        return sorted(found, key=lambda event: event.event_id)

    async def _read_one(self, index: int, after: int, at: int, limit: int) -> list[Event]:
        """Return events of a shard from the first at an instant on, of which ``limit`` are after the id."""
        shard, start = self._shards[index], await self._before(index, at)
        found: list[Event] = []
        while True:
            page = await shard.read_events(start, limit)
            found += [event for event in page if _name(event, index) > after]
            if len(page) < limit or len(found) >= limit:
                return found
            start = page[-1].event_id

    async def _before(self, index: int, at: int) -> int:
        """Return the id on a shard after which all events are of an instant or later."""
        shard, (known_at, known) = self._shards[index], self._known[index]
        low = known if known_at <= at else 0
        latest = await shard.read_events(-1, 1)
        high = latest[-1].event_id if latest else low
        while low < high:
            middle = (low + high) // 2
            (event,) = await shard.read_events(middle, 1)
            if event.at < at:
                low = event.event_id
            else:
                high = middle
        self._known[index] = (at, low)
        return low


def _name(event: Event, index: int) -> int:
    return (event.at << _ID_BITS | event.event_id & (1 << _ID_BITS) - 1) << _SHARD_BITS | index
