"""Peek: looking at messages without receiving them, by any condition, page by page."""

import json
from typing import Any

import pytest

from penstock.core.filters import MessageFilter
from penstock.core.messages import Attribute, State
from penstock.core.operations import Peek
from penstock.store.contract import PEEK_BYTES
from tests.support.entropy import message_id
from tests.support.world import World, bodies


@pytest.fixture
async def filled(world: World) -> World:
    """A queue ``q`` of messages that differ in all that can be asked for."""
    await world.create("q")
    await world.send("q", "plain text")
    world.advance(1)
    await world.send("q", json.dumps({"order": {"lines": [{"sku": "x1"}, {"sku": "x2"}], "paid": None}}))
    await world.send("q", json.dumps([1, {"a": 1.0}]), group_id="g")
    world.advance(1)
    await world.send(
        "q", "red", attributes={"colour": Attribute(string_value="red"), "b": Attribute("Binary", None, b"r")}
    )
    await world.send("q", "blue", attributes={"colour": Attribute(string_value="blue")}, group_id="g")
    await world.send("q", "late", delay_seconds=1000)
    await world.send("q", "held", priority=9)
    await world.receive("q", 1)
    await world.send("q", "twice", priority=9)
    await world.receive("q", 1, visibility_timeout_seconds=1)
    world.advance(1)
    await world.receive("q", 1, visibility_timeout_seconds=1)
    world.advance(1)
    return world


ORDER = json.dumps({"order": {"lines": [{"sku": "x1"}, {"sku": "x2"}], "paid": None}})
LIST = json.dumps([1, {"a": 1.0}])


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, ["plain text", ORDER, LIST, "red", "blue", "late", "held", "twice"]),
        ({"state": State.READY}, ["plain text", ORDER, LIST, "red", "blue", "twice"]),
        ({"state": State.DELAYED}, ["late"]),
        ({"state": State.IN_FLIGHT}, ["held"]),
        ({"state": State.BLOCKED}, []),
        ({"text": "e"}, ["plain text", ORDER, "red", "blue", "late", "held", "twice"]),
        ({"text": "x t"}, []),
        ({"text": "n t"}, ["plain text"]),
        ({"json_path": "order"}, [ORDER]),
        ({"json_path": "order.lines.0.sku"}, [ORDER]),
        ({"json_path": "order.lines.0.sku", "json_value": '"x1"'}, [ORDER]),
        ({"json_path": "order.lines.0.sku", "json_value": '"x2"'}, []),
        ({"json_path": "order.lines.2.sku"}, []),
        ({"json_path": "order.paid"}, [ORDER]),
        ({"json_path": "order.paid", "json_value": "null"}, [ORDER]),
        ({"json_path": "1.a", "json_value": "1"}, [LIST]),
        ({"json_path": "0", "json_value": "1"}, [LIST]),
        ({"json_path": "$.order"}, [ORDER]),
        ({"json_path": "order", "json_value": "not json"}, []),
        ({"attribute": "colour"}, ["red", "blue"]),
        ({"attribute": "colour", "attribute_value": "blue"}, ["blue"]),
        ({"attribute": "b"}, ["red"]),
        ({"attribute": "b", "attribute_value": "r"}, []),
        ({"attribute": "none"}, []),
        ({"group_id": "g"}, [LIST, "blue"]),
        ({"group_id": "none"}, []),
        ({"min_receive_count": 1}, ["held", "twice"]),
        ({"min_receive_count": 2}, ["twice"]),
        ({"message_ids": (message_id(4), message_id(1), "none")}, ["plain text", "red"]),
        ({"message_ids": ()}, []),
        ({"group_id": "g", "attribute": "colour"}, ["blue"]),
    ],
    ids=str,
)
async def test_a_filter_lets_through_what_meets_every_condition(
    filled: World, conditions: dict[str, Any], expected: list[str]
) -> None:
    assert bodies(await filled.peek("q", **conditions)) == expected


