"""A store of several shards, by the newest map: when that changes, what was refused is asked again by the next one."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from penstock.core.errors import InvalidRequest, StoreUnavailable
from penstock.core.filters import Matcher, matches
from penstock.core.placement import slot_of
from penstock.store.contract import VERBS, Store, WakeupListener
from penstock.store.shard import MapChanged, Shard
from penstock.store.sharded.finishing import Watch, finish, signs_of_life
from penstock.store.sharded.maps import Map, first_map, newest_map, publish
from penstock.store.sharded.membership import join_up
from penstock.store.sharded.recordkeys import RecordKeys
from penstock.store.sharded.relaying import make_outbox
from penstock.store.sharded.shards import JOINED, RESERVED, Shards
from penstock.store.sharded.spread import Spread
from penstock.store.sharded.waiting import has_to_wait

log = logging.getLogger("penstock.store")

OpenShard = Callable[[str], Awaitable[Shard]]

LOOKED_AFTER_SECONDS = 0.03
"""How often the map is read while something is waited for that moves."""

MOST_SECONDS = 30.0
"""How long a call waits for something that moves."""


async def _open_none(url: str) -> Shard:
    raise InvalidRequest("The store has a shard that is not named.", hint="Name all of them.", field="store")


class ShardedStore(Store):
    """Several stores that make up one.

    Made by ``await ShardedStore.open(stores)``.
    """

    def __init__(self, stores: Sequence[Shard], known: Map, open_shard: OpenShard = _open_none) -> None:
        self.stores = list(stores)
        self.open_shard = open_shard
        self._listeners: list[WakeupListener] = []
        self._matcher: Matcher = matches
        self._left: dict[int, set[int]] = defaultdict(set)
        self._renewing = asyncio.Lock()
        self._watch = Watch(self.stores[0])
        self._watching: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._spread = Spread(Shards(self.stores, known, self._renewed))
        for index, store in enumerate(stores):
            store.listen(self._listener(index))
        for verb in VERBS:
            setattr(self, verb, partial(self._ask, verb))

    @classmethod
    async def open(cls, stores: Sequence[Shard], open_shard: OpenShard = _open_none) -> "ShardedStore":
        """Make one store of several. They are closed with it, also when this fails.

        Args:
            stores: always the same, in the same order; those that were added later may be missing.
            open_shard: opens one that was added later by its URL.

        Raises:
            InvalidRequest: they are no shards of one store.
            StoreUnavailable: one is away that was never part of it, or all are.
        """
        store = cls(stores, first_map(len(stores)), open_shard)
        try:
            while True:
                known = await newest_map(store.stores)
                if known is not None:
                    await store._use(known)
                with contextlib.suppress(MapChanged):
                    await store.join_up()
                    return store
        except BaseException:
            await store.aclose()
            raise

    async def join_up(self) -> None:
        """Prove that the shards are those of one store, and have them hold what each holds. Raises as ``open``."""
        await join_up(self._spread.shards, len(self.stores))
        await self._spread.shards.those_there(make_outbox)

    @property
    def shards_by_map(self) -> Shards:
        """The shards, for calls by the newest map it has seen."""
        return self._spread.shards

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The stores it is made of."""
        return tuple(self.stores)

    @property
    def map(self) -> Map:
        """The newest map it has seen."""
        return self._spread.shards.map

    def home(self, queue: str) -> int:
        """Return the shard that a queue lives on, by its place."""
        return self._spread.shards.home(queue)

    def home_of_record(self, key: str) -> int:
        """Return the shard that a record lives on, by its place."""
        return self._spread.shards.home_of_record(key)

    # -- asking ------------------------------------------------------------------------------------------------------

    async def _ask(self, verb: str, *arguments: Any, **more: Any) -> Any:
        clock = asyncio.get_running_loop()
        began = clock.time()
        while True:
            spread = self._spread
            moving = spread.shards.map.moving
            if moving and verb == "sweep" and clock.time() - began < MOST_SECONDS:
                # who waits to sweep looks after whoever moves
                await self._finish_abandoned(arguments[-1] + int(1000 * (clock.time() - began)))
                await self._look_again()
                continue
            if moving and has_to_wait(verb, arguments, moving):
                await self._renewed(spread.shards, set(moving))
                continue
            try:
                return await getattr(spread, verb)(*arguments, **more)
            except MapChanged:
                await self._renew(spread.shards)

    async def _renewed(self, shards: Shards, slots: set[int]) -> Spread:
        """Return the store by a map in which none of some slots is moving, and that is not what a shard has refused."""
        await self._renew(shards)
        until = asyncio.get_running_loop().time() + MOST_SECONDS
        while not slots.isdisjoint(self.map.moving):
            if asyncio.get_running_loop().time() > until:
                raise StoreUnavailable(
                    "What this is about is on its way to another shard.",
                    hint="Try again in a moment: should nobody be adding shards any more, who sweeps goes on.",
                )
            await self._look_again()
        return self._spread

    async def _look_again(self) -> None:
        """Look after a while whether the map has changed; all who wait look together."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.ensure_future(self._look_later())
        await asyncio.shield(self._watching)

    async def _look_later(self) -> None:
        await asyncio.sleep(LOOKED_AFTER_SECONDS)
        await self._renew(self._spread.shards)

    async def _renew(self, shards: Shards) -> None:
        """Use a newer map than these have, if there is one; a shard that knew an older one is given it."""
        async with self._renewing:
            if self._spread.shards is shards:
                newest = await newest_map(self.stores, shards.map)
                if newest is not None and newest.epoch > shards.map.epoch:
                    await self._use(newest)

    async def _open_shards(self, known: Map) -> None:
        while len(self.stores) < known.shard_count:
            index = len(self.stores)
            if index not in known.urls:
                raise InvalidRequest(
                    f"The store has {known.shard_count} shards, the URL names {index}.",
                    hint="Name all of them, in their order.",
                    field="store",
                )
            store = await self.open_shard(known.urls[index])
            log.warning(
                "The store has a shard that is not named: %s. Add it to the URL.", getattr(store, "name", index)
            )
            store.listen(self._listener(index))
            store.match_by(self._matcher)
            self.stores.append(store)

    async def _use(self, known: Map) -> None:
        await self._open_shards(known)
        for slot, (old, new) in enumerate(zip(self.map.homes, known.homes, strict=True)):
            if old != new:
                self._left[slot].add(old)
        before, self._spread = self._spread, Spread(Shards(self.stores, known, self._renewed))
        self._spread.carrying.go_on(before.carrying)
        self._spread.relaying.go_on(before.relaying)
        ending = asyncio.ensure_future(before.aclose())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _finish_abandoned(self, now: int) -> None:
        """Finish what is moving, if whoever moved it has gone."""
        known = self.map
        if not known.moving or not await self._watch.is_abandoned(known, now):
            return
        log.warning("Whoever was adding shards has gone: %d slots are moved on from here.", len(known.moving))
        keys = RecordKeys()
        with contextlib.suppress(MapChanged):  # somebody else does it
            known = await self.publish(known.next())
            async with signs_of_life(self.stores[0]):
                await keys.find(Shards(self.stores, known).houses(), now)
                known, _ = await finish(self.stores, known, keys, lambda: now, self.publish)
                await keys.end(Shards(self.stores, known).houses(), now)

    async def publish(self, published: Map) -> Map:
        """Have everybody know a map, and this store use it. Raises MapChanged, StoreUnavailable."""
        async with self._renewing:
            await self._open_shards(published)
        await publish(self.stores, published)
        async with self._renewing:
            if published.epoch > self.map.epoch:
                await self._use(published)
        return published

    def match_by(self, matcher: Matcher) -> None:
        self._matcher = matcher
        for store in (*self.stores, *self._spread.shards.stores):
            store.match_by(matcher)

    # -- wake-ups ----------------------------------------------------------------------------------------------------

    def listen(self, listener: WakeupListener) -> None:
        self._listeners.append(listener)

    def _listener(self, index: int) -> WakeupListener:
        def wake(name: str, at: int) -> None:
            queue, spread = name.partition("\n")[0], self._spread
            if queue == JOINED:
                spread.relaying.note(index)
            elif not queue.startswith(RESERVED):
                if spread.shards.home(queue) != index:
                    spread.carrying.note(index, queue)
                    if index not in self._left.get(slot_of(queue), ()):
                        return
                # or who waits has last asked there, before the queue went away
                for listener in self._listeners:
                    listener(name, at)

        return wake

    async def aclose(self) -> None:
        self._listeners.clear()
        if self._watching is not None:
            self._watching.cancel()
        await asyncio.gather(self._spread.aclose(), *self._ending)
        await asyncio.gather(*(store.aclose() for store in self.stores))
