"""Many producers and consumers at once: no message under two live leases, groups in order, nothing lost."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest

from penstock.core.messages import Delivery, Draft
from penstock.core.operations import ReceiveReply
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.settlements import ChangeVisibility, GiveBack, Settled
from tests.support.world import World

PRODUCERS = 8
CONSUMERS = 8
EACH = 25
TOTAL = PRODUCERS * EACH


@dataclass
class Ledger:
    """What consumers saw: who holds what, and in which order each group was finished."""

    held: set[str] = field(default_factory=set)
    finished: list[str] = field(default_factory=list)
    by_group: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def take(self, delivery: Delivery) -> None:
        assert delivery.message_id not in self.held, "a message is under two live leases"
        self.held.add(delivery.message_id)

    def let_go(self, delivery: Delivery) -> None:
        self.held.remove(delivery.message_id)

    def finish(self, delivery: Delivery) -> None:
        self.let_go(delivery)
        self.finished.append(delivery.body)
        if delivery.group_id is not None:
            self.by_group[delivery.group_id].append(delivery.body)


async def produce(world: World, number: int, groups: int) -> None:
    for count in range(EACH):
        group_id = f"g{number % groups}" if groups else None
        await world.send("q", f"{number}-{count}", group_id=group_id)
        await asyncio.sleep(0)


async def consume(world: World, number: int, ledger: Ledger) -> None:
    """Take and finish until everything is finished; let go of every fifth instead."""
    count = 0
    while len(ledger.finished) < TOTAL:
        for delivery in await world.receive("q", 1 + number % 3):
            ledger.take(delivery)
            await asyncio.sleep(0)
            count += 1
            if count % 5 == 0:
                # let go before the store may hand it to another
                ledger.let_go(delivery)
                outcome = await world.settle("q", delivery, GiveBack() if count % 2 else ChangeVisibility(0))
                assert outcome.result is Settled.DONE
                continue
            ledger.finish(delivery)
            assert await world.delete("q", delivery) == [Settled.DONE]
        await asyncio.sleep(0)


@pytest.mark.parametrize("groups", [0, 3], ids=["no groups", "groups"])
async def test_many_at_once_lose_and_double_nothing(world: World, groups: int) -> None:
    await world.create("q")
    ledger = Ledger()
    await asyncio.gather(
        *(produce(world, number, groups) for number in range(PRODUCERS)),
        *(consume(world, number, ledger) for number in range(CONSUMERS)),
    )
    assert sorted(ledger.finished) == sorted(
        f"{number}-{count}" for number in range(PRODUCERS) for count in range(EACH)
    )
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    described = await world.describe("q")
    assert (described.sent_total, described.deleted_total) == (TOTAL, TOTAL)


async def test_many_at_once_keep_each_group_in_order(world: World) -> None:
    await world.create("q", group_order="strict")
    ledger = Ledger()
    taken: set[str | None] = set()

    async def consume_in_order(number: int) -> None:
        while len(ledger.finished) < TOTAL:
            deliveries = await world.receive("q", 1 + number % 3)
            left = Counter(each.group_id for each in deliveries)
            assert not taken & left.keys(), "two consumers hold messages of one group"
            taken.update(left)
            for delivery in deliveries:
                ledger.take(delivery)
                await asyncio.sleep(0)
                ledger.finish(delivery)
                left[delivery.group_id] -= 1
                if left[delivery.group_id] == 0:
                    taken.remove(delivery.group_id)
                assert await world.delete("q", delivery) == [Settled.DONE]
            await asyncio.sleep(0)

    await asyncio.gather(
        *(produce(world, number, PRODUCERS) for number in range(PRODUCERS)),
        *(consume_in_order(number) for number in range(CONSUMERS)),
    )
    for number in range(PRODUCERS):
        assert ledger.by_group[f"g{number}"] == [f"{number}-{count}" for count in range(EACH)]
    assert await world.counts("q") == QueueCounts(0, 0, 0)


async def test_long_polls_share_out_everything_that_is_sent(world: World) -> None:
    await world.create("q")
    got: list[str] = []

    async def poll() -> None:
        while len(got) < TOTAL:
            reply: ReceiveReply = await asyncio.shield(await world.long_poll("q", 2, wait_seconds=1000))
            for delivery in reply.deliveries:
                got.append(delivery.body)
                await world.delete("q", delivery)

    pollers = [asyncio.ensure_future(poll()) for _ in range(CONSUMERS)]
    await asyncio.gather(*(produce(world, number, 0) for number in range(PRODUCERS)))
    while len(got) < TOTAL:
        await asyncio.wait(pollers, timeout=0.005)
    for poller in pollers:
        poller.cancel()
    await asyncio.gather(*pollers, return_exceptions=True)
    assert sorted(got) == sorted(f"{number}-{count}" for number in range(PRODUCERS) for count in range(EACH))


async def test_cancelled_long_polls_lose_nothing(near_world: World) -> None:
    world = near_world
    await world.create("q")
    got: list[str] = []

    async def poll(number: int) -> None:
        cancelled = await world.long_poll("q")
        await world.send("q", str(number))
        cancelled.cancel()
        (result,) = await asyncio.gather(cancelled, return_exceptions=True)
        if isinstance(result, ReceiveReply):
            got.extend(each.body for each in result.deliveries)

    await asyncio.gather(*(poll(number) for number in range(40)))
    await world.settled()
    got += await world.receive_bodies("q", 100)
    assert sorted(got, key=int) == [str(number) for number in range(40)]


async def test_one_named_message_sent_by_many_is_kept_once(world: World) -> None:
    await world.create("q")
    drafts = [Draft("x", message_id="ffffffff-0000-4000-8000-000000000001"), Draft("y", deduplication_id="d")]
    outcomes = await asyncio.gather(*(world.send_drafts("q", *drafts) for _ in range(20)))
    for index in range(2):
        assert sum(not each[index].is_duplicate for each in outcomes) == 1  # type: ignore[union-attr]
    assert await world.counts("q") == QueueCounts(2, 0, 0)


async def test_one_delivery_settled_by_many_is_done_once(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    outcomes = await asyncio.gather(*(world.settle("q", held) for _ in range(20)))
    assert [outcome.result for outcome in outcomes].count(Settled.DONE) == 1


async def test_messages_that_fail_together_are_all_dead_lettered_once(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1), visibility_timeout_seconds=1)
    await world.send("q", *map(str, range(100)))
    while await world.receive("q"):
        pass
    world.advance(1)
    await asyncio.gather(*(world.receive("q") for _ in range(CONSUMERS)))
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    assert sorted(each.body for each in await world.peek("dead")) == sorted(map(str, range(100)))
