"""A store of several shards to which more are added while it is used does what the memory store does.

Whoever adds them is killed at any moment, and somebody else goes on. ``PENSTOCK_MODEL_EXAMPLES=500`` looks longer.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from penstock.core.effects import NO_EFFECTS
from penstock.core.operations import CreateQueue
from penstock.core.placement import homes, slot_of
from penstock.store.contract import Shard
from penstock.store.memory import MemoryStore
from penstock.store.memory.house import MemoryHouse
from penstock.store.memory.mapped import MappedStore
from penstock.store.sharded import ShardedStore, growing
from penstock.store.sharded import store as sharded
from penstock.store.sharded.growing import Growing
from penstock.store.sharded.shards import RESERVED
from tests.conformance.implementations import Implementation, opened
from tests.conformance.test_model import MEMORY, Watch, contents, play, without_originals
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
    asyncio.run(grow(script, dies=dies))


async def grow(script: list[int], *, dies: bool) -> None:
    stores: dict[str, LateStore] = {f"memory://{index}": LateStore() for index in range(2)}
    random = Late.random = Random(len(script) + script[0])

    async def open_shard(url: str) -> Shard:
        return stores.setdefault(url, LateStore())

    @contextlib.asynccontextmanager
    async def shards(directory: Path) -> AsyncIterator[Any]:
        yield await ShardedStore.open(list(stores.values())[:2], open_shard)

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
            store = await ShardedStore.open(list(stores.values())[:2], open_shard)
            await Growing(store, lambda: real.now).add(["memory://2", "memory://3"])

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
            if isinstance(step, Advance) or is_under_way(real):
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


def is_under_way(world: World) -> bool:
    """Return whether something is on its way from shard to shard, beside what moves."""
    store = world.store
    assert isinstance(store, ShardedStore)
    for index, shard in enumerate(store.stores):
        assert isinstance(shard, MemoryStore)
        for queue in shard._shelf.queues.values():
            is_moving = slot_of(queue.name) in store.map.moving
            if queue.rows and (queue.name.startswith(RESERVED) or (store.home(queue.name) != index and not is_moving)):
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
