"""Adding shards to a store that is in use: each takes its share of the slots, round by round.

Who is killed while he does that leaves a store in which the slots of one round are waited for, until somebody who
sweeps finishes it. Whoever starts again goes on; the one before, should he still be there, is refused from then on, as
everybody is who has an older map.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from penstock.core.errors import InvalidRequest
from penstock.core.placement import SLOTS, homes, slot_of
from penstock.store.shard import Shard
from penstock.store.sharded.finishing import finish, signs_of_life
from penstock.store.sharded.maps import Map, first_map, newest_map
from penstock.store.sharded.membership import Membership, keep_place, prove_empty, read_place, take_queues
from penstock.store.sharded.recordkeys import RecordKeys
from penstock.store.sharded.relaying import make_outbox
from penstock.store.sharded.shards import Shards, is_named
from penstock.store.sharded.store import ShardedStore

Progress = Callable[[int, int], None]
"""Told how many slots of how many are where they belong."""

MOST_SHARDS = 64
MOST_MESSAGES, MOST_SLOTS = 5_000, 64
"""Of one round, more where one slot has more: all of its queues stand still meanwhile."""

_LEAST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 1.0


class Growing:
    """Adds shards to a store.

    Args:
        store: in use.
        now_ms: tells the time.
        progress: is told how far it is.
    """

    def __init__(
        self, store: ShardedStore, now_ms: Callable[[], int], progress: Progress = lambda done, of: None
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._progress = progress
        self._keys = RecordKeys()
        self.carried = 0
        self.longest_pause_seconds = 0.0

    async def add(self, urls: Sequence[str]) -> None:
        """Have a store live on more shards; those it lives on already are no harm.

        Args:
            urls: of the shards; all who use the store reach them there.

        Raises:
            InvalidRequest: one is in use otherwise.
            StoreUnavailable: a shard is away; started again, this goes on.
            MapChanged: somebody else adds shards.
        """
        known = await self._known()
        place = await read_place(self._store.stores[0])
        assert place is not None
        added = {**known.urls}
        for url in urls:
            shard = await self._store.open_shard(url)
            try:
                index = await self._place_of(shard, place, known.shard_count + len(added) - len(known.urls))
                await make_outbox(shard)
                if index >= known.shard_count:
                    added[index] = url
            finally:
                await shard.aclose()
        if added != known.urls:
            count = known.shard_count + len(added) - len(known.urls)
            if max(added) != count - 1:
                raise InvalidRequest(
                    "A shard was to be added before these, and was not.", hint="Name it before them.", field="store"
                )
            if count > MOST_SHARDS:
                raise InvalidRequest(f"A store has at most {MOST_SHARDS} shards.", field="store")
            await self._store.publish(known.next(shard_count=count, urls=added))
        await self.spread()

    async def _place_of(self, shard: Shard, store: Membership, next_index: int) -> int:
        """Return the place of a shard in the store: the next one if it has none."""
        place = await read_place(shard)
        if place is None:
            await prove_empty("The new shard", shard)
            place = Membership(store.store_id, next_index, next_index + 1)
            await keep_place(shard, place)
        if place.store_id != store.store_id:
            raise InvalidRequest("The shard is part of another store.", hint="Check its URL.", field="store")
        return place.index

    async def spread(self) -> None:
        """Move slots until each is where it belongs."""
        async with signs_of_life(self._store.stores[0]):
            await self._spread()

    async def _spread(self) -> None:
        # whoever did this before is gone, or refused from now on
        known = await self._store.publish((await self._known()).next())
        await self._keys.find(Shards(self._store.stores, known).houses(), self._now_ms())
        if known.moving:
            known = await self._finish(known)
        await self._make_ready(known)
        wanted = homes(known.shard_count)
        sizes = await self._sizes()
        while True:
            left = [slot for slot in range(SLOTS) if known.homes[slot] != wanted[slot]]
            of = sum(wanted[slot] in known.urls for slot in range(SLOTS))
            self._progress(of - len(left), of)
            if not left:
                await self._keys.end(Shards(self._store.stores, known).houses(), self._now_ms())
                return
            moving = {slot: wanted[slot] for slot in _of_one_round(left, sizes)}
            began = asyncio.get_running_loop().time()
            known = await self._finish(await self._store.publish(known.next(moving=moving)))
            took = asyncio.get_running_loop().time() - began
            self.longest_pause_seconds = max(took, self.longest_pause_seconds)
            # who wants something of all slots gets his turn
            await asyncio.sleep(min(_LONGEST_PAUSE_SECONDS, max(_LEAST_PAUSE_SECONDS, took)))

    async def _finish(self, known: Map) -> Map:
        known, carried = await finish(self._store.stores, known, self._keys, self._now_ms, self._store.publish)
        self.carried += carried
        return known

    async def _make_ready(self, known: Map) -> None:
        """Have the shards that came later hold what every shard holds."""
        shards = Shards(self._store.stores, known)
        for index in sorted(known.urls):
            await take_queues(shards, index)
        first = await read_place(shards[0])
        assert first is not None
        for index in shards.indexes:
            await keep_place(shards[index], Membership(first.store_id, index, known.shard_count), again=True)

    async def _sizes(self) -> Counter[int]:
        """Return the number of messages in each slot."""
        sizes: Counter[int] = Counter()
        after: str | None = ""
        while after is not None:
            page = await self._store.list_queues("", after, 1000, None, self._now_ms())
            for queue in page:
                if is_named(queue.name):
                    sizes[slot_of(queue.name)] += queue.counts.ready + queue.counts.delayed + queue.counts.in_flight
            after = page[-1].name if len(page) == 1000 else None
        return sizes

    async def _known(self) -> Map:
        return await newest_map(self._store.stores) or first_map(len(self._store.stores))


def _of_one_round(slots: Sequence[int], sizes: Counter[int]) -> list[int]:
    found, messages = list[int](), 0
    for slot in slots[:MOST_SLOTS]:
        messages += sizes[slot]
        if found and messages > MOST_MESSAGES:
            break
        found.append(slot)
    return found
