"""Messages by id: find, cancel, delete, reschedule."""

import pytest

from penstock.core.effects import FollowUp, Join
from penstock.core.errors import InvalidRequest
from penstock.core.messages import Draft, State
from penstock.core.operations import Cancel, DeleteMessages, Find, IdOutcome, Reschedule
from penstock.core.queues import QueueCounts
from penstock.core.settlements import Settled
from tests.support.entropy import own_id
from tests.support.world import World, bodies


async def delete(world: World, *message_ids: str, only_in_flight: bool = False) -> list[str]:
    reply = await world.perform(DeleteMessages(message_ids, only_in_flight))
    return [outcome.value for outcome in reply.outcomes]


async def test_find_answers_for_each_id_in_order(world: World) -> None:
    await world.create("q")
    await world.create("r")
    a, b = await world.send("q", "a", "b", delay_seconds=5)
    (c,) = await world.send("r", "c")
    await world.receive("r")
    found = (await world.perform(Find((c.message_id, "nonsense", b.message_id, own_id(1), a.message_id)))).messages
    assert [None if each is None else (each.queue, each.body, each.state) for each in found] == [
        ("r", "c", State.IN_FLIGHT),
        None,
        ("q", "b", State.DELAYED),
        None,
        ("q", "a", State.DELAYED),
    ]


async def test_cancel_forgets_what_nobody_holds(world: World) -> None:
    await world.create("q")
    ready, delayed, held, lapsed = await world.send("q", "ready", "delayed", "held", "lapsed", group_id="g")
    await world.reschedule(world.now + 9000, delayed.message_id)
    await world.reschedule(world.now - 1, ready.message_id)
    taken = {each.body: each for each in await world.receive("q", visibility_timeout_seconds=1)}
    world.advance(1)
    await world.change_visibility("q", taken["held"], 100)
    ids = [each.message_id for each in (ready, delayed, held, lapsed)]
    assert await world.cancel(*ids, ids[0], own_id(1)) == ("done", "done", "in_flight", "done", "gone", "gone")
    assert await world.counts("q") == QueueCounts(0, 0, 1)
    assert bodies(await world.peek("q")) == ["held"]


async def test_a_cancelled_message_is_no_longer_settled(world: World) -> None:
    await world.create("q")
    (sent,) = await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    assert await world.cancel(sent.message_id) == (IdOutcome.DONE,)
    assert await world.delete("q", held) == [Settled.GONE]


async def test_cancelling_the_head_lets_a_strict_group_go_on(world: World) -> None:
    await world.create("q", group_order="strict")
    (head,) = await world.send("q", "a", group_id="g", delay_seconds=10)
    await world.send("q", "b", group_id="g")
    assert await world.receive("q") == ()
    await world.cancel(head.message_id)
    assert await world.receive_bodies("q") == ["b"]


async def test_delete_by_id_forgets_whatever_the_state(world: World) -> None:
    await world.create("q")
    ready, held = await world.send("q", "ready", "held", priority=1)
    (delayed,) = await world.send("q", "delayed", delay_seconds=9)
    await world.receive("q", 1)
    ids = [each.message_id for each in (ready, held, delayed)]
    assert await delete(world, *ids, own_id(1)) == ["done", "done", "done", "gone"]
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    assert (await world.describe("q")).deleted_total == 3


async def test_delete_by_id_may_spare_what_nobody_holds(world: World) -> None:
    await world.create("q")
    held, ready = await world.send("q", "held", "ready")
    await world.receive("q", 1)
    assert await delete(world, held.message_id, ready.message_id, only_in_flight=True) == ["done", "gone"]
    assert await world.receive_bodies("q") == ["ready"]


async def test_delete_by_id_frees_a_strict_group(world: World) -> None:
    await world.create("q", group_order="strict")
    head, _ = await world.send("q", "a", "b", group_id="g")
    await world.receive("q", 1)
    await delete(world, head.message_id)
    assert await world.receive_bodies("q") == ["b"]


async def test_delete_by_id_wakes_who_waits_under_the_limit(world: World) -> None:
    await world.create("q", max_in_flight=1)
    head, _ = await world.send("q", "a", "b")
    await world.receive("q", 1)
    poll = await world.long_poll("q")
    await delete(world, head.message_id)
    assert await world.reply(poll) == ["b"]


async def test_reschedule_sets_when_a_message_may_be_received(world: World) -> None:
    await world.create("q")
    ready, delayed = await world.send("q", "ready", "delayed", delay_seconds=100)
    await world.reschedule(0, ready.message_id)
    assert await world.counts("q") == QueueCounts(1, 1, 0)
    assert await world.reschedule(world.now + 5000, ready.message_id, delayed.message_id) == ("done", "done")
    assert await world.counts("q") == QueueCounts(0, 2, 0)
    world.advance(5)
    assert await world.receive_bodies("q") == ["ready", "delayed"]


