"""Settle: how deliveries end, and who may no longer end them."""

import pytest

from penstock.core.errors import InvalidRequest
from penstock.core.messages import Draft
from penstock.core.operations import Settle
from penstock.core.queues import QueueCounts
from penstock.core.settlements import (
    Action,
    ChangeVisibility,
    DeadLetter,
    Delete,
    GiveBack,
    Settled,
    Settlement,
    SettleOutcome,
)
from tests.support.world import World

ACTIONS = (Delete(), ChangeVisibility(10), GiveBack(), DeadLetter("x"))


def named(action: Action) -> str:
    return type(action).__name__


async def test_deleting_forgets_the_message(world: World) -> None:
    await world.create("q")
    (sent,) = await world.send("q", "a")
    held = await world.take("q")
    assert await world.settle("q", held) == SettleOutcome(Settled.DONE, sent.message_id)
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    assert await world.find(sent.message_id) is None
    world.advance(1000)
    assert await world.receive("q") == ()


@pytest.mark.parametrize("action", ACTIONS, ids=named)
async def test_what_was_deleted_is_gone(world: World, action: Action) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    await world.delete("q", held)
    assert await world.settle("q", held, action) == SettleOutcome(Settled.GONE)


@pytest.mark.parametrize("action", ACTIONS, ids=named)
async def test_a_stale_receipt_settles_nothing(world: World, action: Action) -> None:
    await world.create("q")
    await world.send("q", "a")
    stale = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    held = await world.take("q", visibility_timeout_seconds=100)
    before = await world.peek("q")
    assert (await world.settle("q", stale, action)).result is Settled.STALE
    assert await world.peek("q") == before
    assert await world.delete("q", held) == [Settled.DONE]


async def test_a_stale_receipt_cannot_delete_what_nobody_holds_any_more(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    first = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    assert await world.delete("q", first) == [Settled.STALE]


async def test_an_expired_lease_still_deletes_where_order_is_fair(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    assert await world.delete("q", held) == [Settled.DONE]
    assert await world.counts("q") == QueueCounts(0, 0, 0)


@pytest.mark.parametrize("group_order", ["fair", "strict"])
@pytest.mark.parametrize("action", ACTIONS, ids=named)
async def test_a_fenced_settlement_fails_when_the_lease_is_over(world: World, action: Action, group_order: str) -> None:
    await world.create("q", group_order=group_order)
    (sent,) = await world.send("q", "a", group_id="g")
    held = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    before = await world.peek("q")
    outcome = await world.settle("q", held, action, is_fenced=True)
    assert outcome == SettleOutcome(Settled.EXPIRED, sent.message_id)
    assert await world.peek("q") == before


async def test_a_fenced_settlement_is_done_while_the_lease_lasts(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=1)
    world.advance(0.999)
    assert (await world.settle("q", held, is_fenced=True)).result is Settled.DONE


@pytest.mark.parametrize("action", ACTIONS, ids=named)
async def test_garbage_is_refused(world: World, action: Action) -> None:
    await world.create("q")
    outcome = await world.settle("q", "garbage", action)
    assert outcome.result is Settled.REFUSED
    assert outcome.problem is not None
    assert outcome.problem.code == "receipt_handle_invalid"


async def test_a_receipt_of_another_queue_is_refused(world: World) -> None:
    await world.create("q")
    await world.create("r")
    await world.send("q", "a")
    held = await world.take("q")
    outcome = await world.settle("r", held)
    assert outcome.problem is not None
    assert (outcome.result, outcome.problem.code) == (Settled.REFUSED, "receipt_handle_invalid")


async def test_a_missing_queue_is_refused(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    outcome = await world.settle("none", held)
    assert outcome.problem is not None
    assert (outcome.result, outcome.problem.code) == (Settled.REFUSED, "queue_not_found")


async def test_each_settlement_of_a_batch_stands_alone(world: World) -> None:
    await world.create("q")
    await world.create("r")
    await world.send("q", "a", "b")
    await world.send("r", "c")
    (a, b), c = await world.receive("q"), await world.take("r")
    reply = await world.perform(
        Settle(
            (
                Settlement("q", a.receipt_handle),
                Settlement("q", "garbage"),
                Settlement("q", a.receipt_handle),
                Settlement("none", b.receipt_handle),
                Settlement("r", c.receipt_handle, ChangeVisibility(0)),
                Settlement("q", b.receipt_handle, GiveBack()),
            )
        )
    )
    assert [outcome.result.value for outcome in reply.outcomes] == [
        "done",
        "refused",
        "gone",
        "refused",
        "done",
        "done",
    ]
    assert await world.receive_bodies("q") == ["b"]
    assert await world.receive_bodies("r") == ["c"]


@pytest.mark.parametrize("group_order", ["fair", "strict"])
async def test_a_batch_of_deletions_forgets_what_is_held_and_nothing_else(world: World, group_order: str) -> None:
    await world.create("q", group_order=group_order)
    await world.send("q", *"abcdefghijklmn")
    await world.send_drafts("q", Draft("grouped", group_id="g"), Draft("long" * 1000))
    lapsing = await world.receive("q", 2, visibility_timeout_seconds=1)
    held = await world.receive("q", 20, visibility_timeout_seconds=60)
    assert len(held) == 14
    world.advance(1)
    stale, expired = lapsing
    again = await world.take("q", visibility_timeout_seconds=60)
    await world.delete("q", held[3])
    if again.message_id != stale.message_id:
        stale, expired = expired, stale
    is_strict = group_order == "strict"
    assert await world.delete("q", held[0], stale, *held[1:13], expired, held[13]) == [
        Settled.DONE,
        Settled.STALE,
        *[Settled.DONE] * 2,
        Settled.GONE,
        *[Settled.DONE] * 9,
        Settled.EXPIRED if is_strict else Settled.DONE,
        Settled.DONE,
    ]
    left = {again.message_id, expired.message_id} if is_strict else {again.message_id}
    assert {each.message_id for each in await world.peek("q")} == left
    assert await world.counts("q") == QueueCounts(int(is_strict), 0, 1)
    assert (await world.describe("q")).deleted_total == 16 - len(left)


async def test_a_fenced_batch_of_deletions_ends_what_is_held_still(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b", "c")
    held = (
        *await world.receive("q", 1, visibility_timeout_seconds=1),
        *await world.receive("q", visibility_timeout_seconds=9),
    )
    world.advance(1)
    settlements = tuple(Settlement("q", each.receipt_handle, is_fenced=True) for each in held)
    outcomes = (await world.perform(Settle(settlements))).outcomes
    assert [each.result for each in outcomes] == [Settled.EXPIRED, Settled.DONE, Settled.DONE]
    assert await world.receive_bodies("q") == ["a"]


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_1_to_1000_settlements(world: World, count: int) -> None:
    with pytest.raises(InvalidRequest):
        await world.perform(Settle((Settlement("q", "x"),) * count))
