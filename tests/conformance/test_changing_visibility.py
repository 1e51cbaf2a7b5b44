"""Change visibility: hold longer or give back, by whom and for how long at most."""

from typing import Any

import pytest

from penstock.core.effects import Effects, FollowUp, Record
from penstock.core.errors import InvalidRequest
from penstock.core.messages import Draft
from penstock.core.operations import GetRecords, Settle
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


async def test_an_expired_lease_still_changes_visibility_where_order_is_fair(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    assert await world.change_visibility("q", held, 10) is Settled.DONE
    assert await world.counts("q") == QueueCounts(0, 0, 1)
    assert await world.delete("q", held) == [Settled.DONE]


async def test_changing_visibility_holds_longer_from_now(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=10)
    world.advance(9)
    assert await world.change_visibility("q", held, 10) is Settled.DONE
    world.advance(9.999)
    assert await world.receive("q") == ()
    world.advance(0.001)
    assert (await world.take("q")).receive_count == 2


async def test_visibility_0_gives_back_at_once_and_the_delivery_counts(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    await world.change_visibility("q", held, 0)
    assert await world.counts("q") == QueueCounts(1, 0, 0)
    assert (await world.take("q")).receive_count == 2


async def test_what_was_given_back_with_visibility_0_may_still_be_deleted_by_its_receipt(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    await world.change_visibility("q", held, 0)
    assert await world.delete("q", held) == [Settled.DONE]


@pytest.mark.parametrize("seconds", [-1, 1e12])
async def test_a_visibility_out_of_range_fails_the_whole_call(world: World, seconds: float) -> None:
    await world.create("q")
    await world.send("q", "a", "b")
    a, b = await world.receive("q")
    with pytest.raises(InvalidRequest):
        await world.perform(
            Settle((Settlement("q", a.receipt_handle), Settlement("q", b.receipt_handle, ChangeVisibility(seconds))))
        )
    assert await world.counts("q") == QueueCounts(0, 0, 2)


async def test_an_earlier_delivery_counts_where_any_may(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    first = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    second = await world.take("q", visibility_timeout_seconds=10)
    outcome = await world.settle("q", first, ChangeVisibility(100), any_delivery=True)
    assert outcome == SettleOutcome(Settled.DONE, first.message_id)
    (seen,) = await world.peek("q")
    assert (seen.visible_at, seen.receive_count) == (world.now + 100_000, 2)
    assert await world.delete("q", second) == [Settled.DONE]
    assert (await world.settle("q", first, ChangeVisibility(0), any_delivery=True)).result is Settled.GONE


@pytest.mark.parametrize("way", ["given back", "rescheduled"])
async def test_no_delivery_counts_once_the_last_was_undone(world: World, way: str) -> None:
    await world.create("q")
    await world.send("q", "a")
    first = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    second = await world.take("q", visibility_timeout_seconds=1)
    if way == "given back":
        await world.settle("q", second, GiveBack())
    else:
        world.advance(1)
        await world.reschedule(0, second.message_id)
    assert (await world.settle("q", first, ChangeVisibility(100), any_delivery=True)).result is Settled.STALE
    assert await world.counts("q") == QueueCounts(1, 0, 0)


async def test_a_receipt_of_another_message_never_counts(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b")
    a, b = await world.receive("q")
    await world.delete("q", a)
    assert (await world.settle("q", a, ChangeVisibility(0), any_delivery=True)).result is Settled.GONE
    assert await world.delete("q", b) == [Settled.DONE]


@pytest.mark.parametrize("action", [Delete(), GiveBack(), DeadLetter("x")], ids=named)
async def test_an_earlier_delivery_never_ends_a_later_one(world: World, action: Action) -> None:
    await world.create("q")
    await world.send("q", "a")
    stale = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    held = await world.take("q", visibility_timeout_seconds=100)
    before = await world.peek("q")
    assert (await world.settle("q", stale, action, any_delivery=True)).result is Settled.STALE
    assert await world.peek("q") == before
    assert await world.delete("q", held) == [Settled.DONE]


@pytest.mark.parametrize(
    "details",
    [
        {"is_fenced": True},
        {"parks_group": True},
        {"effects": Effects(records=(Record("finished", b""),))},
        {"effects": Effects(sends=(FollowUp("q", Draft("next")),))},
    ],
    ids=str,
)
async def test_an_earlier_delivery_has_no_effects_and_passes_no_fence(world: World, details: dict[str, Any]) -> None:
    await world.create("q")
    await world.send("q", "a", group_id="g")
    stale = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    held = await world.take("q", visibility_timeout_seconds=100)
    before = await world.peek("q")
    outcome = await world.settle("q", stale, ChangeVisibility(5), any_delivery=True, **details)
    assert outcome.result is Settled.STALE
    assert await world.peek("q") == before
    assert not (await world.groups("q"))["g"].is_parked
    assert (await world.perform(GetRecords(("finished",)))).records == (None,)
    assert (await world.settle("q", held, ChangeVisibility(5), any_delivery=True, **details)).result is Settled.DONE


async def test_a_lease_may_be_limited_in_all(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=10)
    world.advance(4)
    outcome = await world.settle("q", held, ChangeVisibility(96, most_total_seconds=100))
    assert outcome == SettleOutcome(Settled.DONE, held.message_id)
    before = await world.peek("q")
    outcome = await world.settle("q", held, ChangeVisibility(96.001, most_total_seconds=100))
    assert (outcome.result, outcome.message_id) == (Settled.REFUSED, held.message_id)
    assert outcome.problem is not None
    assert (outcome.problem.code, outcome.problem.field) == ("lease_too_long", "visibility_timeout_seconds")
    assert await world.peek("q") == before
    assert await world.delete("q", held) == [Settled.DONE]


async def test_the_limit_of_a_lease_counts_from_the_latest_receive(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    await world.take("q", visibility_timeout_seconds=60)
    world.advance(60)
    held = await world.take("q", visibility_timeout_seconds=1)
    action = ChangeVisibility(100, most_total_seconds=100)
    assert (await world.settle("q", held, action)).result is Settled.DONE
    world.advance(0.001)
    assert (await world.settle("q", held, action)).result is Settled.REFUSED


async def test_a_lease_may_be_given_back_however_long_it_lasted(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q", visibility_timeout_seconds=1000)
    world.advance(500)
    assert (await world.settle("q", held, ChangeVisibility(1, 100))).result is Settled.REFUSED
    assert (await world.settle("q", held, ChangeVisibility(0, 100))).result is Settled.DONE
    assert await world.counts("q") == QueueCounts(1, 0, 0)


async def test_what_refuses_a_lease_keeps_its_effects_back(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    effects = Effects(records=(Record("k", b""),))
    outcome = await world.settle("q", held, ChangeVisibility(101, most_total_seconds=100), effects=effects)
    assert outcome.result is Settled.REFUSED
    assert (await world.perform(GetRecords(("k",)))).records == (None,)


@pytest.mark.parametrize("seconds", [-1, float("inf"), 1e12])
async def test_the_limit_of_a_lease_is_a_duration(world: World, seconds: float) -> None:
    with pytest.raises(InvalidRequest):
        await world.perform(Settle((Settlement("q", "x", ChangeVisibility(1, seconds)),)))
