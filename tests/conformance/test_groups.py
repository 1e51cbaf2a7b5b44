"""Message groups from outside: listed, parked, unparked."""

import pytest

from penstock.core.operations import ListGroups
from penstock.core.queues import GroupView
from tests.support.world import World


@pytest.fixture(params=["fair", "strict"])
async def queue(request: pytest.FixtureRequest, world: World) -> str:
    await world.create("q", group_order=request.param)
    return "q"


async def test_groups_that_hold_messages_are_listed(world: World, queue: str) -> None:
    await world.send(queue, "a1", "a2", group_id="a")
    await world.send(queue, "b1", group_id="b", delay_seconds=5)
    await world.send(queue, "alone")
    assert await world.groups(queue) == {
        "a": GroupView("a", 2, 0, world.now),
        "b": GroupView("b", 1, 0, world.now + 5000),
    }
    await world.delete(queue, *await world.receive(queue))
    assert list(await world.groups(queue)) == ["b"]


async def test_leases_that_have_ended_are_waiting_again(world: World, queue: str) -> None:
    await world.send(queue, "a1", "a2", group_id="a")
    await world.receive(queue, visibility_timeout_seconds=5)
    ready_at = world.now + 5000
    assert await world.groups(queue) == {"a": GroupView("a", 0, 2, ready_at)}
    world.advance(5)
    assert await world.groups(queue) == {"a": GroupView("a", 2, 0, ready_at)}


async def test_groups_are_listed_page_by_page_in_order(world: World, queue: str) -> None:
    names = ["b", "a", "ä", "B", "a b", "a-", "z"]
    for name in names:
        await world.send(queue, "x", group_id=name)
    got: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await world.perform(ListGroups(queue, after, 2))
        assert len(page.groups) <= 2
        got += [view.group_id for view in page.groups]
        after = page.next_after
    assert got == sorted(names)


async def test_nothing_of_a_parked_group_is_received(world: World, queue: str) -> None:
    await world.send(queue, "a1", "a2", group_id="a")
    await world.send(queue, "b1", group_id="b")
    await world.park(queue, "a")
    assert await world.receive_bodies(queue) == ["b1"]
    await world.send(queue, "a3", group_id="a")
    assert await world.receive_bodies(queue) == []
    await world.park(queue, "a", is_parked=False)
    assert await world.receive_bodies(queue) == ["a1", "a2", "a3"]


async def test_parked_messages_stay_ready(world: World, queue: str) -> None:
    await world.send(queue, "a1", group_id="a")
    await world.park(queue, "a")
    assert (await world.counts(queue)).ready == 1


async def test_parking_leaves_leases_as_they_are(world: World, queue: str) -> None:
    await world.send(queue, "a1", "a2", group_id="a")
    held = await world.take(queue)
    await world.park(queue, "a")
    assert await world.delete(queue, held) == ["done"]
    assert await world.receive(queue) == ()


async def test_a_lease_that_ends_while_parked_is_not_received(world: World, queue: str) -> None:
    await world.send(queue, "a1", group_id="a")
    await world.receive(queue, visibility_timeout_seconds=5)
    await world.park(queue, "a")
    world.advance(5)
    assert await world.receive(queue) == ()
    await world.park(queue, "a", is_parked=False)
    assert await world.receive_bodies(queue) == ["a1"]


async def test_a_group_may_be_parked_ahead(world: World, queue: str) -> None:
    await world.park(queue, "a")
    assert await world.groups(queue) == {"a": GroupView("a", 0, 0, None, is_parked=True)}
    await world.send(queue, "a1", group_id="a")
    assert await world.receive(queue) == ()


async def test_an_empty_group_that_is_unparked_is_forgotten(world: World, queue: str) -> None:
    await world.park(queue, "a")
    await world.park(queue, "a", is_parked=False)
    await world.park(queue, "never there", is_parked=False)
    assert await world.groups(queue) == {}


async def test_a_parked_group_stays_parked_when_it_is_drained(world: World, queue: str) -> None:
    await world.send(queue, "a1", group_id="a")
    held = await world.take(queue)
    await world.park(queue, "a")
    await world.delete(queue, held)
    assert (await world.groups(queue))["a"].is_parked


async def test_parked_groups_may_be_listed_alone(world: World, queue: str) -> None:
    for name in "abc":
        await world.send(queue, "x", group_id=name)
    await world.park(queue, "c")
    await world.park(queue, "a")
    page = await world.perform(ListGroups(queue, only_parked=True))
    assert [view.group_id for view in page.groups] == ["a", "c"]


async def test_parking_twice_is_parking_once(world: World, queue: str) -> None:
    await world.send(queue, "a1", group_id="a")
    for is_parked in (True, True, False, False):
        await world.park(queue, "a", is_parked=is_parked)
    assert await world.receive_bodies(queue) == ["a1"]


async def test_an_unparked_strict_group_goes_behind_the_others(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a1", group_id="a")
    await world.send("q", "b1", group_id="b")
    await world.park("q", "a")
    await world.park("q", "a", is_parked=False)
    assert await world.receive_bodies("q") == ["b1", "a1"]
