"""Send: what is kept, when it may be received, what is refused."""

import pytest

from penstock.core.errors import InvalidRequest
from penstock.core.messages import Attribute, Draft, MessageView, State
from penstock.core.operations import Refused, Send, Sent
from penstock.core.queues import QueueCounts
from tests.support.entropy import message_id, own_id
from tests.support.world import World


async def test_a_sent_message_is_kept_with_all_that_was_said(world: World) -> None:
    await world.create("orders")
    draft = Draft(
        "häppy 🐟\n",
        attributes={
            "n": Attribute("Number", "1.50"),
            "b": Attribute("Binary.x", binary_value=b"\0\xff"),
            "s": Attribute(),
        },
        system_attributes={"AWSTraceHeader": Attribute(string_value="Root=1")},
        sender_id="me",
        priority=3,
        group_id="g",
        deduplication_id="d",
        time_to_live_seconds=60,
    )
    assert await world.send_drafts("orders", draft) == (Sent(message_id(1), 1),)
    assert await world.peek("orders") == (
        MessageView(
            message_id=message_id(1),
            queue="orders",
            state=State.READY,
            body=draft.body,
            sent_at=world.now,
            visible_at=world.now,
            sequence_number=1,
            attributes=draft.attributes,
            system_attributes=draft.system_attributes,
            sender_id="me",
            priority=3,
            group_id="g",
            deduplication_id="d",
            expires_at=world.now + 60_000,
        ),
    )


async def test_sequence_numbers_grow_within_a_queue(world: World) -> None:
    await world.create("a")
    await world.create("b")
    assert [sent.sequence_number for sent in await world.send("a", "x", "y")] == [1, 2]
    await world.delete("a", *await world.receive("a"))
    assert [sent.sequence_number for sent in await world.send("a", "z")] == [3]
    assert [sent.sequence_number for sent in await world.send("b", "x")] == [1]


async def test_a_delayed_message_is_ready_when_its_delay_is_over(world: World) -> None:
    await world.create("orders")
    await world.send("orders", "a", delay_seconds=10)
    assert await world.counts("orders") == QueueCounts(0, 1, 0)
    world.advance(9.999)
    assert await world.receive("orders") == ()
    world.advance(0.001)
    assert await world.counts("orders") == QueueCounts(1, 0, 0)
    assert await world.receive_bodies("orders") == ["a"]


async def test_the_queues_delay_is_for_messages_that_name_none(world: World) -> None:
    await world.create("orders", delay_seconds=10)
    await world.send("orders", "late")
    await world.send("orders", "now", delay_seconds=0)
    assert await world.receive_bodies("orders") == ["now"]


async def test_changing_the_queues_delay_leaves_what_was_sent(world: World) -> None:
    await world.create("orders", delay_seconds=10)
    await world.send("orders", "a")
    await world.update("orders", delay_seconds=0)
    assert await world.receive("orders") == ()


async def test_a_delay_may_be_longer_than_fifteen_minutes(world: World) -> None:
    await world.create("orders")
    await world.send("orders", "a", delay_seconds=86_400)
    world.advance(86_399)
    assert await world.receive("orders") == ()
    world.advance(1)
    assert await world.receive_bodies("orders") == ["a"]


async def test_an_instant_of_delivery_wins_over_a_delay(world: World) -> None:
    await world.create("orders", delay_seconds=1)
    await world.send("orders", "a", delay_seconds=2, deliver_at=world.now + 5000)
    (seen,) = await world.peek("orders")
    assert seen.visible_at == world.now + 5000


async def test_an_instant_of_delivery_in_the_past_means_now(world: World) -> None:
    await world.create("orders", delay_seconds=9)
    await world.send("orders", "a", deliver_at=5)
    (seen,) = await world.peek("orders")
    assert (seen.visible_at, seen.state) == (world.now, State.READY)


async def test_a_message_that_is_too_large_is_refused_alone(world: World) -> None:
    await world.create("orders", max_message_bytes=10)
    kept, refused, other = await world.send_drafts("orders", Draft("ä" * 5), Draft("a" * 11), Draft("b"))
    assert isinstance(kept, Sent)
    assert isinstance(refused, Refused)
    assert refused.problem.code == "message_too_large"
    assert other == Sent(message_id(3), 2)
    assert await world.counts("orders") == QueueCounts(2, 0, 0)


async def test_attributes_count_towards_the_size(world: World) -> None:
    await world.create("orders", max_message_bytes=14)
    fits = Draft("body", attributes={"ab": Attribute("String", "xy")})
    over = Draft("body", attributes={"ab": Attribute("Binary", binary_value=b"xyz")})
    kept, refused = await world.send_drafts("orders", fits, over)
    assert isinstance(kept, Sent)
    assert isinstance(refused, Refused)


