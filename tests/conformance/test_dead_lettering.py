"""Dead-lettering: what was received too often goes to another queue, as it is."""

import pytest

from penstock.core.messages import Attribute, MessageView, State
from penstock.core.operations import DeleteQueue
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.settlements import DeadLetter, Settled
from tests.support.world import World, bodies


async def fail(world: World, queue: str, times: int, count: int = 10) -> None:
    """Receive and let the leases end, so many times."""
    for _ in range(times):
        assert await world.receive(queue, count, visibility_timeout_seconds=1)
        world.advance(1)


async def test_a_message_is_dead_lettered_at_the_receive_after_its_last(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 2))
    await world.send("q", "a")
    await fail(world, "q", 2)
    assert await world.counts("q") == QueueCounts(1, 0, 0)
    assert await world.receive("q") == ()
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    assert await world.counts("dead") == QueueCounts(1, 0, 0)


async def test_a_dead_lettered_message_keeps_what_it_is(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    details = {
        "attributes": {"a": Attribute(string_value="x")},
        "system_attributes": {"AWSTraceHeader": Attribute(string_value="Root=1")},
        "sender_id": "me",
        "group_id": "g",
        "priority": 4,
        "deduplication_id": "d",
    }
    (sent,) = await world.send("q", "a", time_to_live_seconds=100, **details)
    sent_at = world.now
    world.advance(1)
    await fail(world, "q", 1)
    await world.receive("q")
    assert await world.peek("dead") == (
        MessageView(
            message_id=sent.message_id,
            queue="dead",
            state=State.READY,
            body="a",
            sent_at=sent_at,
            visible_at=world.now,
            sequence_number=1,
            receive_count=1,
            first_received_at=sent_at + 1000,
            expires_at=sent_at + 100_000,
            dead_letter_source="q",
            **details,
        ),
    )
    (delivery,) = await world.receive("dead")
    assert (delivery.receive_count, delivery.dead_letter_source) == (2, "q")


async def test_a_fifo_message_is_sent_anew_when_it_is_dead_lettered(world: World) -> None:
    await world.create("dead.fifo", is_fifo=True)
    await world.create("q.fifo", is_fifo=True, redrive=RedrivePolicy("dead.fifo", 1))
    await world.send("q.fifo", "a", group_id="g", deduplication_id="d")
    await fail(world, "q.fifo", 1)
    await world.receive("q.fifo")
    (dead,) = await world.peek("dead.fifo")
    assert dead.sent_at == world.now


async def test_a_receive_passes_over_the_spent_to_what_is_not(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("q", "old1", "old2")
    await fail(world, "q", 1)
    await world.send("q", "new")
    assert await world.receive_bodies("q", 1) == ["new"]
    assert bodies(await world.peek("dead")) == ["old1", "old2"]


async def test_dead_lettering_does_not_deduplicate(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("dead", "there", deduplication_id="d")
    await world.send("q", "a", deduplication_id="d")
    await fail(world, "q", 1)
    await world.receive("q")
    assert bodies(await world.peek("dead")) == ["there", "a"]


async def test_a_missing_dead_letter_queue_keeps_messages_where_they_are(world: World) -> None:
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("q", "a")
    await fail(world, "q", 3)
    assert (await world.take("q")).receive_count == 4
    await world.create("dead")
    world.advance(30)
    assert await world.receive("q") == ()
    assert await world.counts("dead") == QueueCounts(1, 0, 0)


async def test_a_dead_letter_queue_may_have_one_itself_and_counts_its_own_receives(world: World) -> None:
    await world.create("last")
    await world.create("dead", redrive=RedrivePolicy("last", 2))
    await world.create("q", redrive=RedrivePolicy("dead", 3))
    (sent,) = await world.send("q", "a")
    await fail(world, "q", 3)
    assert await world.receive("q") == ()
    await fail(world, "dead", 2)
    assert await world.receive("dead") == ()
    last = await world.take("last")
    assert (last.message_id, last.receive_count, last.dead_letter_source) == (sent.message_id, 6, "dead")


async def test_two_queues_may_be_each_others_dead_letter_queue(world: World) -> None:
    await world.create("a", redrive=RedrivePolicy("b", 1))
    await world.create("b", redrive=RedrivePolicy("a", 1))
    await world.send("a", "x")
    for here, there in (("a", "b"), ("b", "a"), ("a", "b")):
        await fail(world, here, 1)
        assert await world.receive(here) == ()
        assert bodies(await world.peek(there)) == ["x"]
    (seen,) = await world.peek("b")
    assert seen.receive_count == 3


async def test_changing_the_policy_counts_for_what_is_there(world: World) -> None:
    await world.create("dead")
    await world.create("q")
    await world.send("q", "a")
    await fail(world, "q", 3)
    await world.update("q", redrive=RedrivePolicy("dead", 2))
    assert await world.receive("q") == ()
    assert await world.counts("dead") == QueueCounts(1, 0, 0)


async def test_the_retention_of_the_dead_letter_queue_counts_from_the_first_send(world: World) -> None:
    await world.create("dead", retention_seconds=100)
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("q", "a")
    world.advance(98)
    await fail(world, "q", 1)
    await world.receive("q")
    assert await world.counts("dead") == QueueCounts(1, 0, 0)
    world.advance(1)
    assert await world.receive("dead") == ()


async def test_dead_lettering_counts_in_both_queues_totals(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("q", "a")
    await fail(world, "q", 1)
    await world.receive("q")
    q, dead = await world.describe("q"), await world.describe("dead")
    assert (q.sent_total, q.received_total, q.deleted_total) == (1, 1, 0)
    assert (dead.sent_total, dead.received_total, dead.deleted_total) == (1, 0, 0)


async def test_deleting_the_dead_letter_queue_later_leaves_the_policy(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.perform(DeleteQueue("dead"))
    await world.send("q", "a")
    await fail(world, "q", 2)
    assert (await world.describe("q")).settings.redrive == RedrivePolicy("dead", 1)
    assert await world.delete("q", await world.take("q")) == [Settled.DONE]


async def test_many_spent_messages_are_cleared_away_receive_by_receive(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("q", *["spent"] * 250)
    await fail(world, "q", 1, count=250)
    await world.send("q", "good")
    found: list[str] = []
    receives = 0
    while not found:
        found = await world.receive_bodies("q")
        receives += 1
        assert receives < 10
    assert found == ["good"]
    assert await world.counts("dead") == QueueCounts(250, 0, 0)


async def test_dead_lettering_moves_the_message_now(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 5))
    (sent,) = await world.send("q", "a", priority=3)
    held = await world.take("q")
    assert (await world.settle("q", held, DeadLetter("broken"))).result is Settled.DONE
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    dead = await world.take("dead")
    assert (dead.message_id, dead.body, dead.priority) == (sent.message_id, "a", 3)
    assert (dead.dead_letter_source, dead.receive_count) == ("q", 2)


@pytest.mark.parametrize("redrive", [None, RedrivePolicy("none", 5)], ids=["no policy", "no queue"])
async def test_dead_lettering_without_a_dead_letter_queue_deletes(world: World, redrive: RedrivePolicy | None) -> None:
    await world.create("q", redrive=redrive)
    (sent,) = await world.send("q", "a")
    assert (await world.settle("q", await world.take("q"), DeadLetter("broken"))).result is Settled.DONE
    assert await world.find(sent.message_id) is None
    assert await world.counts("q") == QueueCounts(0, 0, 0)


async def test_a_receipt_of_before_dead_lettering_means_nothing(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    await world.receive("q")
    assert await world.delete("q", held) in ([Settled.GONE], [Settled.STALE])
    assert (await world.settle("dead", held)).result is Settled.REFUSED
    assert await world.counts("dead") == QueueCounts(1, 0, 0)
