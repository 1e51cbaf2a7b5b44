"""Queues of several partitions as a whole: made, told of, changed, looked into."""

from typing import Any

import pytest

from penstock.core.errors import (
    InvalidRequest,
    PurgeInProgress,
    QueueConflict,
    QueueDeletedRecently,
    QueueNotFound,
)
from penstock.core.messages import Draft, State
from penstock.core.operations import (
    Cancel,
    CreateQueue,
    DeleteMessages,
    DeleteQueue,
    Find,
    IdOutcome,
    ListGroups,
    ListQueues,
    Peek,
    PurgeQueue,
    ReadEvents,
    ReadHistory,
    Reschedule,
    StartMove,
)
from penstock.core.partitions import partition_of_key
from penstock.core.queues import QueueChanges, QueueCounts, RedrivePolicy
from penstock.store.partitioned import PartitionedStore
from tests.support.partitioned import GROUPS, fill, number_of
from tests.support.world import World, bodies


async def names(world: World, prefix: str = "", after: str = "", limit: int = 1000) -> tuple[list[str], str | None]:
    page = await world.perform(ListQueues(prefix, after, limit))
    return [queue.name for queue in page.queues], page.next_after


# -- made and told of ------------------------------------------------------------------------------------------------


async def test_a_queue_says_how_many_partitions_it_has_and_what_is_in_all_of_them(world: World) -> None:
    created = await world.create("q", partitions=4, partitioner="qugo:2", visibility_timeout_seconds=5)
    assert created == await world.describe("q")
    assert (created.settings.partitions, created.settings.partitioner) == (4, "qugo:2")
    assert created.settings.deduplicate_per_group
    await world.send_drafts("q", *(Draft("x", group_id=str(key)) for key in range(8)))
    await world.send("q", "later", group_id="3", delay_seconds=60)
    first = world.now
    world.advance(1)
    await world.delete("q", *await world.receive("q", 2))
    await world.receive("q", 3)
    told = await world.describe("q")
    assert told.counts == QueueCounts(ready=3, delayed=1, in_flight=3)
    assert (told.sent_total, told.received_total, told.deleted_total) == (9, 5, 2)
    assert told.oldest_sent_at == first
    assert (await world.perform(ListQueues())).queues == (told,)


async def test_a_queue_is_listed_once_and_in_its_place(world: World) -> None:
    for name, partitions in (("orders", 12), ("orders-dead", 1), ("orders.fifo", 3), ("a", 1), ("z", 2)):
        await world.create(name, partitions=partitions)
    every = ["a", "orders", "orders-dead", "orders.fifo", "z"]
    assert await names(world) == (every, None)
    assert await names(world, "orders") == (every[1:4], None)
    for limit in (1, 2, 3, 4):
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page, after = await names(world, after=after, limit=limit)
            assert len(page) <= limit
            found += page
        assert found == every
    assert await names(world, "z#") == (["z#0", "z#1"], None)


async def test_a_queue_that_is_there_is_found_as_it_is_wanted(world: World) -> None:
    made = await world.create("q", partitions=4)
    for wanted in (QueueChanges(), QueueChanges(partitions=4), QueueChanges(partitioner="hash")):
        reply = await world.perform(CreateQueue("q", wanted))
        assert (reply.queue, reply.was_created) == (made, False)
    for conflicting in ({"partitions": 3}, {"partitions": 1}, {"partitioner": "qugo:2"}, {"delay_seconds": 3}):
        with pytest.raises(QueueConflict, match=next(iter(conflicting))):
            await world.create("q", **conflicting)
    await world.create("plain")
    with pytest.raises(QueueConflict, match="partitions"):
        await world.create("plain", partitions=2)
    assert await names(world) == (["plain", "q"], None)


