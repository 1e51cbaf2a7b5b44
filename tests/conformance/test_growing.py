"""A store of several shards to which more are added while it is used does what the memory store does.

Whoever adds them is killed at any moment, and somebody else goes on. ``PENSTOCK_MODEL_EXAMPLES=500`` looks longer.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any, cast
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from penstock.core.effects import NO_EFFECTS
from penstock.core.errors import InvalidRequest, StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue
from penstock.core.placement import homes, slot_of
from penstock.core.queues import QueueChanges
from penstock.store.memory import MemoryStore
from penstock.store.memory.house import MemoryHouse
from penstock.store.memory.mapped import MappedStore
from penstock.store.redis import RedisStore
from penstock.store.redis.address import read_addresses
from penstock.store.shard import Shard
from penstock.store.sharded import ShardedStore, growing
from penstock.store.sharded import store as sharded
from penstock.store.sharded.finishing import ABANDONED_AFTER_MS
from penstock.store.sharded.growing import Growing
from penstock.store.sharded.membership import Membership, keep_place, read_place
from penstock.store.sharded.shards import RESERVED
from penstock.store.sharded.store import OpenShard
from tests.conformance.implementations import Implementation, opened
from tests.conformance.test_model import MEMORY, Watch, contents, play, without_originals
from tests.support import redis_server
from tests.support.entropy import own_id
from tests.support.one_at_a_time import OneAtATime
from tests.support.scripts import NAMES, QUEUES, Advance, Past, next_step
from tests.support.world import World

EXAMPLES = int(os.environ.get("PENSTOCK_MODEL_EXAMPLES", "0"))
HOUSE_VERBS = ("page", "page_of", "take_in", "settle_queue", "leave_queue")

looking = settings(
    max_examples=EXAMPLES or 40,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)


class Late(MappedStore):
    """A shard that takes its time to answer, so that others come between."""

    random = Random(0)

    async def _ask(self, verb: str, *arguments: Any, **more: Any) -> Any:
        await self.others()
        return await super()._ask(verb, *arguments, **more)

    async def others(self) -> None:
        for _ in range(self.random.randrange(3)):
            await asyncio.sleep(0)

    def house(self) -> MemoryHouse:
        house = super().house()
        for verb in HOUSE_VERBS:
            setattr(house, verb, self._later(getattr(house, verb)))
        return house

    def _later(self, verb: Any) -> Any:
        async def ask(*arguments: Any) -> Any:
            await self.others()
            return await verb(*arguments)

        return ask


class LateStore(MemoryStore):
    def at(self, epoch: int) -> Shard:
        return cast(Shard, Late(self, epoch))

    async def aclose(self) -> None:
        """Others may still use it."""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "_LEAST_PAUSE_SECONDS", 0)
    monkeypatch.setattr(growing, "_LONGEST_PAUSE_SECONDS", 0)
    monkeypatch.setattr(sharded, "LOOKED_AFTER_SECONDS", 0)


@pytest.mark.parametrize("dies", [False, True], ids=["", "dies"])
@looking
@given(script=st.lists(st.integers(0, 1 << 64), min_size=40, max_size=150))
def test_a_store_that_grows_does_what_the_memory_store_does(script: list[int], *, dies: bool) -> None:
    asyncio.run(grow_in_memory(script, dies=dies))


@pytest.mark.parametrize("dies", [False, True], ids=["", "dies"])
@settings(looking, max_examples=EXAMPLES or 5)
@given(script=st.lists(st.integers(0, 1 << 64), min_size=40, max_size=150))
def test_a_store_on_redis_that_grows_does_what_the_memory_store_does(script: list[int], *, dies: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        tag = quote(directory, safe="")
        urls = [f"{server.url}?tag={tag}{part}" for part in "ab" for server in redis_server.shared_servers()]

        async def open_shard(url: str) -> Shard:
            (address,) = read_addresses(url)
            return RedisStore(address)

        asyncio.run(grow(script, urls, open_shard, dies=dies))


async def grow_in_memory(script: list[int], *, dies: bool) -> None:
    stores: dict[str, LateStore] = {}
    Late.random = Random(len(script) + script[0])

    async def open_shard(url: str) -> Shard:
        return stores.setdefault(url, LateStore())

    await grow(script, [f"memory://{index}" for index in range(4)], open_shard, dies=dies)


async def grow(script: list[int], urls: list[str], open_shard: OpenShard, *, dies: bool) -> None:
    """Play a script on two shards, to which two more are added while it goes on."""
    random = Random(len(script) + script[0])

    async def opened_store() -> ShardedStore:
        return await ShardedStore.open([await open_shard(url) for url in urls[:2]], open_shard)

    @contextlib.asynccontextmanager
    async def shards(directory: Path) -> AsyncIterator[Any]:
        async with contextlib.aclosing(await opened_store()) as store:
            yield store

    async with (
        opened(MEMORY, Path()) as model,
        opened(Implementation("growing", shards, is_sharded=True), Path()) as real,
    ):
        watches = Watch(model), Watch(real)
        for name in NAMES:
            for world in (model, real):
                await world.perform(CreateQueue(name, QUEUES[name]))
        past = Past(model.now, favourites=tuple(random.sample(NAMES, 2)))
        one_at_a_time = OneAtATime()

        async def add() -> None:
            # another process, which knows nothing of the others
            async with contextlib.aclosing(await opened_store()) as store:
                await Growing(store, lambda: real.now).add(urls[2:])

        adding: asyncio.Task[None] | None = None
        begins, ended = random.randrange(len(script)), False
        for place, number in enumerate(script):
            if not number:
                continue
            if place >= begins and not ended:
                if adding is not None and adding.done():
                    await adding
                    ended = True
                elif adding is None:
                    adding = asyncio.ensure_future(add())
                elif dies and random.random() < 0.3:
                    adding.cancel()
                    await asyncio.wait([adding])
                    adding = asyncio.ensure_future(add())
            step = one_at_a_time.made(next_step(number, past))
            if isinstance(step, Advance) or await is_under_way(real):
                await arrived(real)
            note(repr(step))
            expected, actual = await play(model, step), await play(real, step)
            assert without_originals(actual) == without_originals(expected)
            found = [watch.found() for watch in watches]
            assert found[1] == found[0], "what a receive found, and when it says to look again"
            past.remember(step, expected)
            past.now = model.now
            for _ in range(random.randrange(20)):
                await asyncio.sleep(0)
        if adding is not None:
            await adding
        await arrived(real)
        assert await seen(real) == await seen(model)
        if adding is not None:
            assert isinstance(real.store, ShardedStore)
            assert real.store.map.homes == homes(4)
            assert {real.store.home(name) for name in NAMES} & {2, 3}, "some of these queues have moved"


async def test_a_shard_that_has_lost_the_map_is_given_it_again() -> None:
    stores = [LateStore() for _ in range(3)]

    async def open_shard(url: str) -> Shard:
        return cast(Shard, stores[int(url)])

    store = await ShardedStore.open(cast(Any, stores[:2]), open_shard)
    await store.create_queue("q", QueueChanges(), 0, 0)
    await Growing(store, lambda: 0).add(["2"])
    for each in stores:
        each.map = (0, None)
    await store.send("q", [Draft("x", message_id=own_id(1))], 0)
    await store.check()
    assert {each.map[0] for each in stores} == {store.map.epoch}


async def test_shards_are_added_in_the_order_in_which_they_were_named() -> None:
    stores = [LateStore() for _ in range(4)]

    async def open_shard(url: str) -> Shard:
        return cast(Shard, stores[int(url)])

    store = await ShardedStore.open(cast(Any, stores[:2]), open_shard)
    # what is left of an attempt to add both that ended before anybody knew
    place = await read_place(cast(Any, stores[0]))
    assert place is not None
    for index in (2, 3):
        await keep_place(cast(Any, stores[index]), Membership(place.store_id, index, index + 1))
    with pytest.raises(InvalidRequest, match="before these"):
        await Growing(store, lambda: 0).add(["3"])
    await Growing(store, lambda: 0).add(["2", "3"])
    assert store.map.homes == homes(4)


async def test_a_round_whose_mover_has_gone_is_finished_by_who_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    stores = [LateStore() for _ in range(3)]

    async def open_shard(url: str) -> Shard:
        return cast(Shard, stores[int(url)])

    store, other = [await ShardedStore.open(cast(Any, stores[:2]), open_shard) for _ in range(2)]
    names = [name for name in map(str, range(200)) if homes(3)[slot_of(name)] == 2]
    for name in names:
        await store.create_queue(name, QueueChanges(), 0, 0)
        await store.send(name, [Draft("x", message_id=own_id(int(name)))], 0)
    adding = asyncio.ensure_future(Growing(other, lambda: 0).add(["2"]))
    while not store.map.moving:
        await asyncio.sleep(0)
        await store.check()
        if other.map.moving:
            await store.describe_queue(names[0], 0)
    adding.cancel()
    await asyncio.wait([adding])
    monkeypatch.setattr(sharded, "MOST_SECONDS", 0.2)
    with pytest.raises(StoreUnavailable, match="on its way"):
        await store.sweep(1000, 1)
    await store.sweep(1000, 1 + ABANDONED_AFTER_MS)
    assert not store.map.moving
    moved = [name for name in names if store.home(name) == 2]
    assert 0 < len(moved) < len(names), "one round was finished, and whoever starts again goes on"
    for name in names:
        assert (await store.describe_queue(name, 1)).counts.ready == 1
    await Growing(other, lambda: 1).add(["2"])
    await store.sweep(1000, 2)
    assert {store.home(name) for name in names} == {2}
    for name in names:
        assert len((await store.receive(name, [b"t" * 12] * 2, 1000, 2)).deliveries) == 1


async def is_under_way(world: World) -> bool:
    """Return whether something is on its way from shard to shard, beside what moves."""
    store = world.store
    assert isinstance(store, ShardedStore)
    for index, shard in enumerate(store.stores):
        for queue in await shard.list_queues("", "", 1000, None, world.now):
            is_moving = slot_of(queue.name) in store.map.moving
            if sum(asdict(queue.counts).values()) and (
                queue.name.startswith(RESERVED) or (store.home(queue.name) != index and not is_moving)
            ):
                return True
    return bool(store._spread.carrying._strays)


async def arrived(world: World) -> None:
    """Have all that is on its way home arrive, as the end of any step has it where nothing moves."""
    assert isinstance(world.store, ShardedStore)
    await world.store.cancel((), None, world.now)
    await world.store.apply(NO_EFFECTS, world.now)


async def seen(world: World) -> list[Any]:
    """Return all that can be seen of a store; of the events of one instant in no order: a round takes longer."""
    *others, events = await contents(world)
    return [*others, {name: sorted(map(repr, each)) for name, each in events.items()}]
