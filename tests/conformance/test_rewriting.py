"""Messages put in other words, in their place, and what peeks and moves go by: what a sealed store is made of."""

import pytest
from msgspec import structs

from penstock.core.effects import Arrival, FollowUp, Join
from penstock.core.filters import MessageFilter, matches
from penstock.core.messages import Attribute, Draft, MessageView, State
from penstock.core.operations import StartMove
from penstock.core.queues import QueueCounts
from penstock.core.settlements import Settled
from tests.support.entropy import own_id
from tests.support.world import World, bodies

LONG = "long, " * 500


async def put(world: World, message: MessageView | None, body: str, **attributes: str) -> MessageView:
    """Put a message in other words; return it as it then must be."""
    assert message is not None
    said = {name: Attribute(string_value=value) for name, value in attributes.items()}
    other = structs.replace(message, body=body, attributes=said)
    await world.store.rewrite([other], world.now)
    return other


@pytest.mark.parametrize("before", ["short", LONG])
@pytest.mark.parametrize("after", ["other", LONG + LONG])
async def test_a_message_in_other_words_is_the_same_message(near_world: World, before: str, after: str) -> None:
    await near_world.create("q", history="all")
    details = {"sender_id": "me", "priority": 3, "deduplication_id": "d", "time_to_live_seconds": 1000}
    (sent,) = await near_world.send("q", before, attributes={"a": Attribute(string_value="x")}, **details)
    other = await put(near_world, await near_world.find(sent.message_id), after, b="y")
    assert await near_world.find(sent.message_id) == other
    assert await near_world.peek("q") == (other,)
    held = await near_world.take("q")
    assert (held.body, held.attributes, held.sender_id) == (after, {"b": Attribute(string_value="y")}, "me")
    assert [each.kind for each in await near_world.store.read_history(sent.message_id)] == ["sent", "received"]
    assert await near_world.delete("q", held) == [Settled.DONE]
    assert await near_world.counts("q") == QueueCounts(0, 0, 0)


async def test_whoever_holds_a_message_that_is_rewritten_goes_on_holding_it(near_world: World) -> None:
    await near_world.create("q", is_fifo=True)
    await near_world.send_drafts(
        "q", *(Draft(each, group_id="g", deduplication_id=each) for each in ("first", "second"))
    )
    held = await near_world.take("q")
    other = await put(near_world, await near_world.find(held.message_id), LONG)
    assert other.state is State.IN_FLIGHT
    assert await near_world.receive("q") == ()
    assert await near_world.delete("q", held) == [Settled.DONE]
    assert await near_world.receive_bodies("q") == ["second"]


async def test_what_is_gone_is_not_rewritten(near_world: World) -> None:
    await near_world.create("q")
    await near_world.send("q", "kept", "gone")
    gone = (await near_world.peek("q"))[1]
    await near_world.delete("q", *(await near_world.receive("q"))[1:])
    await put(near_world, gone, "other")
    assert bodies(await near_world.peek("q")) == ["kept"]
    assert await near_world.find(gone.message_id) is None


async def test_blocked_messages_are_listed_page_by_page_and_rewritten(near_world: World) -> None:
    queues = [f"q{number}" for number in range(3)]
    for queue in queues:
        await near_world.create(queue)
    ids = [own_id(number) for number in range(12)]
    joins = tuple(
        Join(f"join {number}", 1, FollowUp(queues[number % 3], Draft(f"body {number}", message_id=each)))
        for number, each in enumerate(ids)
    )
    await near_world.apply(joins=joins)
    found: dict[str, MessageView] = {}
    after: str | None = ""
    while after is not None:
        page, after = await near_world.store.list_blocked(after, 5, near_world.now)
        found.update({each.message_id: each for each in page})
    assert found == {each: await near_world.find(each) for each in ids}
    await near_world.store.rewrite(
        [structs.replace(each, body=f"other {each.body}") for each in found.values()], near_world.now
    )
    for number in range(12):
        await near_world.apply(arrivals=(Arrival(f"join {number}", "part"),))
    assert [sorted(bodies(await near_world.peek(queue))) for queue in queues] == [
        sorted(f"other body {number}" for number in range(which, 12, 3)) for which in range(3)
    ]
    assert not (await near_world.store.list_blocked("", 5, near_world.now))[0]


async def test_peeks_and_moves_go_by_the_matcher_that_is_given(near_world: World) -> None:
    await near_world.create("q")
    await near_world.create("dead")
    await near_world.send("dead", "yes", "no", "yes")

    def backwards(wanted: MessageFilter, message: MessageView) -> bool:
        return matches(wanted, structs.replace(message, body=message.body[::-1]))

    near_world.store.match_by(backwards)
    assert bodies(await near_world.peek("dead", text="sey")) == ["yes", "yes"]
    await near_world.perform(StartMove("dead", "q", filter=MessageFilter(text="sey")))
    await near_world.step_moves()
    assert bodies(await near_world.peek("q")) == ["yes", "yes"]
    assert bodies(await near_world.peek("dead")) == ["no"]
