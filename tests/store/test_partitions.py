"""What a queue of several partitions does, on every store."""

from collections import defaultdict
from typing import cast

import pytest

from penstock.core.effects import Arrival, Effects, FollowUp, Join
from penstock.core.errors import InvalidRequest, NoLongerHeld
from penstock.core.messages import Draft
from penstock.core.operations import (
    Refused,
    Sent,
)
from penstock.core.partitions import partition_of_key
from penstock.core.queues import QueueCounts
from penstock.core.settlements import Settled
from tests.support.world import World, bodies

GROUPS = tuple(f"g{number}" for number in range(12))


def home(group_id: str, partitions: int = 4) -> str:
    return f"q#{partition_of_key('hash', partitions, group_id)}"


async def fill(world: World, **settings: object) -> None:
    """Make a queue of four partitions and send two messages of each group."""
    await world.create("q", partitions=4, **settings)
    for turn in (1, 2):
        await world.send_drafts("q", *(Draft(f"{group}-{turn}", group_id=group) for group in GROUPS))


# -- where messages are ----------------------------------------------------------------------------------------------


async def test_a_group_is_in_one_partition(world: World) -> None:
    await fill(world)
    for number in range(4):
        there = {message.group_id for message in await world.peek(f"q#{number}")}
        assert there == {group for group in GROUPS if home(group) == f"q#{number}"}
    assert len({home(group) for group in GROUPS}) == 4


async def test_messages_without_a_group_are_in_all(world: World) -> None:
    await world.create("q", partitions=4)
    await world.send("q", *map(str, range(40)))
    assert [len(await world.peek(f"q#{number}")) for number in range(4)] == [10] * 4


async def test_a_partitioner_by_name_refuses_what_it_cannot_place(world: World) -> None:
    await world.create("q", partitions=8, partitioner="qugo:4")
    outcomes = await world.send_drafts("q", Draft("a", group_id="5"), Draft("b", group_id="five"), Draft("c"))
    assert [type(each) for each in outcomes] == [Sent, Refused, Sent]
    assert cast(Refused, outcomes[1]).problem.field == "group_id"
    assert bodies(await world.peek("q#5", group_id="5")) == ["a"]
    assert await world.counts("q") == QueueCounts(2, 0, 0)
    with pytest.raises(InvalidRequest, match="only integers"):
        await world.apply(sends=(FollowUp("q", Draft("a", group_id="5")), FollowUp("q", Draft("b", group_id="b"))))
    assert await world.counts("q") == QueueCounts(2, 0, 0)


async def test_a_second_message_with_an_id_finds_the_first(world: World) -> None:
    await world.create("q", partitions=4)
    await world.create("q.fifo", is_fifo=True, partitions=4)
    first, again = [(await world.send("q", "x", deduplication_id="d"))[0] for _ in range(2)]
    assert again == Sent(first.message_id, first.sequence_number, is_duplicate=True)
    sent = [(await world.send("q.fifo", "x", group_id=group, deduplication_id="d"))[0] for group in ("a", "b", "a")]
    assert [each.is_duplicate for each in sent] == [False, False, True]


async def test_follow_ups_and_joins_go_where_messages_go(world: World) -> None:
    await world.create("from")
    await world.create("q", partitions=4)
    await world.send("from", "x")
    join = Join("j", 1, FollowUp("q", Draft("joined", group_id="g2")))
    effects = Effects(sends=(FollowUp("q", Draft("sent", group_id="g1")),), joins=(join,))
    assert (await world.settle("from", await world.take("from"), effects=effects)).result is Settled.DONE
    assert bodies(await world.peek(home("g1"))) == ["sent"]
    reply = await world.apply(arrivals=(Arrival("j", "p"),), sends=(FollowUp("q", Draft("again", group_id="g1")),))
    assert bodies(await world.peek("q", group_id="g2")) == ["joined"]
    (seen,) = await world.peek("q", text="again")
    assert reply.outcomes == (Sent(seen.message_id, seen.sequence_number),)


# -- receiving and settling ------------------------------------------------------------------------------------------


async def test_a_receive_takes_from_as_many_partitions_as_it_needs(world: World) -> None:
    await fill(world)
    found = await world.receive("q", 30)
    assert sorted(bodies(found)) == sorted(f"{group}-{turn}" for group in GROUPS for turn in (1, 2))
    assert len({each.sequence_number for each in found}) == 24
    assert await world.delete("q", *found) == [Settled.DONE] * 24
    assert await world.counts("q") == QueueCounts(0, 0, 0)


