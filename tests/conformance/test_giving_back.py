"""Give back: let go of a delivery, as if it had not been or counted, now or later."""

from typing import Any

import pytest

from penstock.core.effects import Effects, FollowUp, Record
from penstock.core.errors import InvalidRequest
from penstock.core.messages import Draft, State
from penstock.core.operations import GetRecords, Settle
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.settlements import (
    DELETE,
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


async def test_giving_back_does_not_count_the_delivery(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    assert (await world.settle("q", held, GiveBack())).result is Settled.DONE
    (seen,) = await world.peek("q")
    assert (seen.state, seen.receive_count, seen.visible_at) == (State.READY, 0, world.now)
    assert (await world.take("q")).receive_count == 1


@pytest.mark.parametrize("action", ACTIONS, ids=named)
async def test_a_delivery_given_back_never_was(world: World, action: Action) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    await world.settle("q", held, GiveBack())
    assert (await world.settle("q", held, action)).result is Settled.STALE
    (seen,) = await world.peek("q")
    assert (seen.state, seen.receive_count) == (State.READY, 0)


async def test_a_message_given_back_is_not_spent(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 1))
    await world.send("q", "a")
    for _ in range(3):
        await world.settle("q", await world.take("q"), GiveBack())
    assert await world.counts("q") == QueueCounts(1, 0, 0)
