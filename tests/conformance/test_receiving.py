"""Receive: which messages, in which order, for how long, and when none."""

import pytest

from penstock.core.errors import InvalidRequest
from penstock.core.messages import Attribute, Delivery, State
from penstock.core.operations import Receive, Reschedule
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.receipts import Receipt, encode_receipt
from penstock.core.settlements import Settled
from tests.support.entropy import message_id
from tests.support.world import World


async def test_a_delivery_says_all_about_its_message(world: World) -> None:
    await world.create("q")
    details = {
        "attributes": {"a": Attribute("Number", "1")},
        "system_attributes": {"AWSTraceHeader": Attribute(string_value="Root=1")},
        "sender_id": "me",
        "priority": 2,
        "group_id": "g",
        "deduplication_id": "d",
    }
    await world.send("q", "body", **details)
    sent_at = world.now
    world.advance(1)
    first = await world.take("q", visibility_timeout_seconds=5)
    assert first == Delivery(
        message_id=message_id(1),
        receipt_handle=encode_receipt("q", Receipt(1, (1).to_bytes(12, "big"))),
        body="body",
        sent_at=sent_at,
        first_received_at=sent_at + 1000,
        visible_at=sent_at + 6000,
        sequence_number=1,
        receive_count=1,
        **details,
    )
    world.advance(5)
    second = await world.take("q")
    assert (second.first_received_at, second.receive_count) == (sent_at + 1000, 2)
    assert second.receipt_handle != first.receipt_handle


async def test_what_was_sent_first_comes_first(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b")
    world.advance(1)
    await world.send("q", "c")
    assert await world.receive_bodies("q", 2) == ["a", "b"]
    assert await world.receive_bodies("q", 2) == ["c"]
    assert await world.receive_bodies("q", 2) == []


async def test_what_has_been_receivable_longest_comes_first(world: World) -> None:
    await world.create("q")
    await world.send("q", "late", delay_seconds=2)
    await world.send("q", "early", delay_seconds=1)
    await world.send("q", "now")
    world.advance(3)
    assert await world.receive_bodies("q") == ["now", "early", "late"]


async def test_higher_priority_comes_first(world: World) -> None:
    await world.create("q")
    for priority in (0, 9, 5, 9):
        await world.send("q", str(priority), priority=priority)
    assert await world.receive_bodies("q", 2) == ["9", "9"]
    assert await world.receive_bodies("q") == ["5", "0"]


async def test_priority_does_not_hasten_what_is_delayed(world: World) -> None:
    await world.create("q")
    await world.send("q", "high", priority=9, delay_seconds=1)
    await world.send("q", "low")
    assert await world.receive_bodies("q", 1) == ["low"]
    world.advance(1)
    await world.send("q", "low again")
    assert await world.receive_bodies("q") == ["high", "low again"]


async def test_a_received_message_is_hidden_until_its_lease_ends(world: World) -> None:
    await world.create("q", visibility_timeout_seconds=10)
    await world.send("q", "a")
    assert await world.receive_bodies("q") == ["a"]
    assert await world.counts("q") == QueueCounts(0, 0, 1)
    world.advance(9.999)
    assert await world.receive("q") == ()
    world.advance(0.001)
    assert await world.counts("q") == QueueCounts(1, 0, 0)
    assert await world.receive_bodies("q") == ["a"]


async def test_the_receiver_may_choose_how_long_the_lease_lasts(world: World) -> None:
    await world.create("q", visibility_timeout_seconds=10)
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=0.5)
    assert held.visible_at == world.now + 500


@pytest.mark.parametrize("seconds", [0, 0.0001])
async def test_a_lease_lasts_at_least_a_millisecond(world: World, seconds: float) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=seconds)
    assert held.visible_at == world.now + 1
    assert await world.receive("q") == ()
    world.advance(0.001)
    assert (await world.take("q")).receive_count == 2


async def test_a_queue_with_no_visibility_timeout_gives_a_millisecond_too(world: World) -> None:
    await world.create("q", visibility_timeout_seconds=0)
    await world.send("q", "a", "b")
    assert await world.receive_bodies("q") == ["a", "b"]


async def test_a_full_queue_of_leases_gives_nothing_more(world: World) -> None:
    await world.create("q", max_in_flight=2)
    await world.send("q", "a", "b", "c")
    reply = await world.perform(Receive("q", 10, wait_seconds=0))
    assert ([each.body for each in reply.deliveries], reply.is_over_limit) == (["a", "b"], False)
    over = await world.perform(Receive("q", 10, wait_seconds=0))
    assert (over.deliveries, over.is_over_limit) == ((), True)
    await world.delete("q", reply.deliveries[0])
    assert await world.receive_bodies("q") == ["c"]


