"""Strict order: the messages of a group one after the other, the groups in rotation (as measured on AWS)."""

from typing import Any

import pytest

from penstock.core.queues import GroupView, QueueCounts, RedrivePolicy
from penstock.core.settlements import ChangeVisibility, DeadLetter, GiveBack, Settled
from tests.support.world import World, bodies


@pytest.fixture(params=["fifo", "strict"])
async def queue(request: pytest.FixtureRequest, world: World) -> str:
    settings: dict[str, Any] = (
        {"is_fifo": True, "content_based_deduplication": True} if request.param == "fifo" else {"group_order": "strict"}
    )
    await world.create("q", **settings)
    return "q"


async def send(world: World, queue: str, *names: str, **details: Any) -> None:
    """Send messages named by their group and a number, ``g1-a`` to group ``g1``."""
    for name in names:
        await world.send(queue, name, group_id=name.partition("-")[0], **details)


async def test_a_batch_drains_one_group_before_the_next(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g2-a", "g1-b", "g1-c")
    assert await world.receive_bodies(queue) == ["g1-a", "g1-b", "g1-c", "g2-a"]


async def test_a_small_batch_takes_from_the_group_whose_turn_it_is(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g2-a", "g1-b", "g1-c")
    assert await world.receive_bodies(queue, 2) == ["g1-a", "g1-b"]
    assert await world.receive_bodies(queue, 2) == ["g2-a"]


async def test_a_group_that_was_served_goes_to_the_back(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g2-a", "g1-b", "g3-a", "g2-b", "g1-c")
    served = []
    while deliveries := await world.receive(queue, 1):
        served += bodies(deliveries)
        await world.delete(queue, *deliveries)
    assert served == ["g1-a", "g2-a", "g3-a", "g1-b", "g2-b", "g1-c"]


async def test_a_group_that_becomes_free_goes_behind_those_that_wait(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g1-b")
    held = await world.take(queue)
    world.advance(1)
    await send(world, queue, "g2-a")
    world.advance(1)
    await world.delete(queue, held)
    assert await world.receive_bodies(queue) == ["g2-a", "g1-b"]


async def test_a_message_in_flight_locks_its_group(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g1-b", "g2-a")
    await world.receive(queue, 1)
    assert await world.receive_bodies(queue) == ["g2-a"]
    assert await world.receive_bodies(queue) == []


async def test_a_locked_group_is_locked_for_later_sends_too(world: World, queue: str) -> None:
    await send(world, queue, "g1-a")
    await world.receive(queue, 1)
    await send(world, queue, "g1-b")
    assert await world.receive_bodies(queue) == []


async def test_deleting_all_that_is_in_flight_frees_the_group_at_once(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g1-b", "g1-c")
    first, second = await world.receive(queue, 2)
    await world.delete(queue, second)
    assert await world.receive_bodies(queue) == []
    await world.delete(queue, first)
    assert await world.receive_bodies(queue) == ["g1-c"]


async def test_deleting_the_first_of_two_in_flight_leaves_the_group_locked(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g1-b", "g1-c")
    first, _ = await world.receive(queue, 2)
    await world.delete(queue, first)
    assert await world.receive_bodies(queue) == []


async def test_visibility_0_returns_one_message_while_its_later_sibling_stays_hidden(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g1-b", "g1-c")
    first, _ = await world.receive(queue, 2)
    await world.change_visibility(queue, first, 0)
    again = await world.receive(queue)
    assert [(each.body, each.receive_count) for each in again] == [("g1-a", 2)]


async def test_visibility_0_of_a_later_sibling_waits_for_the_earlier_one(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g1-b", "g1-c")
    first, second = await world.receive(queue, 2)
    await world.change_visibility(queue, second, 0)
    assert await world.receive_bodies(queue) == []
    await world.delete(queue, first)
    assert await world.receive_bodies(queue) == ["g1-b", "g1-c"]


async def test_messages_behind_a_hidden_one_stay_hidden(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g1-b", "g1-c")
    _, second, third = await world.receive(queue, visibility_timeout_seconds=10)
    await world.change_visibility(queue, second, 100)
    await world.change_visibility(queue, third, 0)
    world.advance(10)
    assert await world.receive_bodies(queue) == ["g1-a"]


async def test_a_group_comes_back_in_order_when_its_leases_end(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g1-b", "g2-a")
    await world.receive(queue, visibility_timeout_seconds=10)
    world.advance(10)
    assert await world.receive_bodies(queue) == ["g1-a", "g1-b", "g2-a"]


async def test_a_delayed_message_holds_up_its_group_only(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "g1-a", group_id="g1")
    await world.send("q", "g1-b", group_id="g1", delay_seconds=10)
    await world.send("q", "g1-c", group_id="g1")
    await world.send("q", "g2-a", group_id="g2")
    held = await world.receive("q")
    assert bodies(held) == ["g1-a", "g2-a"]
    await world.delete("q", *held)
    assert await world.receive_bodies("q") == []
    world.advance(10)
    assert await world.receive_bodies("q") == ["g1-b", "g1-c"]


async def test_groups_come_in_the_order_in_which_they_became_receivable(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "g1-a", group_id="g1", delay_seconds=10)
    world.advance(5)
    await world.send("q", "g2-a", group_id="g2")
    world.advance(5)
    assert await world.receive_bodies("q") == ["g2-a", "g1-a"]


async def test_order_comes_before_priority_within_a_group(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "low", group_id="g1")
    await world.send("q", "high", group_id="g1", priority=9)
    assert await world.receive_bodies("q", 2) == ["low", "high"]


async def test_a_groups_priority_is_that_of_its_head(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "g1 low", group_id="g1")
    await world.send("q", "g1 high", group_id="g1", priority=9)
    await world.send("q", "g2 middle", group_id="g2", priority=5)
    served = []
    while deliveries := await world.receive("q", 1):
        served += bodies(deliveries)
        await world.delete("q", *deliveries)
    assert served == ["g2 middle", "g1 low", "g1 high"]


async def test_messages_without_a_group_are_not_ordered_against_each_other(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", "b")
    await world.receive("q", 1)
    assert await world.receive_bodies("q", 1) == ["b"]


async def test_grouped_and_ungrouped_messages_come_by_what_was_receivable_first(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "1")
    world.advance(1)
    await world.send("q", "2", "3", group_id="g")
    world.advance(1)
    await world.send("q", "4")
    await world.send("q", "0", priority=1)
    assert await world.receive_bodies("q") == ["0", "1", "2", "3", "4"]


async def test_giving_back_restores_order(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g1-b", "g1-c")
    first, second = await world.receive(queue, 2)
    assert (await world.settle(queue, second, GiveBack())).result is Settled.DONE
    assert (await world.settle(queue, first, GiveBack())).result is Settled.DONE
    again = await world.receive(queue)
    assert [(each.body, each.receive_count) for each in again] == [("g1-a", 1), ("g1-b", 1), ("g1-c", 1)]


async def test_dead_lettering_the_head_lets_the_group_go_on(world: World, queue: str) -> None:
    await world.create("dead", group_order="strict")
    await world.update(queue, redrive=RedrivePolicy("dead", 1))
    await send(world, queue, "g1-a", "g1-b")
    await world.receive(queue, 1, visibility_timeout_seconds=1)
    world.advance(1)
    assert await world.receive_bodies(queue) == ["g1-b"]
    (dead,) = await world.receive("dead")
    assert (dead.body, dead.group_id, dead.receive_count) == ("g1-a", "g1", 2)


async def test_dead_lettering_the_head_does_not_skip_what_is_delayed(world: World) -> None:
    await world.create("dead", group_order="strict")
    await world.create("q", group_order="strict", redrive=RedrivePolicy("dead", 1))
    await world.send("dead", "1", "2", "3", group_id="g")
    await world.send("q", "spent", group_id="g")
    await world.receive("q", visibility_timeout_seconds=1)
    world.advance(1)
    await world.send("q", "late", group_id="g", delay_seconds=10)
    await world.send("q", "behind", group_id="g")
    assert await world.receive_bodies("q") == []
    world.advance(10)
    assert await world.receive_bodies("q") == ["late", "behind"]


async def test_a_message_without_a_group_is_received_even_from_a_fifo_queue(world: World) -> None:
    await world.create("q.fifo", is_fifo=True, content_based_deduplication=True)
    await world.create("q", redrive=RedrivePolicy("q.fifo", 1))
    await world.send("q", "dead")
    await world.receive("q", visibility_timeout_seconds=1)
    world.advance(1)
    await world.receive("q")
    await world.send("q.fifo", "grouped", group_id="g")
    assert sorted(await world.receive_bodies("q.fifo")) == ["dead", "grouped"]


async def test_dead_lettering_by_hand_frees_the_group(world: World, queue: str) -> None:
    await world.create("dead", group_order="strict")
    await world.update(queue, redrive=RedrivePolicy("dead", 5))
    await send(world, queue, "g1-a", "g1-b")
    head = await world.take(queue)
    await world.settle(queue, head, DeadLetter("broken"))
    assert await world.receive_bodies(queue) == ["g1-b"]


async def test_an_expired_lease_settles_nothing(world: World, queue: str) -> None:
    await send(world, queue, "g1-a")
    held = await world.take(queue, visibility_timeout_seconds=1)
    world.advance(1)
    assert await world.delete(queue, held) == [Settled.EXPIRED]
    assert (await world.settle(queue, held, ChangeVisibility(10))).result is Settled.EXPIRED
    assert await world.counts(queue) == QueueCounts(1, 0, 0)


async def test_a_group_is_listed_with_what_it_holds(world: World, queue: str) -> None:
    await send(world, queue, "g1-a", "g1-b", "g2-a")
    await world.receive(queue, 1, visibility_timeout_seconds=10)
    assert await world.groups(queue) == {
        "g1": GroupView("g1", waiting=1, in_flight=1, ready_at=world.now + 10_000),
        "g2": GroupView("g2", waiting=1, in_flight=0, ready_at=world.now),
    }


async def test_many_groups_are_drained_in_order_by_whatever_batches(world: World, queue: str) -> None:
    names = [f"g{number * number % 7}-{number}" for number in range(60)]
    await send(world, queue, *names)
    served: list[str] = []
    size = 0
    while len(served) < len(names):
        size = size % 5 + 1
        deliveries = await world.receive(queue, size)
        served += bodies(deliveries)
        await world.delete(queue, *deliveries)
    for group in {name.partition("-")[0] for name in names}:
        of_group = [name for name in names if name.partition("-")[0] == group]
        assert [name for name in served if name.partition("-")[0] == group] == of_group
