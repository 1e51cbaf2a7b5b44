"""Dead letters and moves of queues of several partitions: from them, to them, and back where they came from."""

import pytest
from msgspec import structs

from penstock.core.errors import (
    InvalidRequest,
    MoveConflict,
    MoveNotFound,
)
from penstock.core.filters import MessageFilter
from penstock.core.messages import Draft
from penstock.core.moves import MoveStatus
from penstock.core.operations import (
    CancelMove,
    DeleteQueue,
    ListMoves,
    ListQueues,
    StartMove,
)
from penstock.core.partitions import partition_of_key
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.settlements import DeadLetter, Settled
from tests.support.partitioned import GROUPS, fill, number_of
from tests.support.world import World, bodies


async def step(world: World) -> None:
    while await world.step_moves() is not None:
        pass


async def dead_letter_all(world: World) -> None:
    await world.create("dead")
    await fill(world, redrive=RedrivePolicy("dead", 1), visibility_timeout_seconds=1)
    await world.receive("q", 20)
    world.advance(1)
    assert await world.receive("q", 20) == ()
    await world.counts("dead")


async def test_dead_letters_go_back_to_their_partitions(world: World) -> None:
    await dead_letter_all(world)
    dead = await world.receive("dead", 20)
    assert {each.dead_letter_source for each in (*dead, *await world.peek("dead"))} == {"q"}
    await world.delete("dead", dead[0])
    world.advance(30)
    listed = (await world.perform(ListQueues(dead_letter_queue="dead"))).queues
    assert [queue.name for queue in listed] == ["q"]
    await world.perform(StartMove("dead"))
    await step(world)
    for number in range(4):
        assert all(number_of(each.body) == number for each in await world.peek(f"q#{number}"))
    assert await world.counts("q") == QueueCounts(11, 0, 0)


async def test_messages_are_dead_lettered_on_purpose(world: World) -> None:
    await world.create("dead")
    await fill(world, redrive=RedrivePolicy("dead", 5))
    held = await world.take("q")
    assert (await world.settle("q", held, DeadLetter("bad"))).result is Settled.DONE
    assert bodies(await world.peek("dead")) == [held.body]


async def test_moved_messages_go_to_the_partition_of_their_group(world: World) -> None:
    await world.create("from")
    await world.create("q", partitions=4)
    await world.create("numbers", partitions=4, partitioner="qugo:2")
    await world.send_drafts("from", *(Draft(group, group_id=group) for group in (*GROUPS, "7")))
    move = (await world.perform(StartMove("from", "numbers", keeps_ids=True))).move
    assert (move.target, move.to_move_count) == ("numbers", 13)
    await step(world)
    # a group that fits no partition stays
    assert bodies(await world.peek("numbers#3")) == ["7"]
    await world.perform(StartMove("from", "q"))
    await step(world)
    for number in range(4):
        assert all(number_of(each.body) == number for each in await world.peek(f"q#{number}"))
    assert await world.counts("q") == QueueCounts(12, 0, 0)
    await world.create("again", partitions=3)
    await world.perform(StartMove("q", "again"))
    await step(world)
    for number in range(3):
        there = {each.body for each in await world.peek(f"again#{number}")}
        assert there == {group for group in GROUPS if partition_of_key("hash", 3, group) == number}


async def test_a_queue_is_moved_from_as_a_whole(world: World) -> None:
    await fill(world)
    await world.create("to")
    started = (await world.perform(StartMove("q", "to", rate_per_second=6))).move
    assert (started.source, started.to_move_count, started.rate_per_second) == ("q", 12, 6)
    with pytest.raises(MoveConflict, match="'q'"):
        await world.perform(StartMove("q", "to"))
    await world.step_moves()
    (running,) = (await world.perform(ListMoves("q"))).moves
    assert (running.move_id, running.status, running.moved_count) == (started.move_id, MoveStatus.RUNNING, 4), (
        "one of each partition"
    )
    cancelled = (await world.perform(CancelMove(started.move_id))).move
    assert (cancelled.status, cancelled.moved_count) == (MoveStatus.CANCELLED, 4)
    with pytest.raises(MoveNotFound):
        await world.perform(CancelMove(started.move_id))
    await world.perform(StartMove("q", "to", filter=MessageFilter(text="g")))
    await step(world)
    done, _ = (await world.perform(ListMoves("q"))).moves
    assert (done.status, done.moved_count) == (MoveStatus.COMPLETED, 8)
    assert (await world.counts("to")).ready == 12


async def test_a_move_is_cancelled_though_a_partition_has_ended_its_part(quick: World) -> None:
    await quick.create("q", partitions=4)
    await quick.create("to")
    busy = next(group for group in GROUPS if number_of(group) == 3)
    await quick.send("q", "a", "b", group_id=busy)
    move = (await quick.perform(StartMove("q", "to", rate_per_second=1))).move
    await quick.step_moves()
    assert (await quick.perform(CancelMove(move.move_id))).move.status is MoveStatus.CANCELLED
    assert structs.asdict(await quick.counts("q")) == {"ready": 1, "delayed": 0, "in_flight": 0}


async def test_a_move_is_cancelled_though_its_queue_is_gone(quick: World) -> None:
    await fill(quick)
    move = (await quick.perform(StartMove("q"))).move
    await quick.perform(DeleteQueue("q"))
    cancelled = (await quick.perform(CancelMove(move.move_id))).move
    assert (cancelled.source, cancelled.to_move_count, cancelled.status) == ("q", 12, MoveStatus.CANCELLED)
    assert await quick.step_moves() is None


async def test_a_queue_of_several_partitions_takes_no_dead_letters(quick: World) -> None:
    await quick.create("dead", partitions=2)
    with pytest.raises(InvalidRequest, match="several partitions"):
        await quick.create("q", redrive=RedrivePolicy("dead", 1))
    await quick.create("q", redrive=RedrivePolicy("other", 1))
    with pytest.raises(InvalidRequest, match="several partitions"):
        await quick.update("q", redrive=RedrivePolicy("dead", 1))
    with pytest.raises(InvalidRequest, match="dead-letter queue"):
        await quick.create("other", partitions=2)
