"""Move tasks: redriving a queue's messages elsewhere, step by step."""

import pytest

from penstock.core.errors import InvalidRequest, MoveConflict, MoveNotFound, QueueNotFound
from penstock.core.filters import MessageFilter
from penstock.core.messages import Attribute, MessageView, State
from penstock.core.moves import Move, MoveStatus
from penstock.core.operations import CancelMove, DeleteQueue, ListMoves, ReadHistory, StartMove
from penstock.core.queues import QueueCounts, RedrivePolicy
from tests.support.entropy import message_id
from tests.support.world import World, bodies


async def start(world: World, source: str = "dead", target: str | None = "q", **details: object) -> Move:
    return (await world.perform(StartMove(source, target, **details))).move  # type: ignore[arg-type,no-any-return]


async def moves(world: World, source: str = "dead", limit: int = 10) -> tuple[Move, ...]:
    return (await world.perform(ListMoves(source, limit))).moves  # type: ignore[no-any-return]


@pytest.fixture
async def queues(world: World) -> None:
    await world.create("q")
    await world.create("dead")


pytestmark = pytest.mark.usefixtures("queues")


async def test_a_move_is_running_when_it_has_been_started(world: World) -> None:
    await world.send("dead", "a", "b")
    move = await start(world)
    assert move == Move(
        move_id=message_id(3),
        source="dead",
        target="q",
        started_at=world.now,
        status=MoveStatus.RUNNING,
        to_move_count=2,
        until=2,
    )
    assert await moves(world) == (move,)


async def test_a_move_moves_everything_that_was_there(world: World) -> None:
    await world.send("dead", "a", "b", "c")
    await start(world)
    await world.send("dead", "later")
    assert await world.step_moves() is None
    assert bodies(await world.peek("q")) == ["a", "b", "c"]
    assert bodies(await world.peek("dead")) == ["later"]
    (move,) = await moves(world)
    assert (move.status, move.to_move_count, move.moved_count) == (MoveStatus.COMPLETED, 3, 3)


async def test_a_moved_message_is_a_new_one(world: World) -> None:
    details = {"attributes": {"a": Attribute(string_value="x")}, "sender_id": "me", "group_id": "g", "priority": 3}
    (sent,) = await world.send("dead", "a", deduplication_id="d", time_to_live_seconds=1000, **details)
    sent_at = world.now
    await world.receive("dead", visibility_timeout_seconds=1)
    world.advance(5)
    await start(world)
    await world.step_moves()
    (moved,) = await world.peek("q")
    assert moved == MessageView(
        message_id=message_id(3),
        queue="q",
        state=State.READY,
        body="a",
        sent_at=world.now,
        visible_at=world.now,
        sequence_number=1,
        deduplication_id="d",
        expires_at=sent_at + 1_000_000,
        **details,
    )
    assert await world.find(sent.message_id) is None


async def test_a_step_moves_at_most_its_limit(world: World) -> None:
    await world.send("dead", "a", "b", "c")
    await start(world)
    assert await world.step_moves(2) == world.now
    assert await world.counts("q") == QueueCounts(2, 0, 0)
    (move,) = await moves(world)
    assert (move.status, move.moved_count) == (MoveStatus.RUNNING, 2)
    assert await world.step_moves(2) is None
    assert bodies(await world.peek("q")) == ["a", "b", "c"]


async def test_a_move_of_an_empty_queue_is_completed(world: World) -> None:
    await start(world)
    assert await world.step_moves() is None
    (move,) = await moves(world)
    assert (move.status, move.moved_count) == (MoveStatus.COMPLETED, 0)


async def test_a_rate_limits_how_fast_it_goes(world: World) -> None:
    await world.send("dead", *map(str, range(10)))
    await start(world, rate_per_second=2)
    assert await world.step_moves() == world.now + 500
    assert await world.counts("q") == QueueCounts(1, 0, 0)
    assert await world.step_moves() == world.now + 500
    assert await world.counts("q") == QueueCounts(1, 0, 0)
    world.advance(0.5)
    assert await world.step_moves() == world.now + 500
    assert await world.counts("q") == QueueCounts(2, 0, 0)
    world.advance(10)
    assert await world.step_moves() is None
    assert await world.counts("q") == QueueCounts(10, 0, 0)


