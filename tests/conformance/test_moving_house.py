"""Moving house: a store goes on in another one, as if nothing had happened: compared with memory, which stays."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from penstock.core.belongings import Belonging, Gone
from penstock.core.effects import Arrival, FollowUp, Join, Record
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DeleteQueue, StartMove
from penstock.store import migrating
from penstock.store.contract import Store
from penstock.store.following import StoreMoved
from penstock.store.house import House
from penstock.store.migrating import CannotMove, Migration, move_house
from penstock.store.partitioned import PartitionedStore
from penstock.store.postgres.house import PostgresHouse
from penstock.store.redis.house import RedisHouse
from penstock.store.sharded.house import ShardedHouse
from penstock.store.sqlite.house import SqliteHouse
from tests.conformance.implementations import IN_PROCESS, Implementation, opened
from tests.conformance.test_model import MEMORY, Watch, contents, play, without_originals
from tests.support.entropy import own_id
from tests.support.one_at_a_time import OneAtATime
from tests.support.scripts import NAMES, QUEUES, Past, next_step
from tests.support.world import World

EXAMPLES = int(os.environ.get("PENSTOCK_MODEL_EXAMPLES", "0"))
BY_NAME = {each.name: each for each in IN_PROCESS}
PAIRS = (
    *(("sqlite", "redis"), ("redis", "postgres"), ("postgres", "sqlite"), ("sqlite", "postgres")),
    *(("sqlite", "redis-shards"), ("redis", "redis-shards"), ("redis-shards", "cluster-shards")),
    *(("redis-shards", "postgres"), ("cluster-shards", "sqlite")),
)
HOUSES = {
    "sqlite": SqliteHouse,
    "redis": lambda store: RedisHouse(store, store.calls),
    "postgres": PostgresHouse,
    "redis-shards": ShardedHouse,
    "cluster-shards": ShardedHouse,
}

looking = settings(
    max_examples=EXAMPLES or 3,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)


@contextlib.asynccontextmanager
async def house_of(name: str, store: Store) -> AsyncIterator[House]:
    house: House = HOUSES[name](store.store if isinstance(store, PartitionedStore) else store)
    try:
        yield house
    finally:
        if isinstance(house, PostgresHouse):
            await house.disconnect()


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=["-to-".join(pair) for pair in PAIRS])
@looking
@given(script=st.lists(st.integers(0, 1 << 64), min_size=100, max_size=200))
def test_a_store_goes_on_in_another_one(source: str, target: str, script: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(move(BY_NAME[source], BY_NAME[target], script, Path(directory)))


async def move(source: Implementation, target: Implementation, script: list[int], directory: Path) -> None:
    for name in ("source", "target"):
        (directory / name).mkdir()
    async with opened(MEMORY, directory) as model, opened(target, directory / "target") as there:
        async with opened(source, directory / "source") as here:
            for name in NAMES:
                for world in (model, here):
                    await world.perform(CreateQueue(name, QUEUES[name]))
            past = Past(model.now, favourites=tuple(Random(len(script) + script[0]).sample(NAMES, 2)))
            watches = Watch(model), Watch(here)
            one_at_a_time = OneAtATime() if source.is_sharded or target.is_sharded else None
            await play_on(watches, script[: len(script) // 2], past, one_at_a_time)
            there.clock.advance((here.now - there.now) / 1000)
            there.entropy.__dict__.update(here.entropy.__dict__)
            async with house_of(source.name, here.store) as old, house_of(target.name, there.store) as new:
                migration = Migration(old, new, "here", lambda done, of: None)
                assert not await migration.begin(here.now)
                await migration.carry(here.now)
                await migration.settle_in(here.now)
                await migration.end()
        assert await contents(there) == await contents(model), "what was carried"
        await play_on((watches[0], Watch(there)), script[len(script) // 2 :], past, one_at_a_time)
        assert await contents(there) == await contents(model)


class Killed(Exception):
    """What a kill does to a migration in this process."""


class Interrupted:
    """A target that its migration is killed at, before or after a step; and life goes on in the source meanwhile.

    Args:
        target: takes things in.
        random: decides when.
        live_on: lets something happen in the source.
    """

    def __init__(self, target: House, random: Random, live_on: Callable[[], Awaitable[None]]) -> None:
        self.store = target.store
        self.page = target.page
        self.leaving = target.leaving
        self._target, self._random, self._live_on = target, random, live_on

    async def take_in(self, things: Sequence[Belonging | Gone]) -> None:
        self._perhaps()
        await self._target.take_in(things)
        self._perhaps()
        await self._live_on()

    async def settle_in(self, now: int) -> None:
        self._perhaps()
        await self._target.settle_in(now)
        self._perhaps()

    async def aclose(self) -> None:
        raise AssertionError("it is the test's")

    def _perhaps(self) -> None:
        if self._random.random() < 0.07:
            raise Killed


@pytest.mark.parametrize("target", ["redis", "postgres", "sqlite", "redis-shards"])
@looking
@given(script=st.lists(st.integers(0, 1 << 64), min_size=150, max_size=250))
def test_a_file_is_left_while_it_is_used_and_whenever_that_is_killed(target: str, script: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrating, "_PAGE", 7)
        asyncio.run(leave(BY_NAME[target], script, Path(directory)))


async def leave(target: Implementation, script: list[int], directory: Path) -> None:
    for name in ("source", "target"):
        (directory / name).mkdir()
    random = Random(script[0])
    async with opened(MEMORY, directory) as model, opened(target, directory / "target") as there:
        async with opened(BY_NAME["sqlite"], directory / "source") as here:
            for name in NAMES:
                for world in (model, here):
                    await world.perform(CreateQueue(name, QUEUES[name]))
            past = Past(model.now, favourites=tuple(random.sample(NAMES, 2)))
            watches = Watch(model), Watch(here)
            one_at_a_time = OneAtATime() if target.is_sharded else None
            await play_on(watches, script[:60], past, one_at_a_time)
            numbers = iter(script[60:120])
            source = SqliteHouse(here.store)

            async def live_on() -> None:
                with contextlib.suppress(StoreMoved):
                    await source.store.list_queues("", "", 1, None, here.now)
                    if not source.keeps_turn:
                        some = [number for number, _ in zip(numbers, range(2), strict=False)]
                        await play_on(watches, some, past, one_at_a_time)

            async with house_of(target.name, there.store) as house:
                await migrate_until_done(source, Interrupted(house, random, live_on), here, live_on)
            there.clock.advance((here.now - there.now) / 1000)
            there.entropy.__dict__.update(here.entropy.__dict__)
            with pytest.raises(StoreMoved):
                await here.send(NAMES[0], "late", message_id=own_id(1))
            with pytest.raises(StoreMoved):
                await here.describe(NAMES[0])
            source.connection.close()
        assert await contents(there) == await contents(model), "what was carried"
        await play_on((watches[0], Watch(there)), script[120:], past, one_at_a_time)
        assert await contents(there) == await contents(model)


@pytest.mark.parametrize("into", ["sqlite", "redis", "postgres", "redis-shards"])
async def test_a_migration_that_is_given_up_leaves_nothing_behind(into: str, tmp_path: Path) -> None:
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    sqlite = BY_NAME["sqlite"]
    async with (
        opened(sqlite, tmp_path / "source") as here,
        opened(BY_NAME[into], tmp_path / "target") as there,
        house_of(into, there.store) as target,
    ):
        await here.create("gone")
        await here.perform(DeleteQueue("gone"))
        await here.create("standard", history="all")
        await here.send("standard", "a", "b", deduplication_id="x")
        await here.send("standard", "b", group_id="a")
        await here.perform(StartMove("standard", None))
        await here.apply(
            records=(Record("r", b"v", {"t": "x"}),),
            joins=(Join("j", 2, FollowUp("standard", Draft("joined", message_id=own_id(1)))),),
            arrivals=(Arrival("j", "1"),),
        )
        source = SqliteHouse(here.store)
        before = schema_of(source)
        migration = Migration(source, target, "here", lambda done, of: None)
        with pytest.raises(CannotMove):
            await migration.give_up(here.now)
        leaving = source.leaving()
        await leaving.begin()
        assert not await migration.begin(here.now)
        await migration.carry(here.now)
        with pytest.raises(CannotMove):
            await Migration(source, target, "elsewhere", lambda done, of: None).begin(here.now)
        await migration.give_up(here.now)
        assert schema_of(source) == before
        assert await contents(there) == await empty_contents(tmp_path)
        assert not await Migration(source, target, "here", lambda done, of: None).begin(here.now), "it was not emptied"
        assert await here.receive_bodies("standard") == ["a", "b"]
        source.connection.close()


def schema_of(house: SqliteHouse) -> list[object]:
    rows = house.connection.execute("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
    return [row[0] for row in rows]


async def empty_contents(directory: Path) -> list[object]:
    async with opened(MEMORY, directory) as world:
        return await contents(world)


async def migrate_until_done(
    source: SqliteHouse, target: House, here: World, live_on: Callable[[], Awaitable[None]]
) -> None:
    while True:
        migration = Migration(source, target, "here", lambda done, of: None)
        try:
            await source.store.list_queues("", "", 1, None, here.now)
            await migration.begin(here.now)
            await move_house(migration, source, "redis://elsewhere", "redis://elsewhere", lambda: here.now)
        except Killed:
            await live_on()
        except StoreMoved:
            # killed between leaving and taking the note away
            try:
                await migration.end()
            except Killed:
                continue
            return
        else:
            return


async def play_on(
    watches: tuple[Watch, Watch], script: list[int], past: Past, one_at_a_time: OneAtATime | None = None
) -> None:
    model, real = watches[0].world, watches[1].world
    for number in filter(None, script):
        step = next_step(number, past)
        step = step if one_at_a_time is None else one_at_a_time.made(step)
        note(repr(step))
        expected, actual = await play(model, step), await play(real, step)
        if one_at_a_time is None:
            assert actual == expected
        else:
            assert without_originals(actual) == without_originals(expected)
        found = [watch.found() for watch in watches]
        assert found[1] == found[0], "what a receive found, and when it says to look again"
        past.remember(step, expected)
        past.now = model.now
