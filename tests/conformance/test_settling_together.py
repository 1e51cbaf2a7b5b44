"""Settling together: several deliveries of a queue end in one atomic step, all of them or none."""

import pytest

from penstock.core.effects import Arrival, Effects, FollowUp, Guard, Join, Record
from penstock.core.errors import InvalidRequest
from penstock.core.messages import Delivery, Draft, State
from penstock.core.operations import GetRecords
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.receipts import Receipt, decode_receipt, encode_receipt
from penstock.core.settlements import (
    DELETE,
    Action,
    ChangeVisibility,
    DeadLetter,
    Delete,
    GiveBack,
    Settled,
    SettleOutcome,
)
from tests.support.world import World, bodies

ACTIONS = (Delete(), ChangeVisibility(10), GiveBack(5), DeadLetter("x"))


def named(action: Action) -> str:
    return type(action).__name__


async def together(
    world: World, held: tuple[Delivery, ...], action: Action = DELETE, **details: object
) -> SettleOutcome:
    first, *others = held
    return await world.settle("q", first, action, also=tuple(each.receipt_handle for each in others), **details)


@pytest.fixture(params=["fair", "strict"])
async def held(world: World, request: pytest.FixtureRequest) -> tuple[Delivery, ...]:
    """Three deliveries, two of them of one group."""
    await world.create("dead", group_order=request.param)
    await world.create("q", group_order=request.param, redrive=RedrivePolicy("dead", 9))
    await world.send("q", "a", "b", group_id="g")
    await world.send("q", "c", group_id="h")
    return await world.receive("q", visibility_timeout_seconds=100)


@pytest.mark.parametrize("action", ACTIONS, ids=named)
async def test_all_end_in_the_same_way(world: World, held: tuple[Delivery, ...], action: Action) -> None:
    assert await together(world, held, action) == SettleOutcome(Settled.DONE, held[0].message_id)
    seen = await world.peek("q")
    if isinstance(action, Delete | DeadLetter):
        assert seen == ()
        assert (await world.describe("q")).deleted_total == (3 if isinstance(action, Delete) else 0)
        assert bodies(await world.peek("dead")) == ([] if isinstance(action, Delete) else ["a", "b", "c"])
    else:
        seconds, state = (10, State.IN_FLIGHT) if isinstance(action, ChangeVisibility) else (5, State.DELAYED)
        assert {(each.state, each.visible_at) for each in seen} == {(state, world.now + seconds * 1000)}
        world.advance(seconds)
        assert await world.receive_bodies("q") == ["a", "b", "c"]


@pytest.mark.parametrize("action", ACTIONS, ids=named)
@pytest.mark.parametrize("spoilt", [0, 1, 2])
@pytest.mark.parametrize("how", ["gone", "stale", "expired"])
async def test_none_ends_if_one_cannot(
    world: World, held: tuple[Delivery, ...], spoilt: int, how: str, action: Action
) -> None:
    bad = held[spoilt]
    if how == "gone":
        await world.delete("q", bad)
    elif how == "stale":
        await world.settle("q", bad, GiveBack())
    else:
        await world.change_visibility("q", bad, 0)
    before = await world.peek("q"), await world.describe("q")
    outcome = await together(world, held, action, is_fenced=True, effects=Effects(records=(Record("k", b""),)))
    message_id = None if how == "gone" else bad.message_id
    assert outcome == SettleOutcome(Settled(how), message_id)
    assert (await world.peek("q"), await world.describe("q")) == before
    assert (await world.perform(GetRecords(("k",)))).records == (None,)


async def test_none_ends_if_a_handle_is_refused(world: World, held: tuple[Delivery, ...]) -> None:
    outcome = await world.settle("q", held[0], also=(held[1].receipt_handle, "garbage"))
    assert outcome.problem is not None
    assert (outcome.result, outcome.problem.code) == (Settled.REFUSED, "receipt_handle_invalid")
    action = ChangeVisibility(101, most_total_seconds=100)
    assert (await together(world, held, action)).result is Settled.REFUSED
    outcome = await together(world, held, effects=Effects(guards=(Guard("k", b""),)))
    assert (outcome.result, outcome.message_id) == (Settled.REFUSED, held[0].message_id)
    assert await world.counts("q") == QueueCounts(0, 0, 3)


async def test_effects_happen_once(world: World, held: tuple[Delivery, ...]) -> None:
    effects = Effects(
        sends=(FollowUp("dead", Draft("follow", group_id="g")),),
        joins=(Join("j", 1, FollowUp("dead", Draft("joined", group_id="g"))),),
        arrivals=(Arrival("j", "p"),),
    )
    assert (await together(world, held, effects=effects)).result is Settled.DONE
    assert bodies(await world.peek("dead")) == ["follow", "joined"]


async def test_the_groups_of_all_are_parked(world: World, held: tuple[Delivery, ...]) -> None:
    await together(world, held, parks_group=True)
    assert {group_id: view.is_parked for group_id, view in (await world.groups("q")).items()} == {"g": True, "h": True}


@pytest.mark.parametrize("count", [1, 1001])
async def test_a_handle_named_twice_or_too_many_fail_the_whole_call(
    world: World, held: tuple[Delivery, ...], count: int
) -> None:
    others = (held[0].receipt_handle,) if count == 1 else tuple(str(number) for number in range(1001))
    with pytest.raises(InvalidRequest) as raised:
        await world.settle("q", held[0], also=others)
    assert raised.value.problem.field == "also"
    assert await world.counts("q") == QueueCounts(0, 0, 3)


async def test_two_handles_of_one_message_are_refused(world: World, held: tuple[Delivery, ...]) -> None:
    receipt = decode_receipt("q", held[0].receipt_handle)
    other = encode_receipt("q", Receipt(receipt.sequence_number, receipt.token, shard=1))
    for also in ((other,), (held[1].receipt_handle, other)):
        outcome = await world.settle("q", held[0], also=also)
        assert outcome.problem is not None
        assert (outcome.result, outcome.problem.code) == (Settled.REFUSED, "invalid_request")
    assert await world.counts("q") == QueueCounts(0, 0, 3)


async def test_a_thousand_and_one_end_together(world: World) -> None:
    await world.create("q")
    await world.send("q", *["a"] * 1000)
    await world.send("q", "b")
    held = (*await world.receive("q", 1000), *await world.receive("q", 1))
    assert (await together(world, held)).result is Settled.DONE
    assert await world.counts("q") == QueueCounts(0, 0, 0)
