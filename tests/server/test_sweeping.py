"""Upkeep: the expired is forgotten, moves go on, and an idle store is left alone."""

import pytest

from penstock.broker import sweeping
from penstock.broker.local import LocalBroker
from penstock.broker.sweeping import Sweeping
from penstock.core.errors import StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.moves import MoveStatus
from penstock.core.operations import CreateQueue, DescribeQueue, ListMoves, Receive, Send, StartMove
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from tests.support.turns import until


class Store(MemoryStore):
    """Counts what upkeep asks of it."""

    def __init__(self) -> None:
        super().__init__()
        self.sweeps = 0
        self.steps = 0
        self.error: Exception | None = None

    async def sweep(self, limit: int, now: int) -> int:
        self.sweeps += 1
        if self.error is not None:
            raise self.error
        return min(await super().sweep(limit, now), limit)

    async def step_moves(self, message_ids, now):  # type: ignore[no-untyped-def]
        self.steps += 1
        return await super().step_moves(message_ids, now)


class World:
    """A swept store whose time the test decides."""

    def __init__(self) -> None:
        self.store, self.clock = Store(), ManualClock()
        self.broker = Sweeping(LocalBroker(self.store, self.clock), self.store, self.clock)

    async def advance(self, seconds: float, step: float = 0.5) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            await until(lambda: True, "it has worked")

    async def counts(self, queue: str) -> int:
        counts = (await self.broker.perform(DescribeQueue(queue))).queue.counts
        return counts.ready + counts.delayed + counts.in_flight


@pytest.fixture
async def world():  # type: ignore[no-untyped-def]
    world = World()
    yield world
    await world.broker.aclose()


async def test_what_has_expired_is_forgotten(world: World) -> None:
    await world.broker.perform(CreateQueue("orders"))
    await world.broker.perform(Send("orders", (Draft("brief", time_to_live_seconds=5), Draft("kept"))))
    await world.advance(20)
    assert await world.counts("orders") == 1


async def test_much_that_has_expired_is_forgotten_soon(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_LIMIT", 1)
    await world.advance(1)
    swept = world.store.sweeps
    await world.broker.perform(CreateQueue("orders"))
    for _ in range(5):
        await world.broker.perform(Send("orders", (Draft("brief", time_to_live_seconds=1),)))
    await world.advance(11)
    await world.broker.perform(Send("orders", (Draft("brief", time_to_live_seconds=1),)))
    await world.advance(11)
    assert world.store.sweeps > swept
    assert await world.counts("orders") == 0


async def test_an_idle_store_is_left_alone(world: World) -> None:
    await world.advance(60)
    before = (world.store.sweeps, world.store.steps)
    await world.advance(600, step=5)
    assert world.store.sweeps - before[0] <= 61
    assert world.store.steps - before[1] <= 61


async def moving(world: World, rate_per_second: int | None) -> None:
    await world.broker.perform(CreateQueue("dead"))
    redrive = RedrivePolicy("dead", 1)
    await world.broker.perform(CreateQueue("orders", QueueChanges(redrive=redrive, visibility_timeout_seconds=0)))
    drafts = tuple(Draft(str(number)) for number in range(250))
    await world.broker.perform(Send("orders", drafts))
    for _ in range(2):
        for _ in range(5):
            await world.broker.perform(Receive("orders", 100, wait_seconds=0))
            world.clock.advance(0.01)
    assert await world.counts("dead") == 250
    await world.broker.perform(StartMove("dead", rate_per_second=rate_per_second))


async def status(world: World) -> MoveStatus:
    return (await world.broker.perform(ListMoves("dead"))).moves[0].status


async def test_a_move_starts_at_once_and_ends(world: World) -> None:
    await moving(world, None)
    await until(lambda: world.store.steps >= 3, "it moves")
    assert await status(world) is MoveStatus.COMPLETED
    assert await world.counts("orders") == 250


async def test_a_slow_move_keeps_its_rate(world: World) -> None:
    await moving(world, 10)
    await until(lambda: True, "it has begun")
    assert await world.counts("orders") == 1
    await world.advance(4, step=0.1)
    assert await world.counts("orders") == 41
    await world.advance(30, step=0.1)
    assert await status(world) is MoveStatus.COMPLETED


async def test_a_move_that_another_process_began_is_taken_over(world: World) -> None:
    await world.advance(60)
    await world.broker.perform(CreateQueue("dead"))
    await world.broker.perform(CreateQueue("target"))
    await world.broker.perform(Send("dead", (Draft("x"),)))
    await LocalBroker(world.store, world.clock).perform(StartMove("dead", "target"))
    await world.advance(11)
    assert await world.counts("target") == 1


async def test_upkeep_survives_a_store_that_is_away(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.broker.perform(CreateQueue("orders"))
    await world.broker.perform(Send("orders", (Draft("brief", time_to_live_seconds=5),)))
    for world.store.error in (StoreUnavailable("The disk is full."), RuntimeError("oh")):
        await world.advance(11)
    assert "The disk is full" in caplog.text
    assert "RuntimeError" in caplog.text
    world.store.error = None
    await world.advance(11)
    assert await world.counts("orders") == 0