async def test_an_instant_in_the_past_means_now(world: World) -> None:
    await world.create("q")
    (sent,) = await world.send("q", "a", delay_seconds=100)
    await world.reschedule(5, sent.message_id)
    seen = await world.find(sent.message_id)
    assert seen is not None
    assert (seen.visible_at, seen.state) == (world.now, State.READY)


async def test_what_is_held_cannot_be_rescheduled(world: World) -> None:
    await world.create("q")
    (sent,) = await world.send("q", "a")
    held = await world.take("q")
    assert await world.reschedule(0, sent.message_id, own_id(1)) == ("in_flight", "gone")
    assert await world.delete("q", held) == [Settled.DONE]


async def test_rescheduling_makes_receipts_of_before_stale(world: World) -> None:
    await world.create("q")
    (sent,) = await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    await world.reschedule(world.now + 5000, sent.message_id)
    assert await world.counts("q") == QueueCounts(0, 1, 0)
    assert await world.delete("q", held) == [Settled.STALE]
    world.advance(5)
    assert (await world.take("q")).receive_count == 2


async def test_rescheduling_the_head_of_a_strict_group_holds_the_group_up(world: World) -> None:
    await world.create("q", group_order="strict")
    head, _ = await world.send("q", "a", "b", group_id="g")
    await world.reschedule(world.now + 5000, head.message_id)
    assert await world.receive("q") == ()
    world.advance(5)
    assert await world.receive_bodies("q") == ["a", "b"]


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_request_names_1_to_1000_ids(world: World, count: int) -> None:
    ids = (own_id(1),) * count
    for operation in (Find(ids), Cancel(ids), DeleteMessages(ids), Reschedule(ids, 0)):
        with pytest.raises(InvalidRequest):
            await world.perform(operation)


async def test_what_is_asked_of_one_queue_leaves_others_alone(world: World) -> None:
    await world.create("q")
    await world.create("other")
    (mine,) = await world.send("q", "mine")
    (theirs,) = await world.send("other", "theirs")
    (held,) = await world.send("other", "held", priority=1)
    await world.receive("other", 1)
    before = await world.peek("other")
    ids = (theirs.message_id, held.message_id, mine.message_id)
    for operation in (
        Reschedule(ids, 0, "q"),
        DeleteMessages(ids[:2], only_in_flight=True, queue="q"),
        DeleteMessages(ids[:2], queue="q"),
        Cancel(ids, "q"),
    ):
        outcomes = (await world.perform(operation)).outcomes
        assert outcomes[:2] == ("gone", "gone")
        assert outcomes[2:] in ((), ("done",))
    assert await world.peek("other") == before
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    assert (await world.perform(DeleteMessages(ids, queue="other"))).outcomes == ("done", "done", "gone")


@pytest.mark.parametrize("queue", ["q", "missing"])
async def test_a_queue_that_holds_nothing_has_nothing_to_cancel(world: World, queue: str) -> None:
    await world.create("q")
    for operation in (
        Cancel((own_id(1), "nonsense"), queue),
        DeleteMessages((own_id(1), "nonsense"), queue=queue),
        Reschedule((own_id(1), "nonsense"), 0, queue),
    ):
        assert (await world.perform(operation)).outcomes == ("gone", "gone")


async def test_a_blocked_message_is_of_the_queue_it_will_go_to(world: World) -> None:
    await world.create("q")
    await world.create("other")
    join = Join("j", 1, FollowUp("q", Draft("joined", message_id=own_id(1))))
    await world.apply(joins=(join,))
    for operation in (Cancel, lambda ids, queue: DeleteMessages(ids, queue=queue)):
        assert (await world.perform(operation((own_id(1),), "other"))).outcomes == ("gone",)
    assert (await world.perform(Reschedule((own_id(1),), world.now + 9000, "other"))).outcomes == ("gone",)
    assert (await world.perform(Reschedule((own_id(1),), world.now + 5000, "q"))).outcomes == ("done",)
    seen = await world.find(own_id(1))
    assert seen is not None
    assert seen.queue == "q"
    assert (await world.perform(Cancel((own_id(1),), "q"))).outcomes == ("done",)
    assert await world.find(own_id(1)) is None
    await world.apply(joins=(join,))
    assert (await world.perform(DeleteMessages((own_id(1),), queue="q"))).outcomes == ("done",)
    assert await world.find(own_id(1)) is None


async def test_a_message_is_rescheduled_by_a_delay_or_to_an_instant(world: World) -> None:
    await world.create("q")
    (sent,) = await world.send("q", "x")
    ids = (sent.message_id,)
    for neither_nor_both in (Reschedule(ids), Reschedule(ids, 0, delay_seconds=1), Reschedule(ids, delay_seconds=-1)):
        with pytest.raises(InvalidRequest):
            await world.perform(neither_nor_both)
    assert (await world.perform(Reschedule(ids, delay_seconds=5))).outcomes == ("done",)
    seen = await world.find(sent.message_id)
    assert seen is not None
    assert seen.visible_at == world.now + 5000
