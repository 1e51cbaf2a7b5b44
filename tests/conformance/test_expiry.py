"""Forgetting: retention, time to live, purge, and the sweep that does the work."""

import pytest

from penstock.core.errors import InvalidRequest, PurgeInProgress
from penstock.core.operations import DescribeQueue, PurgeQueue
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.settlements import Settled
from tests.support.entropy import own_id
from tests.support.world import World, bodies


async def test_a_message_past_its_retention_is_not_received(world: World) -> None:
    await world.create("q", retention_seconds=60)
    await world.send("q", "old")
    world.advance(59.999)
    await world.send("q", "new")
    world.advance(0.001)
    assert await world.receive_bodies("q") == ["new"]


async def test_retention_counts_from_sending_whatever_the_delay(world: World) -> None:
    await world.create("q", retention_seconds=60)
    await world.send("q", "a", delay_seconds=59)
    world.advance(59)
    assert await world.receive_bodies("q", visibility_timeout_seconds=1) == ["a"]
    world.advance(1)
    assert await world.receive("q") == ()


async def test_changing_the_retention_counts_for_what_is_there(world: World) -> None:
    await world.create("q", retention_seconds=60)
    await world.send("q", "a")
    await world.update("q", retention_seconds=100)
    world.advance(99)
    assert await world.receive_bodies("q", visibility_timeout_seconds=0) == ["a"]
    world.advance(0.5)
    await world.update("q", retention_seconds=10)
    assert await world.receive("q") == ()


async def test_a_message_past_its_own_time_to_live_is_not_received(world: World) -> None:
    await world.create("q")
    await world.send("q", "short", time_to_live_seconds=5)
    await world.send("q", "long", time_to_live_seconds=6)
    world.advance(5)
    assert await world.receive_bodies("q") == ["long"]


async def test_a_time_to_live_does_not_outlast_the_retention(world: World) -> None:
    await world.create("q", retention_seconds=10)
    await world.send("q", "a", time_to_live_seconds=100)
    world.advance(10)
    assert await world.receive("q") == ()


async def test_a_sweep_forgets_what_has_expired(world: World) -> None:
    await world.create("q", retention_seconds=60)
    (old,) = await world.send("q", "old")
    world.advance(30)
    (short,) = await world.send("q", "short", time_to_live_seconds=5)
    await world.send("q", "new")
    world.advance(30)
    assert await world.sweep() == 2
    assert await world.find(old.message_id) is await world.find(short.message_id) is None
    assert await world.counts("q") == QueueCounts(1, 0, 0)
    assert await world.sweep() == 0


async def test_a_sweep_forgets_what_lies_behind_a_message_whose_time_to_live_has_ended(world: World) -> None:
    await world.create("dead", retention_seconds=60)
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("q", "old")
    assert await world.receive_bodies("q", visibility_timeout_seconds=1) == ["old"]
    world.advance(30)
    await world.send("dead", "short", time_to_live_seconds=5)
    assert await world.receive("q") == ()  # it goes to the dead letters, as old as it is
    assert await world.counts("dead") == QueueCounts(2, 0, 0)
    world.advance(30)
    assert await world.sweep() == 2
    assert await world.counts("dead") == QueueCounts(0, 0, 0)


async def test_a_sweep_forgets_delayed_and_held_messages_too(world: World) -> None:
    await world.create("q", retention_seconds=60)
    await world.send("q", "held")
    held = await world.take("q", visibility_timeout_seconds=1000)
    await world.send("q", "late", delay_seconds=1000)
    world.advance(60)
    assert await world.counts("q") == QueueCounts(0, 1, 1)
    assert await world.sweep() == 2
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    assert await world.delete("q", held) == [Settled.GONE]