@pytest.mark.parametrize(
    "settings",
    [
        {"partitions": 0},
        {"partitions": 65},
        {"partitions": 3, "partitioner": "qugo:2"},
        {"partitions": 2, "partitioner": "none"},
        {"partitioner": "none"},
        {"partitioner": "qugo:2"},
        {"partitions": 2, "deduplicate_per_group": False},
    ],
    ids=str,
)
async def test_what_cannot_be_meant_is_refused(quick: World, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await quick.create("q", **settings)
    assert await names(quick) == ([], None)


async def test_settings_change_in_all_partitions_and_the_fixed_ones_in_none(world: World) -> None:
    await fill(world)
    changed = await world.update("q", is_paused=True, tags={"a": "1"})
    assert changed.settings.is_paused
    assert await world.receive("q") == ()
    assert await world.receive("q#3") == ()
    for fixed in ({"partitions": 5}, {"partitioner": "qugo:2"}, {"deduplicate_per_group": False}):
        with pytest.raises(InvalidRequest, match="fixed"):
            await world.update("q", **fixed)
    await world.update("q", is_paused=False)
    assert len(await world.receive("q", 20)) == 12


async def test_a_queue_that_was_made_anew_is_used_as_it_is_now(world: World) -> None:
    await fill(world)
    assert len(await world.receive("q", 20)) == 12
    for partitions in (1, 2, 7, 1):
        await world.perform(DeleteQueue("q"))
        assert await names(world) == ([], None)
        with pytest.raises(QueueNotFound):
            await world.send("q", "x")
        await world.create("q", partitions=partitions)
        await world.send("q", *GROUPS, group_id="g")
        await world.send("q", *GROUPS)
        assert sorted(bodies(await world.receive("q", 100))) == sorted(GROUPS * 2)


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 4), (1, 4), (4, 1)])
async def test_another_process_may_make_it_anew(quick: World, before: int, after: int) -> None:
    inner = quick.store.store  # type: ignore[attr-defined]
    other = PartitionedStore(inner)
    await quick.create("q", partitions=before)
    await quick.send("q", "x", group_id="g")
    await other.delete_queue("q", quick.now)
    await other.create_queue("q", QueueChanges(partitions=after), 0, quick.now)
    quick.advance(5)  # so long it may believe that it is the same
    await quick.send_drafts("q", *(Draft(group, group_id=group) for group in GROUPS))
    for number in range(after) if after > 1 else ():
        wanted = {group for group in GROUPS if partition_of_key("hash", after, group) == number}
        assert {each.group_id for each in await quick.peek(f"q#{number}")} == wanted
    assert sorted(bodies(await quick.receive("q", 100))) == sorted(GROUPS)


async def test_a_name_rests_and_a_purge_too(world: World) -> None:
    await fill(world)
    assert (await world.perform(PurgeQueue("q", 60))).purged_count == 12
    with pytest.raises(PurgeInProgress, match="'q'"):
        await world.perform(PurgeQueue("q", 60))
    await world.perform(DeleteQueue("q"))
    with pytest.raises(QueueDeletedRecently, match="'q'"):
        await world.perform(CreateQueue("q", QueueChanges(partitions=4), 60))
    world.advance(60)
    assert (await world.perform(CreateQueue("q", QueueChanges(partitions=4), 60))).was_created


async def test_a_deletion_that_was_interrupted_is_taken_up_or_undone(quick: World) -> None:
    await fill(quick)
    store = quick.store.store  # type: ignore[attr-defined]
    await store.delete_queue("q#2", quick.now)
    await quick.create("q", partitions=4)
    await quick.send_drafts("q", *(Draft("again", group_id=group) for group in GROUPS))
    await store.delete_queue("q#3", quick.now)
    await quick.perform(DeleteQueue("q"))
    assert await store.list_queues("", "", 10, None, quick.now) == []


async def test_what_was_left_of_a_queue_is_not_in_the_next_one(quick: World) -> None:
    store = quick.store.store  # type: ignore[attr-defined]
    await store.create_queue("q#3", QueueChanges(partitions=9, delay_seconds=7), 0, quick.now)
    assert await names(quick) == ([], None)
    await fill(quick)
    assert [(await quick.describe(f"q#{number}")).settings.delay_seconds for number in range(4)] == [0] * 4


