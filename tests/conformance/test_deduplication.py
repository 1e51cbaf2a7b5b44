"""Deduplication: what counts as the same message, where, and for how long."""

import hashlib

import pytest

from penstock.core.messages import Draft
from penstock.core.operations import DeleteQueue, Sent
from penstock.core.queues import QueueCounts
from tests.support.entropy import message_id, own_id
from tests.support.world import World


async def test_the_same_id_again_is_accepted_and_not_kept(world: World) -> None:
    await world.create("q.fifo", is_fifo=True)
    (first,) = await world.send("q.fifo", "a", group_id="g", deduplication_id="d")
    (again,) = await world.send("q.fifo", "b", group_id="g", deduplication_id="d")
    assert first == Sent(message_id(1), 1)
    assert again == Sent(message_id(1), 1, is_duplicate=True)
    assert await world.receive_bodies("q.fifo") == ["a"]


async def test_a_standard_queue_deduplicates_too_where_asked(world: World) -> None:
    await world.create("q")
    first, again, other = (await world.send("q", "a", "b", deduplication_id="d")) + (await world.send("q", "a"))
    assert (first.is_duplicate, again.is_duplicate, other.is_duplicate) == (False, True, False)


async def test_the_window_ends_after_its_time(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", deduplication_id="d")
    world.advance(299.999)
    (within,) = await world.send("q", "b", deduplication_id="d")
    world.advance(0.001)
    (after,) = await world.send("q", "c", deduplication_id="d")
    (again,) = await world.send("q", "d", deduplication_id="d")
    assert (within.is_duplicate, after.is_duplicate, again.is_duplicate) == (True, False, True)
    assert again.message_id == after.message_id


async def test_a_duplicate_does_not_prolong_the_window(world: World) -> None:
    await world.create("q")
    for seconds, is_duplicate in ((0, False), (200, True), (100, False)):
        world.advance(seconds)
        (sent,) = await world.send("q", "a", deduplication_id="d")
        assert sent.is_duplicate is is_duplicate


async def test_the_windows_length_is_the_queues(world: World) -> None:
    await world.create("q", deduplication_window_seconds=10)
    await world.send("q", "a", deduplication_id="d")
    world.advance(10)
    (again,) = await world.send("q", "a", deduplication_id="d")
    assert not again.is_duplicate


async def test_a_window_of_nothing_remembers_nothing(world: World) -> None:
    await world.create("q", deduplication_window_seconds=0)
    first, second = await world.send("q", "a", "a", deduplication_id="d")
    assert (first.is_duplicate, second.is_duplicate) == (False, False)


async def test_an_id_outlives_its_message(world: World) -> None:
    await world.create("q.fifo", is_fifo=True)
    (first,) = await world.send("q.fifo", "a", group_id="g", deduplication_id="d")
    await world.delete("q.fifo", await world.take("q.fifo"))
    (again,) = await world.send("q.fifo", "a", group_id="g", deduplication_id="d")
    assert again == Sent(first.message_id, first.sequence_number, is_duplicate=True)
    assert await world.counts("q.fifo") == QueueCounts(0, 0, 0)


async def test_an_id_spans_groups_by_default(world: World) -> None:
    await world.create("q.fifo", is_fifo=True)
    await world.send("q.fifo", "a", group_id="g1", deduplication_id="d")
    (other,) = await world.send("q.fifo", "a", group_id="g2", deduplication_id="d")
    assert other.is_duplicate


async def test_an_id_may_be_kept_per_group(world: World) -> None:
    await world.create("q.fifo", is_fifo=True, deduplicate_per_group=True)
    await world.send("q.fifo", "a", group_id="g1", deduplication_id="d")
    (other,) = await world.send("q.fifo", "b", group_id="g2", deduplication_id="d")
    (same,) = await world.send("q.fifo", "c", group_id="g1", deduplication_id="d")
    assert (other.is_duplicate, same.is_duplicate) == (False, True)


async def test_scope_and_id_do_not_run_together(world: World) -> None:
    await world.create("q.fifo", is_fifo=True, deduplicate_per_group=True)
    await world.send("q.fifo", "a", group_id="ab", deduplication_id="c")
    (other,) = await world.send("q.fifo", "b", group_id="a", deduplication_id="bc")
    assert not other.is_duplicate


async def test_content_may_be_the_id(world: World) -> None:
    await world.create("q.fifo", is_fifo=True, content_based_deduplication=True)
    first, again, other = await world.send("q.fifo", "ä", "ä", "b", group_id="g")
    assert (first.is_duplicate, again.is_duplicate, other.is_duplicate) == (False, True, False)
    seen, _ = await world.peek("q.fifo")
    assert seen.deduplication_id == hashlib.sha256("ä".encode()).hexdigest()


async def test_a_named_id_wins_over_content(world: World) -> None:
    await world.create("q.fifo", is_fifo=True, content_based_deduplication=True)
    await world.send("q.fifo", "a", group_id="g")
    (named,) = await world.send("q.fifo", "a", group_id="g", deduplication_id="d")
    (same_name,) = await world.send("q.fifo", "b", group_id="g", deduplication_id="d")
    assert (named.is_duplicate, same_name.is_duplicate) == (False, True)


async def test_a_refused_message_leaves_no_id_behind(world: World) -> None:
    await world.create("q", max_message_bytes=3)
    await world.send_drafts("q", Draft("long", deduplication_id="d"))
    (sent,) = await world.send("q", "a", deduplication_id="d")
    assert not sent.is_duplicate


async def test_a_message_known_by_name_leaves_no_id_behind(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", message_id=own_id(1))
    await world.send("q", "a", message_id=own_id(1), deduplication_id="d")
    (sent,) = await world.send("q", "b", deduplication_id="d")
    assert not sent.is_duplicate


@pytest.mark.parametrize("way", ["purge", "delete"])
async def test_purging_and_deleting_forget_the_ids(world: World, way: str) -> None:
    await world.create("q")
    await world.send("q", "a", deduplication_id="d")
    if way == "purge":
        await world.purge("q")
    else:
        await world.perform(DeleteQueue("q"))
        await world.create("q")
    (again,) = await world.send("q", "a", deduplication_id="d")
    assert not again.is_duplicate


async def test_a_sweep_keeps_ids_whose_window_lasts(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", deduplication_id="d")
    world.advance(299)
    await world.sweep()
    (within,) = await world.send("q", "a", deduplication_id="d")
    world.advance(1)
    await world.sweep()
    (after,) = await world.send("q", "a", deduplication_id="d")
    assert (within.is_duplicate, after.is_duplicate) == (True, False)
