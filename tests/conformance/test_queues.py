"""Queues: created, found, changed, listed, deleted."""

import pytest

from penstock.core.errors import InvalidRequest, QueueConflict, QueueDeletedRecently, QueueNotFound
from penstock.core.messages import Draft
from penstock.core.operations import (
    CreateQueue,
    DeleteQueue,
    DescribeQueue,
    ListQueues,
    PurgeQueue,
    Receive,
    Send,
    StartMove,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.queues import QueueChanges, QueueCounts, QueueSettings, RedrivePolicy
from tests.support.world import World


async def test_a_new_queue_has_the_defaults_and_what_was_named(world: World) -> None:
    queue = await world.create("orders", visibility_timeout_seconds=5, tags={"team": "a"})
    assert queue.name == "orders"
    assert queue.settings == QueueSettings(visibility_timeout_seconds=5, tags={"team": "a"})
    assert queue.created_at == queue.modified_at == world.now
    assert queue.counts == QueueCounts(0, 0, 0)
    assert queue.oldest_sent_at is queue.purged_at is None
    assert await world.describe("orders") == queue


async def test_creating_says_whether_this_call_made_it(world: World) -> None:
    first = await world.perform(CreateQueue("orders"))
    second = await world.perform(CreateQueue("orders"))
    assert (first.was_created, second.was_created) == (True, False)
    assert first.queue == second.queue


async def test_creating_again_compares_only_what_is_named(world: World) -> None:
    await world.create("orders", delay_seconds=5, visibility_timeout_seconds=7)
    await world.create("orders", delay_seconds=5)
    with pytest.raises(QueueConflict) as refused:
        await world.create("orders", visibility_timeout_seconds=7, delay_seconds=6)
    assert refused.value.problem.field == "delay_seconds"
    assert (await world.describe("orders")).settings.delay_seconds == 5


async def test_creating_again_does_not_compare_tags_but_compares_edge_attributes(world: World) -> None:
    await world.create("orders", tags={"a": "1"}, edge_attributes={"Policy": "p"})
    await world.create("orders", tags={"b": "2"}, edge_attributes={"Policy": "p"})
    assert (await world.describe("orders")).settings.tags == {"a": "1"}
    with pytest.raises(QueueConflict):
        await world.create("orders", edge_attributes={"Policy": "q"})


async def test_a_queue_is_created_again_as_it_was_asked_for(world: World) -> None:
    for settings in ({"is_fifo": True}, {"group_order": "strict"}, {"redrive": RedrivePolicy("dead", 3)}):
        name = next(iter(settings))
        await world.create(name, **settings)
        assert not (await world.perform(CreateQueue(name, QueueChanges(**settings)))).was_created


async def test_a_fifo_queue_orders_strictly(world: World) -> None:
    queue = await world.create("orders.fifo", is_fifo=True)
    assert queue.settings.group_order == "strict"


async def test_a_fifo_queue_cannot_be_asked_to_be_fair(world: World) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await world.create("orders.fifo", is_fifo=True, group_order="fair")
    assert refused.value.problem.field == "group_order"


@pytest.mark.parametrize("name", ["", "a b", "a" * 81, "a/b", "a/b/c/d", "ä", "a\n"])
async def test_a_bad_name_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await world.create(name)
    assert refused.value.problem.field == "queue"


@pytest.mark.parametrize("name", ["a" * 80, "A-b_c.fifo", "eu-west-1/000000000000/orders"])
async def test_a_good_name_is_taken(world: World, name: str) -> None:
    assert (await world.create(name)).name == name


async def test_a_deleted_name_may_rest(world: World) -> None:
    await world.create("orders")
    await world.perform(DeleteQueue("orders"))
    world.advance(59)
    with pytest.raises(QueueDeletedRecently):
        await world.perform(CreateQueue("orders", name_rest_seconds=60))
    world.advance(1)
    assert (await world.perform(CreateQueue("orders", name_rest_seconds=60))).was_created


async def test_a_deleted_name_need_not_rest(world: World) -> None:
    await world.create("orders")
    await world.perform(DeleteQueue("orders"))
    assert (await world.perform(CreateQueue("orders"))).was_created


async def test_deleting_a_queue_forgets_its_messages(world: World) -> None:
    await world.create("orders")
    (sent, held) = await world.send("orders", "a", "b")
    await world.receive("orders", 1)
    await world.perform(DeleteQueue("orders"))
    await world.create("orders")
    assert await world.counts("orders") == QueueCounts(0, 0, 0)
    assert await world.find(sent.message_id) is await world.find(held.message_id) is None
    assert await world.receive("orders") == ()


async def test_a_recreated_queue_remembers_no_duplicates_and_no_parked_groups(world: World) -> None:
    await world.create("orders")
    await world.send("orders", "a", deduplication_id="d")
    await world.park("orders", "g")
    await world.perform(DeleteQueue("orders"))
    await world.create("orders")
    (again,) = await world.send("orders", "a", deduplication_id="d", group_id="g")
    assert not again.is_duplicate
    assert await world.receive_bodies("orders") == ["a"]


async def test_a_receipt_of_a_deleted_queue_means_nothing_to_its_successor(world: World) -> None:
    await world.create("orders")
    await world.send("orders", "a")
    old = await world.take("orders")
    await world.perform(DeleteQueue("orders"))
    await world.create("orders")
    await world.send("orders", "b")
    await world.delete("orders", old)
    assert await world.receive_bodies("orders") == ["b"]


@pytest.mark.parametrize(
    "operation",
    [
        UpdateQueue("none", QueueChanges()),
        DeleteQueue("none"),
        DescribeQueue("none"),
        PurgeQueue("none"),
        UpdateGroup("none", "g", True),
        Send("none", (Draft("a"),)),
        Receive("none", wait_seconds=0),
        Receive("none", wait_seconds=5),
        StartMove("none"),
    ],
    ids=lambda operation: type(operation).__name__,
)
async def test_a_missing_queue_is_said_to_be_missing(world: World, operation: object) -> None:
    with pytest.raises(QueueNotFound) as refused:
        await world.perform(operation)
    assert refused.value.problem.field == "queue"
    assert refused.value.problem.hint


async def test_updating_changes_only_what_is_named(world: World) -> None:
    before = await world.create("orders", delay_seconds=5, redrive=RedrivePolicy("dead", 3))
    world.advance(1)
    after = await world.update("orders", visibility_timeout_seconds=0.5)
    assert after.settings.delay_seconds == 5
    assert after.settings.redrive == RedrivePolicy("dead", 3)
    assert after.settings.visibility_timeout_seconds == 0.5
    assert (after.created_at, after.modified_at) == (before.created_at, before.created_at + 1000)
    assert (await world.update("orders", redrive=None)).settings.redrive is None


async def test_updating_merges_tags_and_edge_attributes(world: World) -> None:
    await world.create("orders", tags={"a": "1", "b": "2"}, edge_attributes={"Policy": "p", "Kms": "k"})
    after = await world.update("orders", tags={"b": None, "c": "3"}, edge_attributes={"Policy": None})
    assert after.settings.tags == {"a": "1", "c": "3"}
    assert after.settings.edge_attributes == {"Kms": "k"}


@pytest.mark.parametrize(
    ("field", "value"), [("is_fifo", True), ("group_order", "strict"), ("deduplicate_per_group", True)]
)
async def test_what_is_fixed_at_creation_cannot_be_changed(world: World, field: str, value: object) -> None:
    before = await world.create("orders")
    with pytest.raises(InvalidRequest) as refused:
        await world.update("orders", **{field: value, "delay_seconds": 9})
    assert refused.value.problem.field == field
    assert await world.describe("orders") == before


async def test_what_is_fixed_may_be_named_with_the_value_it_has(world: World) -> None:
    await world.create("orders.fifo", is_fifo=True)
    after = await world.update("orders.fifo", is_fifo=True, group_order="strict", delay_seconds=1)
    assert after.settings.delay_seconds == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"visibility_timeout_seconds": -1},
        {"delay_seconds": float("nan")},
        {"retention_seconds": float("inf")},
        {"max_message_bytes": 0},
        {"max_in_flight": 0},
        {"group_max_in_flight": 0},
        {"redrive": RedrivePolicy("dead", 0)},
        {"redrive": RedrivePolicy("orders", 3)},
    ],
    ids=str,
)
async def test_a_setting_out_of_range_is_refused(near_world: World, settings: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        await near_world.create("orders", **settings)
    await near_world.create("orders")
    with pytest.raises(InvalidRequest):
        await near_world.update("orders", **settings)


async def test_queues_are_listed_by_name_and_page_by_page(world: World) -> None:
    for name in ("b", "a", "B", "c", "a-2", "_"):
        await world.create(name)
    found, after = [], ""
    while after is not None:
        page = await world.perform(ListQueues(after=after, limit=2))
        assert len(page.queues) <= 2
        found += [queue.name for queue in page.queues]
        after = page.next_after
    assert found == sorted(("b", "a", "B", "c", "a-2", "_"))


async def test_the_last_page_of_queues_says_so(world: World) -> None:
    for name in ("a", "b"):
        await world.create(name)
    assert (await world.perform(ListQueues(limit=2))).next_after is None
    assert (await world.perform(ListQueues(limit=1))).next_after == "a"


async def test_queues_are_listed_by_prefix(world: World) -> None:
    for name in ("order", "orders", "orders-2", "other", "Orders", "order_", "order.x"):
        await world.create(name)
    page = await world.perform(ListQueues(prefix="order"))
    assert [queue.name for queue in page.queues] == ["order", "order.x", "order_", "orders", "orders-2"]
    page = await world.perform(ListQueues(prefix="order_"))
    assert [queue.name for queue in page.queues] == ["order_"]


async def test_queues_are_listed_by_their_dead_letter_queue(world: World) -> None:
    for name in ("c", "a", "b"):
        await world.create(name, redrive=RedrivePolicy("dead", 3))
    await world.create("dead", redrive=RedrivePolicy("deader", 3))
    page = await world.perform(ListQueues(dead_letter_queue="dead"))
    assert [queue.name for queue in page.queues] == ["a", "b", "c"]
    await world.update("b", redrive=None)
    page = await world.perform(ListQueues(dead_letter_queue="dead", after="a"))
    assert [queue.name for queue in page.queues] == ["c"]


async def test_a_queue_tells_its_totals(world: World) -> None:
    await world.create("orders")
    await world.send("orders", "a", "b", "c")
    held = await world.receive("orders", 2)
    await world.delete("orders", held[0])
    described = await world.describe("orders")
    assert (described.sent_total, described.received_total, described.deleted_total) == (3, 2, 1)


async def test_a_queue_tells_when_its_oldest_message_was_sent(world: World) -> None:
    await world.create("orders")
    await world.send("orders", "a")
    first_at = world.now
    world.advance(1)
    await world.send("orders", "b")
    assert (await world.describe("orders")).oldest_sent_at == first_at
    await world.delete("orders", await world.take("orders"))
    assert (await world.describe("orders")).oldest_sent_at == first_at + 1000
