"""Counts: exact in every state and after every change, and they follow the clock by themselves."""

from penstock.core.messages import State
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.settlements import ChangeVisibility, DeadLetter, GiveBack
from tests.support.world import World


async def check(world: World, queue: str, ready: int, delayed: int, in_flight: int) -> None:
    """The counts are these, and peeking counts the same."""
    assert await world.counts(queue) == QueueCounts(ready, delayed, in_flight)
    states = [each.state for each in await world.peek(queue)]
    assert [states.count(state) for state in (State.READY, State.DELAYED, State.IN_FLIGHT)] == [
        ready,
        delayed,
        in_flight,
    ]


async def test_counts_follow_a_message_through_its_life(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 3))
    await check(world, "q", 0, 0, 0)
    await world.send("q", "a", delay_seconds=5)
    await check(world, "q", 0, 1, 0)
    world.advance(5)
    await check(world, "q", 1, 0, 0)
    held = await world.take("q", visibility_timeout_seconds=5)
    await check(world, "q", 0, 0, 1)
    world.advance(5)
    await check(world, "q", 1, 0, 0)
    await world.settle("q", held, ChangeVisibility(5))
    await check(world, "q", 0, 0, 1)
    await world.settle("q", held, ChangeVisibility(0))
    await check(world, "q", 1, 0, 0)
    held = await world.take("q", visibility_timeout_seconds=5)
    await world.settle("q", held, GiveBack())
    await check(world, "q", 1, 0, 0)
    await world.reschedule(world.now + 5000, held.message_id)
    await check(world, "q", 0, 1, 0)
    await world.reschedule(0, held.message_id)
    await check(world, "q", 1, 0, 0)
    held = await world.take("q", owner="dead", visibility_timeout_seconds=5)
    await world.release("dead")
    await check(world, "q", 1, 0, 0)
    held = await world.take("q", visibility_timeout_seconds=5)
    await world.settle("q", held, DeadLetter())
    await check(world, "q", 0, 0, 0)
    await check(world, "dead", 1, 0, 0)


async def test_a_delay_of_nothing_is_ready(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", delay_seconds=0)
    await check(world, "q", 1, 0, 0)


async def test_what_was_received_and_rescheduled_is_delayed_not_in_flight(world: World) -> None:
    await world.create("q")
    (sent,) = await world.send("q", "a")
    await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    await world.reschedule(world.now + 5000, sent.message_id)
    await check(world, "q", 0, 1, 0)


async def test_counts_are_right_whatever_ends_at_the_same_instant(world: World) -> None:
    await world.create("q")
    for number in range(5):
        await world.send("q", "held", group_id=f"g{number}")
    await world.receive("q", visibility_timeout_seconds=10)
    await world.send("q", *["late"] * 3, delay_seconds=10)
    await world.send("q", "later", delay_seconds=10.001)
    await check(world, "q", 0, 4, 5)
    world.advance(9.999)
    await check(world, "q", 0, 4, 5)
    world.advance(0.001)
    await check(world, "q", 8, 1, 0)
    world.advance(0.001)
    await check(world, "q", 9, 0, 0)


async def test_counts_are_right_when_changed_long_after_they_were_last_asked_for(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b", "c")
    held = await world.receive("q", 2, visibility_timeout_seconds=5)
    await world.send("q", "d", delay_seconds=5)
    world.advance(100)
    await world.delete("q", held[0])
    await check(world, "q", 3, 0, 0)
    await world.receive("q", 1)
    await check(world, "q", 2, 0, 1)


async def test_counts_in_groups_are_right_too(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", *"abcde", group_id="g")
    await world.receive("q", 3, visibility_timeout_seconds=5)
    await check(world, "q", 2, 0, 3)
    world.advance(5)
    held = await world.receive("q", 4)
    await check(world, "q", 1, 0, 4)
    await world.delete("q", *held[:2])
    await check(world, "q", 1, 0, 2)