@pytest.mark.parametrize("rate", [None, 2])
async def test_a_move_may_wait_before_it_begins(world: World, rate: int | None) -> None:
    await world.send("dead", "a", "b")
    move = await start(world, delay_seconds=10, rate_per_second=rate)
    assert (move.status, move.started_at) == (MoveStatus.RUNNING, world.now + 10_000)
    assert await world.step_moves() == move.started_at
    await world.send("dead", "sent meanwhile")
    world.advance(9.9)
    assert await world.step_moves() == move.started_at
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    world.advance(0.1)
    if rate is not None:
        assert await world.step_moves() == world.now + 500
        assert bodies(await world.peek("q")) == ["a"]
        world.advance(0.5)
    assert await world.step_moves() is None
    assert bodies(await world.peek("q")) == ["a", "b"]
    assert bodies(await world.peek("dead")) == ["sent meanwhile"]


async def test_a_move_that_waits_is_undone_by_cancelling_it(world: World) -> None:
    await world.send("dead", "a")
    before = await world.peek("dead")
    move = await start(world, delay_seconds=10)
    await world.step_moves()
    cancelled = (await world.perform(CancelMove(move.move_id))).move
    assert (cancelled.status, cancelled.moved_count) == (MoveStatus.CANCELLED, 0)
    world.advance(20)
    assert await world.step_moves() is None
    assert await world.peek("dead") == before


async def test_only_ready_messages_move(world: World) -> None:
    await world.send("dead", "held")
    await world.receive("dead")
    await world.send("dead", "late", delay_seconds=100)
    await world.send("dead", "ready")
    await start(world)
    await world.step_moves()
    assert bodies(await world.peek("q")) == ["ready"]
    assert bodies(await world.peek("dead")) == ["held", "late"]
    (move,) = await moves(world)
    assert (move.status, move.moved_count) == (MoveStatus.COMPLETED, 1)


async def test_a_filter_chooses_what_moves(world: World) -> None:
    await world.send("dead", "a1", "b1", "a2")
    move = await start(world, filter=MessageFilter(text="a"))
    assert move.filter == MessageFilter(text="a")
    await world.step_moves()
    assert bodies(await world.peek("q")) == ["a1", "a2"]
    assert bodies(await world.peek("dead")) == ["b1"]


async def test_without_a_target_messages_return_to_their_sources(world: World) -> None:
    for name in ("x", "y"):
        await world.create(name, redrive=RedrivePolicy("dead", 1))
        await world.send(name, name)
        await world.receive(name, visibility_timeout_seconds=1)
        world.advance(1)
        await world.receive(name)
    await world.send("dead", "was always here")
    await start(world, target=None)
    assert await world.step_moves() is None
    assert bodies(await world.peek("dead")) == ["was always here"]
    for name in ("x", "y"):
        (back,) = await world.peek(name)
        assert (back.body, back.receive_count, back.dead_letter_source) == (name, 0, None)
    (move,) = await moves(world)
    assert (move.status, move.moved_count) == (MoveStatus.COMPLETED, 2)


async def test_without_a_target_messages_of_a_deleted_source_stay(world: World) -> None:
    await world.create("x", redrive=RedrivePolicy("dead", 1))
    await world.send("x", "a")
    await world.receive("x", visibility_timeout_seconds=1)
    world.advance(1)
    await world.receive("x")
    await world.perform(DeleteQueue("x"))
    await start(world, target=None)
    await world.step_moves()
    assert bodies(await world.peek("dead")) == ["a"]
    assert (await moves(world))[0].status is MoveStatus.COMPLETED


async def test_a_cancelled_move_stops_where_it_is(world: World) -> None:
    await world.send("dead", "a", "b", "c")
    move = await start(world)
    await world.step_moves(1)
    cancelled = (await world.perform(CancelMove(move.move_id))).move
    assert (cancelled.status, cancelled.moved_count) == (MoveStatus.CANCELLED, 1)
    assert await world.step_moves() is None
    assert bodies(await world.peek("q")) == ["a"]
    assert await moves(world) == (cancelled,)


async def test_only_a_running_move_can_be_cancelled(world: World) -> None:
    move = await start(world)
    await world.step_moves()
    for move_id in (move.move_id, "none"):
        with pytest.raises(MoveNotFound):
            await world.perform(CancelMove(move_id))