async def test_long_bodies_are_looked_through_too(world: World) -> None:
    await world.create("q")
    for number in range(3):
        body = {"padding": "ü" * 50_000, "number": number, "end": f"straße {number}"}
        await world.send("q", json.dumps(body, ensure_ascii=False))
    assert [each.sequence_number for each in await world.peek("q", text="straße 1")] == [2]
    assert [each.sequence_number for each in await world.peek("q", json_path="number", json_value="2")] == [3]
    assert await world.peek("q", text="straße 1", json_path="number", json_value="2") == ()
    assert await pages(world, 1, json_path="end") == bodies(await world.peek("q"))


@pytest.mark.parametrize("state", [State.READY, State.DELAYED, State.IN_FLIGHT])
async def test_pages_show_everything_once_of_a_state(world: World, state: State) -> None:
    await world.create("q")
    for number in range(12):
        await world.send("q", f"{number}", delay_seconds=1000 if number % 3 == 1 else 0)
    await world.receive("q", 4)
    expected = [each.body for each in await world.peek("q") if each.state is state]
    assert len(expected) == 4
    for limit in (1, 3, 4):
        assert await pages(world, limit, state=state) == expected
        assert await pages(world, limit, state=state, text="1") == [each for each in expected if "1" in each]


async def test_a_filter_by_time_excludes_its_bounds(filled: World) -> None:
    first, second, *_, last = [each.sent_at for each in await filled.peek("q")]
    assert bodies(await filled.peek("q", sent_before=second)) == ["plain text"]
    assert bodies(await filled.peek("q", sent_after=first, sent_before=last)) == [ORDER, LIST]
    assert await filled.peek("q", sent_after=last) == ()


async def test_peeking_changes_nothing(filled: World) -> None:
    before = await filled.describe("q")
    first = await filled.peek("q")
    assert await filled.peek("q") == first
    assert await filled.describe("q") == before


async def pages(world: World, limit: int, **conditions: Any) -> list[str]:
    found: list[str] = []
    after: int | None = 0
    for _ in range(100):
        if after is None:
            return found
        page = await world.perform(Peek("q", MessageFilter(**conditions), after, limit))
        assert len(page.messages) <= limit
        found += bodies(page.messages)
        after = page.next_after
    raise AssertionError("pages without end")


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9])
async def test_pages_show_everything_once(filled: World, limit: int) -> None:
    assert await pages(filled, limit) == [ORDER if "order" in each else each for each in bodies(await filled.peek("q"))]
    assert await pages(filled, limit, group_id="g") == [LIST, "blue"]
    assert await pages(filled, limit, text="nowhere") == []


async def test_pages_go_on_after_what_was_shown_is_deleted(filled: World) -> None:
    page = await filled.perform(Peek("q", limit=2))
    await filled.purge("q")
    await filled.send("q", "new")
    assert bodies((await filled.perform(Peek("q", after=page.next_after))).messages) == ["new"]


async def test_the_last_page_says_so(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b")
    assert (await world.perform(Peek("q", limit=2))).next_after is None
    page = await world.perform(Peek("q", limit=1))
    assert (bodies(page.messages), page.next_after) == (["a"], 1)


async def test_a_page_ends_when_it_has_so_many_bytes(world: World) -> None:
    await world.create("q")
    million = "x" * 1_000_000
    for number in range(7):
        await world.send("q", million if number != 3 else f"a small one {million}"[:100], priority=number)
    first = await world.perform(Peek("q", limit=1000))
    assert [each.priority for each in first.messages] == [0, 1, 2, 3, 4, 5], "the last of these makes them enough"
    assert first.next_after == 6
    second = await world.perform(Peek("q", after=6, limit=1000))
    assert ([each.priority for each in second.messages], second.next_after) == ([6], None)
    small = await world.perform(Peek("q", MessageFilter(text="small"), limit=1000))
    assert ([each.priority for each in small.messages], small.next_after) == ([3], None), "what is found counts"


async def test_a_message_larger_than_a_page_has_one_of_its_own(near_world: World) -> None:
    await near_world.create("q", max_message_bytes=2 * PEEK_BYTES)
    for body in ("x" * (PEEK_BYTES + 1), "y" * PEEK_BYTES, "small"):
        await near_world.send("q", body)
    after, sizes = 0, []
    while after is not None:
        page = await near_world.perform(Peek("q", after=after, limit=1000))
        sizes.append([len(each.body) for each in page.messages])
        after = page.next_after
    assert sizes == [[PEEK_BYTES + 1], [PEEK_BYTES], [5]]