async def test_a_partition_cannot_be_changed_by_itself(quick: World) -> None:
    await fill(quick)
    await quick.create("from")
    for ask in (
        lambda: quick.send("q#1", "x"),
        lambda: quick.update("q#1", is_paused=True),
        lambda: quick.perform(DeleteQueue("q#1")),
        lambda: quick.create("q#9"),
        lambda: quick.perform(StartMove("from", "q#1")),
        lambda: quick.perform(StartMove("q#1")),
        lambda: quick.update("from", redrive=RedrivePolicy("q#1", 1)),
        lambda: quick.park("q#1", "g"),
    ):
        with pytest.raises(InvalidRequest):
            await ask()


async def test_a_partition_that_is_not_there_is_not_found(world: World) -> None:
    await fill(world)
    for name in ("q#4", "q#64", "q#x", "other#0"):
        with pytest.raises(QueueNotFound):
            await world.receive(name)


# -- looked into -----------------------------------------------------------------------------------------------------


async def test_messages_are_seen_page_by_page_each_once(world: World) -> None:
    await fill(world)
    for limit in (1, 5, 12, 100):
        found: list[Any] = []
        after: int | None = 0
        while after is not None:
            page = await world.perform(Peek("q", after=after, limit=limit))
            found += page.messages
            after = page.next_after
        assert sorted(bodies(found)) == sorted(GROUPS)
        assert [each.sequence_number for each in found] == sorted({each.sequence_number for each in found})
        assert {each.queue for each in found} == {"q"}


async def test_a_message_is_found_by_id_and_by_its_number(world: World) -> None:
    ids = await fill(world)
    found = (await world.perform(Find(tuple(ids)))).messages
    assert found == tuple(sorted(await world.peek("q"), key=lambda each: ids.index(each.message_id)))
    delivery = (await world.receive("q", 1))[0]
    seen = await world.find(delivery.message_id)
    assert seen is not None
    assert (seen.sequence_number, seen.state) == (delivery.sequence_number, State.IN_FLIGHT)


async def test_groups_are_those_of_all_partitions(world: World) -> None:
    await fill(world)
    await world.park("q", "g3")
    await world.park("q", "ahead")
    assert [view.group_id for view in (await world.perform(ListGroups("q"))).groups] == sorted((*GROUPS, "ahead"))
    assert set((await world.perform(ListGroups("q", "g1", 3))).groups) <= set((await world.groups("q")).values())
    assert (await world.perform(ListGroups("q", "g1", 3))).next_after == "g2"
    await world.send("q", "parked", group_id="ahead")
    assert {each.group_id for each in await world.receive("q", 20)} == set(GROUPS) - {"g3"}


async def test_messages_are_named_by_id_within_the_queue(world: World) -> None:
    ids = await fill(world)
    await world.create("other")
    (held,) = await world.receive("q", 1)
    free = [each for each in ids if each != held.message_id]
    for ask, expected in (
        (Cancel((free[0], held.message_id), "q"), (IdOutcome.DONE, IdOutcome.IN_FLIGHT)),
        (Cancel((free[1],), "other"), (IdOutcome.GONE,)),
        (Reschedule((free[2], free[0]), world.now + 5000, "q"), (IdOutcome.DONE, IdOutcome.GONE)),
        (DeleteMessages((held.message_id, free[3]), True, "q"), (IdOutcome.DONE, IdOutcome.GONE)),
        (Cancel((free[1],), f"q#{number_of(GROUPS[ids.index(free[1])])}"), (IdOutcome.DONE,)),
    ):
        assert (await world.perform(ask)).outcomes == expected
    assert await world.counts("q") == QueueCounts(8, 1, 0)


async def test_the_history_of_a_message_is_one_of_the_queue(world: World) -> None:
    (message_id, *_) = await fill(world, history="all")
    await world.delete("q", *await world.receive("q", 20))
    events = (await world.perform(ReadHistory(message_id))).events
    assert [(event.queue, event.kind) for event in events] == [("q", "sent"), ("q", "received"), ("q", "deleted")]
    assert {event.queue for event in (await world.perform(ReadEvents())).events} == {"q"}