async def test_one_move_runs_for_each_source(world: World) -> None:
    await world.create("other")
    first = await start(world)
    with pytest.raises(MoveConflict):
        await start(world, target="other")
    await start(world, source="other")
    await world.perform(CancelMove(first.move_id))
    await start(world)


async def test_a_move_fails_when_its_target_is_deleted(world: World) -> None:
    await world.send("dead", "a", "b")
    await start(world)
    await world.step_moves(1)
    await world.perform(DeleteQueue("q"))
    assert await world.step_moves() is None
    (move,) = await moves(world)
    assert (move.status, move.moved_count) == (MoveStatus.FAILED, 1)
    assert move.failure
    assert bodies(await world.peek("dead")) == ["b"]


async def test_a_move_ends_when_its_source_is_deleted(world: World) -> None:
    await world.send("dead", "a", "b")
    await start(world)
    await world.perform(DeleteQueue("dead"))
    assert await world.step_moves() is None
    with pytest.raises(QueueNotFound):
        await moves(world)


async def test_source_and_target_must_exist_and_differ(world: World) -> None:
    for source, target in (("none", "q"), ("dead", "none")):
        with pytest.raises(QueueNotFound):
            await start(world, source, target)
    with pytest.raises(InvalidRequest):
        await start(world, "dead", "dead")
    with pytest.raises(QueueNotFound):
        await moves(world, "none")
    assert await moves(world) == ()


@pytest.mark.parametrize("rate", [0, -1])
async def test_a_rate_is_at_least_one(world: World, rate: int) -> None:
    with pytest.raises(InvalidRequest):
        await start(world, rate_per_second=rate)


async def test_moves_are_listed_latest_first(world: World) -> None:
    started = []
    for _ in range(3):
        started.append((await start(world)).move_id)
        await world.step_moves()
        world.advance(1)
    assert [move.move_id for move in await moves(world)] == started[::-1]
    assert [move.move_id for move in await moves(world, limit=2)] == started[:0:-1]
    assert await moves(world, "q") == ()


async def test_ended_moves_are_forgotten_after_a_week(world: World) -> None:
    await start(world)
    await world.step_moves()
    world.advance(7 * 86_400 - 0.001)
    await world.sweep()
    assert len(await moves(world)) == 1
    world.advance(0.001)
    await world.sweep()
    assert await moves(world) == ()


async def test_a_moved_message_wakes_who_waits(world: World) -> None:
    await world.send("dead", "a")
    poll = await world.long_poll("q")
    await start(world)
    await world.step_moves()
    assert await world.reply(poll) == ["a"]


async def test_a_move_goes_past_many_that_do_not_match(world: World) -> None:
    await world.send("dead", *["no"] * 500)
    await world.send("dead", "yes")
    await start(world, filter=MessageFilter(text="yes"))
    for _ in range(20):
        if await world.step_moves(10) is None:
            break
    assert bodies(await world.peek("q")) == ["yes"]


async def test_several_moves_go_on_together(world: World) -> None:
    await world.create("other")
    await world.send("dead", "a", "b")
    await world.send("other", "c")
    await start(world)
    await start(world, source="other")
    assert await world.step_moves() is None
    assert sorted(bodies(await world.peek("q"))) == ["a", "b", "c"]


async def test_moved_messages_may_keep_their_ids(world: World) -> None:
    await world.update("dead", history="all")
    await world.update("q", history="all")
    sent = await world.send("dead", "a", "b", "c")
    await world.receive("dead", visibility_timeout_seconds=1)
    world.advance(1)
    move = await start(world, keeps_ids=True)
    assert move.keeps_ids
    assert await world.step_moves(2) is not None
    assert bodies(await world.peek("q")) == ["a", "b"]
    assert await world.step_moves() is None
    seen = await world.peek("q")
    assert [each.message_id for each in seen] == [each.message_id for each in sent]
    assert {(each.receive_count, each.sent_at, each.first_received_at) for each in seen} == {(0, world.now, None)}
    found = await world.find(sent[0].message_id)
    assert found is not None
    assert found.queue == "q"
    events = (await world.perform(ReadHistory(sent[0].message_id))).events
    assert [(each.kind.value, each.queue, each.detail) for each in events][-2:] == [
        ("moved", "dead", "to q"),
        ("sent", "q", "moved from dead"),
    ]