async def test_no_partition_is_served_before_the_others(world: World) -> None:
    await world.create("q", partitions=4)
    await world.send("q", *map(str, range(40)))
    for _ in range(8):
        await world.receive("q", 1)
    described = [(await world.describe(f"q#{number}")).received_total for number in range(4)]
    assert described == [2] * 4


async def test_a_partition_is_received_from_by_name_and_settled_by_either(world: World) -> None:
    await fill(world)
    mine = {group for group in GROUPS if home(group) == "q#2"}
    found = await world.receive("q#2", 30)
    assert {each.group_id for each in found} == mine
    assert await world.delete("q", found[0]) == [Settled.DONE]
    assert await world.delete("q#2", found[1]) == [Settled.DONE]
    assert (await world.settle("q#1", found[2])).problem.code == "receipt_handle_invalid"  # type: ignore[union-attr]
    assert await world.change_visibility("q", found[2], 0) is Settled.DONE


async def test_a_handle_of_another_queue_is_refused(world: World) -> None:
    await fill(world)
    await world.create("other", partitions=4)
    for handle in ((await world.take("q")).receipt_handle, "nonsense"):
        outcome = await world.settle("other", handle)
        assert outcome.problem is not None
        assert outcome.problem.code == "receipt_handle_invalid"


async def test_deliveries_of_several_partitions_do_not_end_in_one_step(world: World) -> None:
    await fill(world, group_order="strict")
    one, other = [(await world.receive(f"q#{number}", 2)) for number in (0, 1)]
    outcome = await world.settle("q", one[0], also=(other[0].receipt_handle,))
    assert outcome.problem is not None
    assert outcome.problem.field == "also"
    assert (await world.settle("q", one[0], also=(one[1].receipt_handle,))).result is Settled.DONE


async def test_the_order_of_a_group_holds(world: World) -> None:
    await world.create("q.fifo", is_fifo=True, partitions=4, content_based_deduplication=True)
    for turn in range(3):
        await world.send_drafts("q.fifo", *(Draft(f"{group}-{turn}", group_id=group) for group in GROUPS))
    order: dict[str, list[str]] = defaultdict(list)
    while found := await world.receive("q.fifo", 5):
        for each in found:
            assert each.group_id is not None
            order[each.group_id].append(each.body)
        await world.delete("q.fifo", *found)
    assert order == {group: [f"{group}-{turn}" for turn in range(3)] for group in GROUPS}


async def test_a_group_is_followed_through_the_whole_queue(world: World) -> None:
    await world.create("q", partitions=4, group_order="strict")
    await world.send("q", "a", group_id="g")
    held = await world.take("q")
    poll = await world.long_poll("q", following=held.receipt_handle)
    await world.send("q", "not mine", group_id="other")
    assert await world.still_waits(poll, "q")
    await world.send("q", "b", group_id="g")
    assert await world.reply(poll) == ["b"]
    await world.delete("q", held)
    with pytest.raises(NoLongerHeld):
        await world.receive("q", following=held.receipt_handle)


async def test_a_long_poll_is_woken_by_any_partition(world: World) -> None:
    await world.create("q", partitions=4)
    for group in GROUPS[:6]:
        poll = await world.long_poll("q")
        await world.send("q", group, group_id=group)
        assert await world.reply(poll) == [group]


async def test_a_long_poll_of_one_partition_is_woken_by_that_one(world: World) -> None:
    await world.create("q", partitions=4)
    mine, others = "g0", next(group for group in GROUPS if home(group) != home("g0"))
    poll = await world.long_poll(home(mine))
    await world.send("q", "not mine", group_id=others)
    assert await world.still_waits(poll, "q")
    await world.send("q", "mine", group_id=mine)
    assert await world.reply(poll) == ["mine"]


async def test_a_long_poll_wakes_when_a_delay_ends_in_any_partition(world: World) -> None:
    await world.create("q", partitions=4)
    await world.send("q", "later", group_id="g", delay_seconds=5)
    poll = await world.long_poll("q")
    world.advance(4)
    assert await world.still_waits(poll, "q")
    world.advance(1)
    assert await world.reply(poll) == ["later"]


async def test_a_receive_attempt_is_repeated(world: World) -> None:
    await world.create("q", partitions=4, group_order="strict")
    await world.send_drafts("q", *(Draft(group, group_id=group) for group in GROUPS))
    first = await world.receive("q", 5, attempt_id="x")
    await world.receive("q", 2)
    again = await world.receive("q", 5, attempt_id="x")
    assert [each.receipt_handle for each in again] == [each.receipt_handle for each in first]


async def test_what_an_owner_holds_is_given_back_in_all_partitions(world: World) -> None:
    await fill(world)
    await world.receive("q", 30, owner="me")
    assert await world.release("me") == 24
    assert await world.counts("q") == QueueCounts(24, 0, 0)