async def test_a_fifo_queue_needs_a_group_and_a_deduplication_id(world: World) -> None:
    await world.create("orders.fifo", is_fifo=True)
    no_group, no_id, both = await world.send_drafts(
        "orders.fifo",
        Draft("a", deduplication_id="d"),
        Draft("a", group_id="g"),
        Draft("a", group_id="g", deduplication_id="d"),
    )
    assert isinstance(no_group, Refused)
    assert (no_group.problem.code, no_group.problem.field) == ("group_required", "group_id")
    assert isinstance(no_id, Refused)
    assert (no_id.problem.code, no_id.problem.field) == ("deduplication_id_required", "deduplication_id")
    assert isinstance(both, Sent)
    await world.update("orders.fifo", content_based_deduplication=True)
    await world.send("orders.fifo", "b", group_id="g")


async def test_a_caller_may_name_a_message_and_send_it_twice(world: World) -> None:
    await world.create("orders")
    await world.create("other")
    (first,) = await world.send("orders", "a", message_id=own_id(1))
    (again,) = await world.send("orders", "b", message_id=own_id(1))
    (elsewhere,) = await world.send("other", "c", message_id=own_id(1))
    assert first == Sent(own_id(1), 1)
    assert again == elsewhere == Sent(own_id(1), 1, is_duplicate=True)
    assert await world.receive_bodies("orders") == ["a"]
    assert await world.counts("other") == QueueCounts(0, 0, 0)


async def test_a_named_message_twice_in_one_batch_is_kept_once(world: World) -> None:
    await world.create("orders")
    outcomes = await world.send("orders", "a", "b", message_id=own_id(1))
    assert [outcome.is_duplicate for outcome in outcomes] == [False, True]
    assert await world.counts("orders") == QueueCounts(1, 0, 0)


async def test_names_that_are_there_do_not_keep_the_others_of_a_batch_out(world: World) -> None:
    await world.create("q")
    names = [own_id(number) for number in range(1, 7)]
    await world.send_drafts("q", Draft("b", message_id=names[1]), Draft("e", message_id=names[4]))
    sent = await world.send_drafts(
        "q", *[Draft(text, message_id=name) for text, name in zip("abcdef", names, strict=True)]
    )
    assert sent == (
        Sent(names[0], 3),
        Sent(names[1], 1, is_duplicate=True),
        Sent(names[2], 4),
        Sent(names[3], 5),
        Sent(names[4], 2, is_duplicate=True),
        Sent(names[5], 6),
    )
    assert await world.receive_bodies("q", 10) == ["b", "e", "a", "c", "d", "f"]
    assert await world.counts("q") == QueueCounts(0, 0, 6)


async def test_a_batch_of_all_kinds_is_kept_in_order(world: World) -> None:
    await world.create("q", max_message_bytes=5000)
    drafts = (
        Draft("plain"),
        Draft("\u00fc" * 600),
        Draft("x" * 5001),
        Draft("long" * 1000),
        Draft("urgent", priority=9),
        Draft("noted", attributes={"a": Attribute("String", "b")}, sender_id="me"),
        Draft("later", delay_seconds=5),
        Draft("grouped", group_id="g"),
    )
    outcomes = await world.send_drafts("q", *drafts)
    assert [type(each) for each in outcomes] == [Sent, Sent, Refused, Sent, Sent, Sent, Sent, Sent]
    assert [each.body for each in await world.peek("q")] == [each.body for each in drafts if each.body != "x" * 5001]
    assert await world.counts("q") == QueueCounts(6, 1, 0)
    for draft in drafts[:2]:
        await world.send_drafts("q", draft, draft)
    assert await world.counts("q") == QueueCounts(10, 1, 0)


async def test_a_deleted_messages_name_is_free_again(world: World) -> None:
    await world.create("orders")
    await world.send("orders", "a", message_id=own_id(1))
    await world.delete("orders", await world.take("orders"))
    (again,) = await world.send("orders", "b", message_id=own_id(1))
    assert again == Sent(own_id(1), 2)


@pytest.mark.parametrize(
    "draft",
    [
        Draft("a", delay_seconds=-1),
        Draft("a", delay_seconds=float("inf")),
        Draft("a", deliver_at=-1),
        Draft("a", priority=10),
        Draft("a", priority=-1),
        Draft("a", group_id=""),
        Draft("a", deduplication_id="d" * 1001),
        Draft("a", time_to_live_seconds=-1),
        Draft("a", message_id="x"),
        Draft("a", message_id=own_id(1).upper()),
    ],
    ids=str,
)
async def test_a_draft_that_cannot_be_meant_fails_the_whole_call(near_world: World, draft: Draft) -> None:
    await near_world.create("orders")
    with pytest.raises(InvalidRequest):
        await near_world.send_drafts("orders", Draft("good"), draft)
    assert await near_world.counts("orders") == QueueCounts(0, 0, 0)


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_1_to_1000_messages(world: World, count: int) -> None:
    await world.create("orders")
    with pytest.raises(InvalidRequest):
        await world.perform(Send("orders", (Draft("a"),) * count))


async def test_a_batch_of_1000_is_kept_in_order(world: World) -> None:
    await world.create("orders")
    await world.send("orders", *map(str, range(1000)))
    assert await world.receive_bodies("orders", 1000) == [str(number) for number in range(1000)]
