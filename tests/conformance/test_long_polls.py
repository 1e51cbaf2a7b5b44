"""Long polls: a receive that waits until something may be received. Nothing in here sleeps."""

import asyncio

import pytest

from penstock.core.effects import FollowUp
from penstock.core.messages import Draft
from penstock.core.operations import DeleteQueue, ReceiveReply
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.settlements import GiveBack
from tests.support.turns import until
from tests.support.world import World, bodies


async def test_a_long_poll_answers_at_once_when_something_is_there(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    poll = await world.long_poll("q")
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_by_a_send(world: World) -> None:
    await world.create("q")
    poll = await world.long_poll("q")
    assert not poll.done()
    await world.send("q", "a")
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_ends_empty_when_its_time_is_over(world: World) -> None:
    await world.create("q")
    poll = await world.long_poll("q", wait_seconds=20)
    world.advance(19.999)
    assert await world.still_waits(poll, "q")
    world.advance(0.001)
    assert await poll == ReceiveReply(())


async def test_a_receive_that_names_no_wait_takes_the_queues(world: World) -> None:
    await world.create("q", receive_wait_seconds=5)
    poll = await world.long_poll("q", wait_seconds=None)
    world.advance(4.999)
    assert await world.still_waits(poll, "q")
    world.advance(0.001)
    assert await world.reply(poll) == []


async def test_a_receive_without_any_wait_answers_at_once(world: World) -> None:
    await world.create("q")
    poll = await world.long_poll("q", wait_seconds=None)
    assert await world.reply(poll) == []


async def test_a_long_poll_is_not_woken_by_another_queue(world: World) -> None:
    await world.create("q")
    await world.create("r")
    poll = await world.long_poll("q")
    await world.send("r", "a")
    assert await world.still_waits(poll, "q")


async def test_a_long_poll_is_woken_when_a_delay_is_over(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", delay_seconds=5)
    poll = await world.long_poll("q")
    world.advance(4.999)
    assert await world.still_waits(poll, "q")
    world.advance(0.001)
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_when_the_delay_of_a_later_send_is_over(world: World) -> None:
    await world.create("q")
    poll = await world.long_poll("q")
    await world.send("q", "a", delay_seconds=5)
    world.advance(4.999)
    assert await world.still_waits(poll, "q")
    world.advance(0.001)
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_when_a_lease_ends(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    await world.take("q", visibility_timeout_seconds=5)
    poll = await world.long_poll("q")
    world.advance(4.999)
    assert await world.still_waits(poll, "q")
    world.advance(0.001)
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_when_visibility_is_given_back(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    poll = await world.long_poll("q")
    await world.change_visibility("q", held, 0)
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_at_the_new_end_of_a_shortened_lease(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=1000)
    poll = await world.long_poll("q")
    await world.change_visibility("q", held, 5)
    world.advance(5)
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_waits_on_when_the_lease_it_waits_for_is_prolonged(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=5)
    poll = await world.long_poll("q", wait_seconds=60)
    await world.change_visibility("q", held, 10)
    world.advance(5)
    assert await world.still_waits(poll, "q")
    world.advance(5)
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_by_a_message_given_back(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    poll = await world.long_poll("q")
    await world.settle("q", held, GiveBack())
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_when_a_dead_owners_leases_are_released(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    await world.take("q", owner="dead")
    poll = await world.long_poll("q")
    await world.release("dead")
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_when_a_strict_group_becomes_free(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", "b", group_id="g")
    held = await world.take("q")
    poll = await world.long_poll("q")
    assert await world.still_waits(poll, "q")
    await world.delete("q", held)
    assert await world.reply(poll) == ["b"]


async def test_a_long_poll_is_woken_when_the_delayed_head_of_a_strict_group_is_cancelled(world: World) -> None:
    await world.create("q", group_order="strict")
    (head,) = await world.send("q", "a", group_id="g", delay_seconds=1000)
    await world.send("q", "b", group_id="g")
    poll = await world.long_poll("q")
    assert await world.still_waits(poll, "q")
    await world.cancel(head.message_id)
    assert await world.reply(poll) == ["b"]


async def test_a_long_poll_is_woken_when_the_head_of_a_strict_group_expires(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", group_id="g", time_to_live_seconds=5)
    await world.send("q", "b", group_id="g")
    await world.take("q", visibility_timeout_seconds=1000)
    poll = await world.long_poll("q")
    world.advance(5)
    await world.sweep()
    assert await world.reply(poll) == ["b"]


async def test_a_long_poll_is_woken_when_a_group_gets_a_lease_back(world: World) -> None:
    await world.create("q", group_max_in_flight=1)
    await world.send("q", "a", "b", group_id="g")
    held = await world.take("q")
    poll = await world.long_poll("q")
    assert await world.still_waits(poll, "q")
    await world.delete("q", held)
    assert await world.reply(poll) == ["b"]


async def test_a_long_poll_is_woken_when_a_lease_of_a_full_group_ends(world: World) -> None:
    await world.create("q", group_max_in_flight=1)
    await world.send("q", "a", "b", group_id="g")
    await world.take("q", visibility_timeout_seconds=5)
    poll = await world.long_poll("q")
    world.advance(5)
    assert len(await world.reply(poll)) == 1


async def test_a_long_poll_is_woken_when_a_group_is_unparked(world: World) -> None:
    await world.create("q")
    await world.park("q", "g")
    await world.send("q", "a", group_id="g")
    poll = await world.long_poll("q")
    assert await world.still_waits(poll, "q")
    await world.park("q", "g", is_parked=False)
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_when_a_queue_is_unpaused(world: World) -> None:
    await world.create("q", is_paused=True)
    await world.send("q", "a")
    poll = await world.long_poll("q")
    assert await world.still_waits(poll, "q")
    await world.update("q", is_paused=False)
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_when_a_message_is_rescheduled(world: World) -> None:
    await world.create("q")
    (sent,) = await world.send("q", "a", delay_seconds=1000)
    poll = await world.long_poll("q")
    await world.reschedule(0, sent.message_id)
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_by_a_dead_lettered_message(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("q", "a")
    await world.take("q", visibility_timeout_seconds=1)
    poll = await world.long_poll("dead")
    world.advance(1)
    assert await world.receive("q") == ()
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_by_a_follow_up(world: World) -> None:
    await world.create("q")
    poll = await world.long_poll("q")
    await world.apply(sends=(FollowUp("q", Draft("a")),))
    assert await world.reply(poll) == ["a"]


async def test_a_long_poll_is_woken_when_room_is_made_under_the_limit(world: World) -> None:
    await world.create("q", max_in_flight=1)
    await world.send("q", "a", "b")
    held = await world.take("q")
    poll = await world.long_poll("q")
    assert await world.still_waits(poll, "q")
    await world.delete("q", held)
    assert await world.reply(poll) == ["b"]


@pytest.mark.parametrize("group_id", [None, "g"])
async def test_a_long_poll_over_the_limit_is_woken_when_a_lease_ends(world: World, group_id: str | None) -> None:
    await world.create("q", max_in_flight=1)
    await world.send("q", "a", "b", group_id=group_id)
    await world.take("q", visibility_timeout_seconds=5)
    poll = await world.long_poll("q", wait_seconds=60)
    world.advance(5)
    assert len(await world.reply(poll)) == 1


async def test_a_long_poll_over_the_limit_ends_empty_and_says_why(world: World) -> None:
    await world.create("q", max_in_flight=1)
    await world.send("q", "a", "b")
    await world.take("q", visibility_timeout_seconds=1000)
    poll = await world.long_poll("q")
    world.advance(20)
    assert await poll == ReceiveReply((), is_over_limit=True)


async def test_a_long_poll_gets_past_any_number_of_spent_messages(world: World) -> None:
    await world.create("dead")
    await world.create("q")
    await world.send("q", *["spent"] * 250)
    await world.receive("q", 250, visibility_timeout_seconds=1)
    world.advance(1)
    await world.send("q", "a")
    await world.update("q", redrive=RedrivePolicy("dead", 1))
    poll = await world.long_poll("q")
    assert await world.reply(poll) == ["a"]
    assert await world.counts("dead") == QueueCounts(250, 0, 0)


async def test_each_of_several_long_polls_gets_one_of_several_messages(world: World) -> None:
    await world.create("q")
    polls = [await world.long_poll("q") for _ in range(3)]
    await world.send("q", "a", "b", "c")
    assert sorted([await world.reply(poll) for poll in polls]) == [["a"], ["b"], ["c"]]


async def test_one_message_ends_one_of_several_long_polls(world: World) -> None:
    await world.create("q")
    polls = [await world.long_poll("q") for _ in range(3)]
    await world.send("q", "a")
    await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
    await world.settled()
    assert sum(poll.done() for poll in polls) == 1
    await world.send("q", "b", "c")
    assert sorted([await world.reply(poll) for poll in polls]) == [["a"], ["b"], ["c"]]


async def test_several_long_polls_are_woken_one_lease_after_the_other(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", delay_seconds=5)
    await world.send("q", "b", delay_seconds=10)
    polls = [await world.long_poll("q") for _ in range(2)]
    world.advance(5)
    await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
    await world.settled()
    assert sum(poll.done() for poll in polls) == 1
    world.advance(5)
    assert sorted([await world.reply(poll) for poll in polls]) == [["a"], ["b"]]


async def test_who_polls_shorter_does_not_take_the_alarm_of_who_polls_longer(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", delay_seconds=10)
    short = await world.long_poll("q", wait_seconds=5)
    long = await world.long_poll("q", wait_seconds=20)
    world.advance(5)
    assert await world.reply(short) == []
    world.advance(5)
    assert await world.reply(long) == ["a"]


async def test_a_snatched_message_leaves_all_long_polls_waiting_for_the_next(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", delay_seconds=5)
    await world.send("q", "b", delay_seconds=10)
    polls = [await world.long_poll("q") for _ in range(2)]
    world.advance(5)
    snatched = await world.receive_bodies("q", 1)
    await world.settled()
    world.advance(5)
    await until(lambda: sum(poll.done() for poll in polls) == 2 - len(snatched), "the rest goes to who polls")
    for poll in polls:
        if poll.done():
            snatched += await world.reply(poll)
    assert sorted(snatched) == ["a", "b"]


async def test_a_cancelled_long_poll_takes_no_message(world: World) -> None:
    await world.create("q")
    poll = await world.long_poll("q")
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    await world.settled()
    await world.send("q", "a")
    assert await world.counts("q") == QueueCounts(1, 0, 0)
    assert (await world.take("q")).receive_count == 1


async def test_a_long_poll_cancelled_when_woken_hands_its_message_on(near_world: World) -> None:
    world = near_world
    await world.create("q")
    polls = [await world.long_poll("q") for _ in range(2)]
    await world.send("q", "a")
    polls[0].cancel()
    results = await asyncio.gather(polls[0], return_exceptions=True)
    if isinstance(results[0], ReceiveReply):
        assert bodies(results[0].deliveries) == ["a"]
        return
    assert await world.reply(polls[1]) == ["a"]
    (seen,) = await world.peek("q")
    assert seen.receive_count == 1


async def test_all_long_polls_but_one_may_be_cancelled_when_woken(near_world: World) -> None:
    world = near_world
    await world.create("q")
    polls = [await world.long_poll("q") for _ in range(5)]
    await world.send("q", "a", "b")
    for poll in polls[:4]:
        poll.cancel()
    results = await asyncio.gather(*polls[:4], return_exceptions=True)
    got = [body for result in results if isinstance(result, ReceiveReply) for body in bodies(result.deliveries)]
    if len(got) < 2:
        got += await world.reply(polls[4])
        got += await world.receive_bodies("q")
    assert sorted(got) == ["a", "b"]


async def test_deleting_a_queue_does_not_let_its_long_polls_hang(world: World) -> None:
    await world.create("q")
    poll = await world.long_poll("q")
    await world.perform(DeleteQueue("q"))
    world.advance(20)
    await asyncio.wait([poll], timeout=5)
    assert poll.done()
    poll.exception()


async def test_a_long_poll_goes_on_in_a_queue_made_again(world: World) -> None:
    await world.create("q")
    poll = await world.long_poll("q")
    await world.perform(DeleteQueue("q"))
    await world.create("q")
    await world.send("q", "a")
    await asyncio.wait([poll], timeout=5)
    assert poll.done()
    if poll.exception() is None:
        assert await world.reply(poll) == ["a"]
