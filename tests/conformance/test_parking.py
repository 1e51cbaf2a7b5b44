"""A settlement may park the message's group."""

import pytest

from penstock.core.settlements import (
    DELETE,
    Action,
    ChangeVisibility,
    DeadLetter,
    Delete,
    GiveBack,
    Settled,
)
from tests.support.world import World

ACTIONS = (Delete(), ChangeVisibility(10), GiveBack(), DeadLetter("x"))


def named(action: Action) -> str:
    return type(action).__name__


async def test_a_settlement_may_park_the_group(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a", "b", group_id="g")
    held = await world.take("q")
    outcome = await world.settle("q", held, ChangeVisibility(0), parks_group=True)
    assert outcome.result is Settled.DONE
    assert await world.receive("q") == ()
    view = (await world.groups("q"))["g"]
    assert (view.is_parked, view.ready_at, view.waiting) == (True, None, 2)
    await world.park("q", "g", is_parked=False)
    assert await world.receive_bodies("q") == ["a", "b"]


@pytest.mark.parametrize("action", [DELETE, DeadLetter()], ids=named)
async def test_a_group_is_parked_even_with_its_last_message(world: World, action: Action) -> None:
    await world.create("q")
    await world.send("q", "a", group_id="g")
    await world.settle("q", await world.take("q"), action, parks_group=True)
    assert (await world.groups("q"))["g"].is_parked
    await world.send("q", "b", group_id="g")
    assert await world.receive("q") == ()


async def test_a_settlement_that_is_not_done_parks_nothing(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", group_id="g")
    held = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    await world.settle("q", held, parks_group=True, is_fenced=True)
    assert not (await world.groups("q"))["g"].is_parked


async def test_parking_means_nothing_without_a_group(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    outcome = await world.settle("q", await world.take("q"), ChangeVisibility(0), parks_group=True)
    assert outcome.result is Settled.DONE
    assert await world.receive_bodies("q") == ["a"]