async def test_ended_leases_do_not_count_towards_the_limit(world: World) -> None:
    await world.create("q", max_in_flight=1)
    await world.send("q", "a", "b")
    await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    assert await world.receive_bodies("q") == ["a"]


async def test_what_comes_back_goes_before_what_was_never_handed_out(world: World) -> None:
    await world.create("q", visibility_timeout_seconds=2)
    await world.send("q", "a", "b", "c")
    await world.receive("q", 2)
    world.advance(1)
    await world.send("q", "d")
    world.advance(2)
    assert await world.receive_bodies("q") == ["a", "b", "c", "d"]


async def test_what_comes_back_goes_behind_the_others_where_the_queue_redelivers_last(world: World) -> None:
    await world.create("q", visibility_timeout_seconds=2, redelivery="last")
    await world.send("q", "a", "b", "c")
    await world.receive("q", 2)
    world.advance(1)
    await world.send("q", "d")
    world.advance(2)
    await world.send("q", "e")
    assert await world.receive_bodies("q") == ["c", "d", "a", "b", "e"]


async def test_of_what_comes_back_the_oldest_lease_goes_first(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b", "c")
    a, b, _ = await world.receive("q")
    await world.change_visibility("q", b, 5)
    world.advance(1)
    await world.change_visibility("q", a, 5)
    world.advance(30)
    assert await world.receive_bodies("q") == ["b", "a", "c"]


async def test_a_dead_lettered_message_does_not_come_back(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("dead", "was here before")
    world.advance(1)
    await world.send("q", "dead")
    await world.receive("q", visibility_timeout_seconds=1)
    world.advance(1)
    await world.receive("q")
    assert await world.receive_bodies("dead") == ["was here before", "dead"]


@pytest.mark.parametrize("redelivery", ["first", "last"])
async def test_a_strict_group_keeps_its_order_wherever_redelivery_goes(world: World, redelivery: str) -> None:
    await world.create("q", group_order="strict", redelivery=redelivery)
    await world.send("q", "a", "b", group_id="g")
    held = await world.take("q")
    await world.change_visibility("q", held, 0)
    assert await world.receive_bodies("q") == ["a", "b"]


async def test_a_message_that_comes_back_does_not_overtake_a_higher_priority(world: World) -> None:
    await world.create("q", visibility_timeout_seconds=1)
    await world.send("q", "low")
    await world.receive("q")
    await world.send("q", "high", priority=1)
    world.advance(1)
    assert await world.receive_bodies("q") == ["high", "low"]


async def test_a_rescheduled_message_waits_like_a_new_one(world: World) -> None:
    await world.create("q", visibility_timeout_seconds=1)
    await world.send("q", "a")
    held = await world.take("q")
    world.advance(1)
    await world.send("q", "b")
    world.advance(0.001)
    await world.perform(Reschedule((held.message_id,), 0))
    assert await world.receive_bodies("q") == ["b", "a"]


async def test_lowering_the_limit_takes_no_lease_away(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b", "c")
    held = await world.receive("q", 2)
    await world.update("q", max_in_flight=1)
    assert (await world.perform(Receive("q", wait_seconds=0))).is_over_limit
    assert await world.delete("q", *held) == [Settled.DONE, Settled.DONE]
    assert await world.receive_bodies("q") == ["c"]


async def test_an_empty_queue_is_not_over_its_limit(world: World) -> None:
    await world.create("q", max_in_flight=1)
    assert not (await world.perform(Receive("q", wait_seconds=0))).is_over_limit


async def test_a_paused_queue_gives_nothing_and_takes_what_is_sent(world: World) -> None:
    await world.create("q", is_paused=True)
    await world.send("q", "a")
    reply = await world.perform(Receive("q", wait_seconds=0))
    assert (reply.deliveries, reply.is_over_limit) == ((), False)
    assert await world.counts("q") == QueueCounts(1, 0, 0)
    await world.update("q", is_paused=False)
    assert await world.receive_bodies("q") == ["a"]


async def test_pausing_leaves_leases_as_they_are(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    await world.update("q", is_paused=True)
    assert await world.delete("q", held) == [Settled.DONE]


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_receive_asks_for_1_to_1000(world: World, count: int) -> None:
    await world.create("q")
    with pytest.raises(InvalidRequest):
        await world.receive("q", count)


async def test_a_receive_that_finds_nothing_changes_nothing(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", delay_seconds=5)
    before = await world.describe("q")
    await world.receive("q")
    assert await world.describe("q") == before


# -- attempts --------------------------------------------------------------------------------------------------------


async def test_the_same_attempt_gets_the_same_deliveries(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", "b", "c", group_id="g")
    first = await world.receive("q", 2, attempt_id="x")
    world.advance(1)
    again = await world.receive("q", 2, attempt_id="x")
    assert [each.receipt_handle for each in again] == [each.receipt_handle for each in first]
    assert [each.receive_count for each in again] == [1, 1]
    assert [each.visible_at for each in again] == [world.now + 30_000] * 2
    assert await world.receive("q", 2, attempt_id="y") == ()
    assert await world.delete("q", *first) == [Settled.DONE] * 2


async def test_an_attempt_is_forgotten_when_one_of_its_leases_has_ended(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", "b", group_id="g")
    first = await world.receive("q", attempt_id="x", visibility_timeout_seconds=10)
    world.advance(10)
    again = await world.receive("q", attempt_id="x")
    assert [each.receive_count for each in again] == [2, 2]
    assert again[0].receipt_handle != first[0].receipt_handle


async def test_an_attempt_is_forgotten_when_one_of_its_messages_was_deleted(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", "b", group_id="g")
    held = await world.receive("q", attempt_id="x")
    await world.delete("q", held[0])
    assert await world.receive("q", attempt_id="x") == ()


async def test_an_attempt_is_forgotten_after_five_minutes(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", group_id="g1")
    await world.send("q", "b", group_id="g2")
    assert await world.receive_bodies("q", 1, attempt_id="x", visibility_timeout_seconds=1000) == ["a"]
    world.advance(299.999)
    assert await world.receive_bodies("q", 1, attempt_id="x", visibility_timeout_seconds=1000) == ["a"]
    world.advance(0.001)
    assert await world.receive_bodies("q", 1, attempt_id="x") == ["b"]


async def test_attempts_mean_nothing_where_order_is_fair(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b")
    assert await world.receive_bodies("q", 1, attempt_id="x") == ["a"]
    assert await world.receive_bodies("q", 1, attempt_id="x") == ["b"]


# -- owners ----------------------------------------------------------------------------------------------------------


async def test_releasing_gives_back_all_an_owner_holds(world: World) -> None:
    await world.create("q")
    await world.create("r")
    await world.send("q", "a", "b", "c")
    await world.send("r", "d")
    await world.receive("q", 2, owner="dead")
    await world.receive("q", 1, owner="alive")
    await world.receive("r", 1, owner="dead")
    assert await world.release("dead") == 3
    assert [each.body for each in await world.peek("q", state=State.IN_FLIGHT)] == ["c"]
    assert [(each.body, each.receive_count) for each in await world.receive("q")] == [("a", 2), ("b", 2)]
    assert await world.receive_bodies("r") == ["d"]


async def test_releasing_leaves_what_an_owner_no_longer_holds(world: World) -> None:
    await world.create("q")
    await world.send("q", "deleted", "ended", "taken over")
    held = await world.receive("q", owner="dead", visibility_timeout_seconds=10)
    await world.delete("q", held[0])
    world.advance(10)
    await world.receive("q", 1, owner="other")
    assert await world.release("dead") == 0
    assert await world.counts("q") == QueueCounts(1, 0, 1)


async def test_releasing_a_stranger_releases_nothing(world: World) -> None:
    assert await world.release("nobody") == 0


async def test_releasing_frees_a_strict_group(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", "b", group_id="g")
    await world.receive("q", 1, owner="dead")
    assert await world.receive("q") == ()
    assert await world.release("dead") == 1
    assert await world.receive_bodies("q") == ["a", "b"]


@pytest.mark.parametrize("group_id", [None, "g"])
async def test_what_has_expired_in_the_midst_of_a_batch_is_passed_over(world: World, group_id: str | None) -> None:
    await world.create("q", group_order="strict")
    for body, seconds in (("a", None), ("b", 5), ("c", 500), ("d", None), ("e", 5), ("f", None)):
        await world.send("q", body, time_to_live_seconds=seconds, group_id=group_id)
    world.advance(5)
    assert await world.receive_bodies("q") == ["a", "c", "d", "f"]
    assert await world.counts("q") == QueueCounts(0, 0, 4)
    world.advance(30)
    assert await world.receive_bodies("q", 3) == ["a", "c", "d"]
    assert await world.counts("q") == QueueCounts(1, 0, 3)
