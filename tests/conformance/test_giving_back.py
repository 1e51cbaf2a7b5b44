"""Give back: let go of a delivery, as if it had not been or counted, now or later."""

import pytest

from penstock.core.errors import InvalidRequest
from penstock.core.events import EventKind
from penstock.core.messages import State
from penstock.core.operations import IdOutcome, ReadHistory, Settle
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.settlements import (
    Action,
    ChangeVisibility,
    DeadLetter,
    Delete,
    GiveBack,
    Settled,
    Settlement,
)
from tests.support.world import World

ACTIONS = (Delete(), ChangeVisibility(10), GiveBack(), DeadLetter("x"))


def named(action: Action) -> str:
    return type(action).__name__


async def test_giving_back_does_not_count_the_delivery(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    assert (await world.settle("q", held, GiveBack())).result is Settled.DONE
    (seen,) = await world.peek("q")
    assert (seen.state, seen.receive_count, seen.visible_at) == (State.READY, 0, world.now)
    assert (await world.take("q")).receive_count == 1


@pytest.mark.parametrize("action", ACTIONS, ids=named)
async def test_a_delivery_given_back_never_was(world: World, action: Action) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    await world.settle("q", held, GiveBack())
    assert (await world.settle("q", held, action)).result is Settled.STALE
    (seen,) = await world.peek("q")
    assert (seen.state, seen.receive_count) == (State.READY, 0)


async def test_a_message_given_back_is_not_spent(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("q", "a")
    for _ in range(3):
        await world.settle("q", await world.take("q"), GiveBack())
    assert await world.counts("q") == QueueCounts(1, 0, 0)


# -- later, and counted ----------------------------------------------------------------------------------------------


async def test_what_is_given_back_with_a_delay_is_delayed(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", owner="me")
    assert (await world.settle("q", held, GiveBack(5))).result is Settled.DONE
    (seen,) = await world.peek("q")
    assert (seen.state, seen.receive_count, seen.visible_at) == (State.DELAYED, 0, world.now + 5000)
    assert await world.counts("q") == QueueCounts(0, 1, 0)
    world.advance(4.999)
    assert await world.receive("q") == ()
    world.advance(0.001)
    assert await world.counts("q") == QueueCounts(1, 0, 0)
    assert (await world.take("q")).receive_count == 1


@pytest.mark.parametrize("delay_seconds", [0, 5])
async def test_a_delivery_given_back_may_count(world: World, delay_seconds: float) -> None:
    await world.create("q")
    await world.send("q", "a")
    await world.settle("q", await world.take("q"), GiveBack(delay_seconds, is_counted=True))
    (seen,) = await world.peek("q")
    assert seen.receive_count == 1
    world.advance(delay_seconds)
    assert (await world.take("q")).receive_count == 2


@pytest.mark.parametrize("is_counted", [False, True])
@pytest.mark.parametrize("action", ACTIONS, ids=named)
async def test_nobody_owns_what_was_given_back(world: World, action: Action, is_counted: bool) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", owner="me")
    await world.settle("q", held, GiveBack(5, is_counted))
    before = await world.peek("q")
    assert (await world.settle("q", held, action)).result is Settled.STALE
    assert await world.release("me") == 0
    assert await world.peek("q") == before


async def test_what_was_given_back_may_be_cancelled_and_rescheduled(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b")
    for held in await world.receive("q"):
        await world.settle("q", held, GiveBack(1000, is_counted=True))
    a, b = await world.peek("q")
    assert await world.cancel(a.message_id) == (IdOutcome.DONE,)
    assert await world.reschedule(0, b.message_id) == (IdOutcome.DONE,)
    assert (await world.take("q")).receive_count == 2


async def test_what_is_given_back_counted_is_spent_in_the_end(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 2))
    await world.send("q", "a")
    for _ in range(2):
        await world.settle("q", await world.take("q"), GiveBack(1, is_counted=True))
        world.advance(1)
    assert await world.counts("q") == QueueCounts(1, 0, 0)
    assert await world.receive("q") == ()
    assert await world.receive_bodies("dead") == ["a"]


async def test_a_strict_group_waits_for_what_was_given_back_with_a_delay(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", "b", group_id="g")
    await world.settle("q", await world.take("q"), GiveBack(5, is_counted=True))
    assert await world.receive("q") == ()
    world.advance(5)
    assert await world.receive_bodies("q") == ["a", "b"]


async def test_a_long_poll_is_woken_when_the_delay_of_what_was_given_back_is_over(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=1000)
    poll = await world.long_poll("q")
    await world.settle("q", held, GiveBack(5))
    world.advance(4.999)
    assert await world.still_waits(poll, "q")
    world.advance(0.001)
    assert await world.reply(poll) == ["a"]


@pytest.mark.parametrize("limit", [{"max_in_flight": 1}, {"group_max_in_flight": 1}], ids=str)
async def test_giving_back_with_a_delay_makes_room_at_once(world: World, limit: dict[str, int]) -> None:
    await world.create("q", **limit)
    await world.send("q", "a", "b", group_id="g")
    held = await world.take("q")
    poll = await world.long_poll("q")
    assert await world.still_waits(poll, "q")
    await world.settle("q", held, GiveBack(5))
    assert await world.reply(poll) == ["b"]


@pytest.mark.parametrize("delay_seconds", [-1, float("inf"), 1e12])
async def test_the_delay_is_a_duration(world: World, delay_seconds: float) -> None:
    with pytest.raises(InvalidRequest):
        await world.perform(Settle((Settlement("q", "x", GiveBack(delay_seconds)),)))


async def test_releasing_an_owners_leases_counts_the_deliveries(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    await world.take("q", owner="dead")
    await world.release("dead")
    assert (await world.take("q")).receive_count == 2


async def test_the_history_says_how_it_was_given_back(world: World) -> None:
    await world.create("q", history="all")
    (sent,) = await world.send("q", "a")
    for action in (GiveBack(), GiveBack(is_counted=True), GiveBack(1.5), GiveBack(2, is_counted=True)):
        await world.settle("q", await world.take("q"), action)
        world.advance(action.delay_seconds)
    events = (await world.perform(ReadHistory(sent.message_id))).events
    assert [event.detail for event in events if event.kind is EventKind.VISIBILITY_CHANGED] == [
        "given back",
        "given back, the delivery counts",
        "given back, for 1.5 s",
        "given back, the delivery counts, for 2 s",
    ]
