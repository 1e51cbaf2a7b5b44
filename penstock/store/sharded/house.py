"""A store of several shards as a house that everything is carried out of or into: each thing where it lives."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from msgspec import structs

from penstock.core.belongings import (
    Belonging,
    Gone,
    KeptEvent,
    KeptJoin,
    KeptMove,
    KeptQueue,
    KeptRecord,
    Kind,
    RestingName,
)
from penstock.core.placement import SLOTS
from penstock.store.contract import Store
from penstock.store.house import Place
from penstock.store.sharded.maps import publish
from penstock.store.sharded.relaying import RELAYED_AFTER_MS
from penstock.store.sharded.shards import is_named
from penstock.store.sharded.spread import Spread
from penstock.store.sharded.store import ShardedStore
from penstock.store.sharded.wrapping import rewrapped

_ON_ONE_SHARD = (0,) * SLOTS


class ShardedHouse:
    """A house of several shards, which nobody else uses.

    Args:
        store: the same, opened.
    """

    def __init__(self, store: ShardedStore) -> None:
        self.store: Store = store
        self._sharded = store
        self._houses = [shard.house() for shard in store.stores]

    async def gather(self, now: int) -> None:
        spread = Spread(self._sharded.shards_by_map)
        for index in spread.shards.indexes:
            await spread.relaying.relay_all(index, now + RELAYED_AFTER_MS + 1)
        for index in spread.shards.indexes:
            await spread.relaying.relay_joined(index, now)
        for index in spread.shards.indexes:
            await spread.carrying.carry_all(index, now)

    async def page(self, kind: Kind, after: Place | None, limit: int) -> tuple[Sequence[Belonging], Place | None]:
        if kind is KeptEvent:
            return await self._events(after, limit)
        index, within = (0, None) if after is None else (after[0], after[1])
        page, within = await self._houses[index].page(kind, None if within is None else tuple(within), limit)
        found = [_plain(each) for each in page if is_named(_name_of(each)) and self._home_of(each) == index]
        if within is not None:
            return found, (index, within)
        return found, (index + 1, None) if index + 1 < len(self._houses) else None

    async def _events(self, after: Place | None, limit: int) -> tuple[list[Belonging], Place | None]:
        """Read the feed of all shards; elsewhere its events have numbers one after the other."""
        last, count = (0, 0) if after is None else (after[0], after[1])
        events = await self.store.read_events(last, limit)
        found: list[Belonging] = [
            KeptEvent(structs.replace(event, event_id=count + number)) for number, event in enumerate(events, 1)
        ]
        return found, (events[-1].event_id, count + len(events)) if len(events) == limit else None

    async def take_in(self, things: Sequence[Belonging | Gone]) -> None:
        # the last one may say how far the others are: it is kept when they are
        await self._take_in(things[:-1])
        await self._take_in(things[-1:])

    async def _take_in(self, things: Sequence[Belonging | Gone]) -> None:
        by_shard: dict[int, list[Belonging | Gone]] = defaultdict(list)
        for each in things:
            if isinstance(each, KeptQueue) or (isinstance(each, Gone) and each.kind == "queue"):
                for index in range(len(self._houses)):
                    by_shard[index].append(each)
            elif isinstance(each, KeptJoin):
                kept = structs.replace(each, join=rewrapped(each.join, self._sharded.map.homes))
                by_shard[self._home_of(each)].append(kept)
            else:
                by_shard[self._home_of(each)].append(each)
        await asyncio.gather(*(self._houses[index].take_in(mine) for index, mine in by_shard.items()))

    def _home_of(self, thing: Belonging | Gone) -> int:
        name, shards = _name_of(thing), self._sharded.shards_by_map
        if isinstance(thing, KeptRecord) or (isinstance(thing, Gone) and thing.kind == "record"):
            return shards.home_of_record(name)
        if isinstance(thing, KeptJoin) or (isinstance(thing, Gone) and thing.kind == "join"):
            return shards.home_of_join(name)
        return shards.home(name)

    async def settle_in(self, now: int) -> None:
        await asyncio.gather(*(house.settle_in(now) for house in self._houses))

    async def clear(self) -> None:
        for house in self._houses:
            await house.clear()
        if self._sharded.map.epoch:
            await publish(self._sharded.stores, self._sharded.map)
        await self._sharded.join_up()

    def leaving(self) -> None:
        return None

    async def aclose(self) -> None:
        await self.store.aclose()


def _plain(thing: Belonging) -> Belonging:
    """Return something as a store of one shard keeps it."""
    if isinstance(thing, KeptJoin):
        return structs.replace(thing, join=rewrapped(thing.join, _ON_ONE_SHARD))
    return thing


def _name_of(thing: Belonging | Gone) -> str:
    """Return the name by which something lives where it does."""
    if isinstance(thing, KeptQueue | RestingName):
        return thing.name
    if isinstance(thing, KeptRecord):
        return thing.record.key
    if isinstance(thing, KeptJoin):
        return thing.join.join_id
    if isinstance(thing, KeptMove):
        return thing.move.source
    if isinstance(thing, KeptEvent):
        return thing.event.queue
    if isinstance(thing, Gone):
        return thing.queue or thing.key
    return thing.queue