async def test_a_sweep_of_nothing_forgets_nothing(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", deduplication_id="d")
    assert await world.sweep() == 0


async def test_expired_heads_do_not_hold_up_a_strict_group(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", "b", group_id="g", time_to_live_seconds=5)
    await world.send("q", "c", group_id="g")
    world.advance(5)
    assert await world.receive_bodies("q", 1) == ["c"]


async def test_an_expired_messages_name_is_free_after_the_sweep(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", message_id=own_id(1), time_to_live_seconds=5)
    world.advance(5)
    await world.sweep()
    (again,) = await world.send("q", "b", message_id=own_id(1))
    assert not again.is_duplicate


async def test_repeated_small_sweeps_forget_everything(world: World) -> None:
    await world.create("q", retention_seconds=60)
    await world.send("q", *["x"] * 50)
    await world.send("q", *["y"] * 50, time_to_live_seconds=5)
    world.advance(60)
    for _ in range(100):
        if not await world.sweep(10):
            break
    assert await world.counts("q") == QueueCounts(0, 0, 0)


# -- purge -----------------------------------------------------------------------------------------------------------


async def test_a_purge_forgets_everything_in_flight_too(world: World) -> None:
    await world.create("q", tags={"a": "1"})
    await world.send("q", "a", "b", group_id="g")
    await world.send("q", "c", delay_seconds=5)
    (held, *_) = await world.receive("q", 1)
    assert await world.purge("q") == 3
    described = await world.describe("q")
    assert (described.counts, described.purged_at) == (QueueCounts(0, 0, 0), world.now)
    assert described.oldest_sent_at is None
    assert described.settings.tags == {"a": "1"}
    assert await world.peek("q") == ()
    assert await world.groups("q") == {}
    assert await world.find(held.message_id) is None
    assert await world.delete("q", held) == [Settled.GONE]
    world.advance(100)
    assert await world.receive("q") == ()


async def test_a_purge_leaves_other_queues_alone(world: World) -> None:
    await world.create("q")
    await world.create("r")
    await world.send("r", "a")
    assert await world.purge("q") == 0
    assert bodies(await world.peek("r")) == ["a"]


async def test_sequence_numbers_and_totals_go_on_after_a_purge(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b")
    await world.purge("q")
    (sent,) = await world.send("q", "c")
    assert sent.sequence_number == 3
    assert (await world.describe("q")).sent_total == 3


async def test_a_receipt_of_before_a_purge_means_nothing_after(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    await world.purge("q")
    await world.send("q", "b")
    assert await world.delete("q", held) == [Settled.GONE]
    assert await world.receive_bodies("q") == ["b"]


async def test_a_purged_messages_name_is_free_again(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", message_id=own_id(1))
    await world.purge("q")
    (again,) = await world.send("q", "b", message_id=own_id(1))
    assert not again.is_duplicate
    assert await world.receive_bodies("q") == ["b"]


async def test_a_purge_may_ask_for_rest(world: World) -> None:
    await world.create("q")
    await world.perform(PurgeQueue("q", rest_seconds=60))
    await world.send("q", "a")
    world.advance(59.999)
    with pytest.raises(PurgeInProgress):
        await world.perform(PurgeQueue("q", rest_seconds=60))
    assert (await world.perform(DescribeQueue("q"))).queue.counts.ready == 1
    world.advance(0.001)
    assert (await world.perform(PurgeQueue("q", rest_seconds=60))).purged_count == 1


async def test_a_purge_need_not_rest(world: World) -> None:
    await world.create("q")
    assert await world.purge("q") == 0
    assert await world.purge("q") == 0


@pytest.mark.parametrize("rest", [-1, float("inf"), float("nan")])
async def test_a_rest_that_is_no_duration_is_refused(near_world: World, rest: float) -> None:
    await near_world.create("q")
    with pytest.raises(InvalidRequest):
        await near_world.perform(PurgeQueue("q", rest_seconds=rest))


async def test_a_long_poll_goes_on_after_a_purge(world: World) -> None:
    await world.create("q")
    await world.send("q", "old", delay_seconds=5)
    poll = await world.long_poll("q")
    await world.purge("q")
    world.advance(5)
    assert await world.still_waits(poll, "q")
    await world.send("q", "new")
    assert await world.reply(poll) == ["new"]
