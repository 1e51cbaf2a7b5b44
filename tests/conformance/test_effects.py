"""Effects: sends, records, joins and arrivals that happen with a settlement or on their own, all or nothing."""

import pytest

from penstock.core.effects import Arrival, Effects, FollowUp, Join, Record
from penstock.core.errors import (
    DeduplicationIdRequired,
    GroupRequired,
    InvalidRequest,
    MessageTooLarge,
    PenstockError,
    QueueNotFound,
)
from penstock.core.messages import Draft, State
from penstock.core.operations import ApplyReply, DeleteQueue, GetRecords, Sent
from penstock.core.queues import QueueCounts
from penstock.core.settlements import ChangeVisibility, DeadLetter, GiveBack, Settled
from tests.support.entropy import message_id, own_id
from tests.support.world import World

GOOD = Effects(
    sends=(FollowUp("q", Draft("follow", message_id=own_id(1))),),
    records=(Record("key", b"value"),),
    joins=(Join("join", 2, FollowUp("q", Draft("joined", message_id=own_id(2)))),),
    arrivals=(Arrival("join", "first"),),
)


async def traces(world: World) -> tuple[bool, bool, bool]:
    """Return whether each of the GOOD effects has happened: the send, the record, the join."""
    (record,) = (await world.perform(GetRecords(("key",)))).records
    return await world.find(own_id(1)) is not None, record is not None, await world.find(own_id(2)) is not None


async def test_effects_happen_with_the_settlement(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    assert (await world.settle("q", held, effects=GOOD)).result is Settled.DONE
    assert await traces(world) == (True, True, True)
    assert await world.receive_bodies("q") == ["follow"]
    await world.apply(arrivals=(Arrival("join", "second"),))
    assert await world.receive_bodies("q") == ["joined"]


@pytest.mark.parametrize(
    "action", [ChangeVisibility(0), GiveBack(), DeadLetter()], ids=lambda each: type(each).__name__
)
async def test_effects_happen_whatever_the_action(world: World, action: ChangeVisibility | GiveBack) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    assert (await world.settle("q", held, action, effects=GOOD)).result is Settled.DONE
    assert await traces(world) == (True, True, True)


async def test_effects_of_a_settlement_that_is_not_done_do_not_happen(world: World) -> None:
    await world.create("q")
    await world.create("r")
    await world.send("r", "a", "b")
    gone, expired = await world.receive("r", visibility_timeout_seconds=1)
    await world.delete("r", gone)
    world.advance(1)
    assert (await world.settle("r", gone, effects=GOOD)).result is Settled.GONE
    assert (await world.settle("r", expired, effects=GOOD, is_fenced=True)).result is Settled.EXPIRED
    await world.take("r")
    assert (await world.settle("r", expired, effects=GOOD)).result is Settled.STALE
    assert (await world.settle("r", "garbage", effects=GOOD)).result is Settled.REFUSED
    assert await traces(world) == (False, False, False)
    assert await world.counts("q") == QueueCounts(0, 0, 0)


BAD_FOLLOW_UPS = (
    (FollowUp("none", Draft("x")), QueueNotFound),
    (FollowUp("small", Draft("xxxxxx")), MessageTooLarge),
    (FollowUp("q.fifo", Draft("x", deduplication_id="d")), GroupRequired),
    (FollowUp("q.fifo", Draft("x", group_id="g")), DeduplicationIdRequired),
)


@pytest.fixture
async def queues(world: World) -> None:
    await world.create("q")
    await world.create("small", max_message_bytes=5)
    await world.create("q.fifo", is_fifo=True)


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize("place", ["sends", "joins"])
@pytest.mark.parametrize(("bad", "error"), BAD_FOLLOW_UPS, ids=lambda each: getattr(each, "__name__", ""))
async def test_one_bad_follow_up_refuses_everything(
    world: World, bad: FollowUp, error: type[PenstockError], place: str
) -> None:
    effects = Effects(
        sends=(*GOOD.sends, bad) if place == "sends" else GOOD.sends,
        records=GOOD.records,
        joins=(*GOOD.joins, Join("bad", 1, bad)) if place == "joins" else GOOD.joins,
        arrivals=GOOD.arrivals,
    )
    await world.send("q", "a", group_id="g")
    held = await world.take("q")
    outcome = await world.settle("q", held, effects=effects, parks_group=True)
    assert outcome.problem is not None
    assert (outcome.result, outcome.problem.code) == (Settled.REFUSED, error.code)
    assert outcome.message_id == held.message_id
    with pytest.raises(error):
        await world.apply(sends=effects.sends, records=effects.records, joins=effects.joins, arrivals=effects.arrivals)
    assert await traces(world) == (False, False, False)
    assert await world.counts("q") == QueueCounts(0, 0, 1)
    assert not (await world.groups("q"))["g"].is_parked
    assert await world.delete("q", held) == [Settled.DONE]


async def test_applying_tells_what_was_sent_and_kept(world: World) -> None:
    await world.create("q")
    await world.send("q", "there", message_id=own_id(1))
    reply = await world.apply(
        sends=(FollowUp("q", Draft("a")), FollowUp("q", Draft("b", message_id=own_id(1)))),
        records=(Record("k", b"1"), Record("k", b"2", only_if_absent=True)),
    )
    assert reply == ApplyReply((Sent(message_id(1), 2), Sent(own_id(1), 1, is_duplicate=True)), (True, False))


async def test_applying_nothing_is_nothing(world: World) -> None:
    assert await world.apply() == ApplyReply((), ())


async def test_a_duplicate_follow_up_is_no_failure(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    await world.send("q", "there", message_id=own_id(1), delay_seconds=100)
    held = await world.take("q")
    assert (await world.settle("q", held, effects=GOOD)).result is Settled.DONE
    assert await world.counts("q") == QueueCounts(0, 1, 0)


async def test_a_follow_up_obeys_its_queue(world: World) -> None:
    await world.create("q")
    await world.create("slow", delay_seconds=10)
    await world.create("q.fifo", is_fifo=True, content_based_deduplication=True)
    follow_ups = (FollowUp("slow", Draft("x")), FollowUp("q.fifo", Draft("y", group_id="g")))
    reply = await world.apply(sends=follow_ups)
    again = await world.apply(sends=follow_ups[1:])
    assert await world.counts("slow") == QueueCounts(0, 1, 0)
    assert again.outcomes[0].message_id == reply.outcomes[1].message_id
    assert again.outcomes[0].is_duplicate


async def test_a_follow_up_may_go_to_the_group_its_cause_frees(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "1", group_id="g")
    held = await world.take("q")
    await world.settle("q", held, effects=Effects(sends=(FollowUp("q", Draft("2", group_id="g")),)))
    assert await world.receive_bodies("q") == ["2"]


async def test_effects_that_cannot_be_meant_fail_the_whole_call(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    for effects in (
        Effects(sends=(FollowUp("q", Draft("x", priority=10)),)),
        Effects(joins=(Join("j", 0, FollowUp("q", Draft("x"))),)),
        Effects(joins=(Join("j", 1, FollowUp("q", Draft("x", message_id="y"))),)),
    ):
        with pytest.raises(InvalidRequest):
            await world.settle("q", held, effects=effects)
        with pytest.raises(InvalidRequest):
            await world.apply(sends=effects.sends, joins=effects.joins)
    assert await world.counts("q") == QueueCounts(0, 0, 1)


# -- joins -----------------------------------------------------------------------------------------------------------


def join(parts: int = 2, join_id: str = "j", number: int = 1, **details: object) -> Join:
    return Join(join_id, parts, FollowUp("q", Draft("joined", message_id=own_id(number))), **details)  # type: ignore[arg-type]


async def arrive(world: World, *parts: str, join_id: str = "j") -> None:
    await world.apply(arrivals=tuple(Arrival(join_id, part) for part in parts))


async def test_a_join_sends_its_message_when_the_last_part_has_arrived(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(3),))
    await arrive(world, "a", "b")
    assert await world.receive("q") == ()
    world.advance(5)
    await arrive(world, "c")
    held = await world.take("q")
    assert (held.message_id, held.sent_at) == (own_id(1), world.now)


async def test_the_same_part_counts_once(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(2),))
    await arrive(world, "a", "a")
    await arrive(world, "a")
    assert await world.receive("q") == ()
    await arrive(world, "b")
    assert await world.receive_bodies("q") == ["joined"]


async def test_parts_that_come_late_are_ignored(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(1),))
    await arrive(world, "a")
    await arrive(world, "b", "c")
    await arrive(world, "a", join_id="unknown")
    assert await world.counts("q") == QueueCounts(1, 0, 0)


async def test_a_joined_message_is_blocked_until_then(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(1),))
    seen = await world.find(own_id(1))
    assert seen is not None
    assert (seen.state, seen.queue, seen.body, seen.sequence_number) == (State.BLOCKED, "q", "joined", 0)
    assert await world.peek("q") == ()
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    await arrive(world, "a")
    seen = await world.find(own_id(1))
    assert seen is not None
    assert seen.state is State.READY


async def test_a_minted_id_names_the_joined_message_too(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(Join("j", 1, FollowUp("q", Draft("joined"))),))
    seen = await world.find(message_id(1))
    assert seen is not None
    assert seen.state is State.BLOCKED


async def test_opening_a_join_twice_changes_nothing(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(2),))
    await arrive(world, "a")
    await world.apply(joins=(join(5),))
    await arrive(world, "b")
    assert await world.receive_bodies("q") == ["joined"]


async def test_a_join_whose_message_is_already_sent_is_not_opened(world: World) -> None:
    await world.create("q")
    await world.send("q", "there", message_id=own_id(1))
    await world.apply(joins=(join(1),))
    await arrive(world, "a")
    assert await world.receive_bodies("q") == ["there"]


async def test_a_join_whose_message_another_join_holds_is_not_opened(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(1, "first"), join(1, "second")))
    await arrive(world, "a", join_id="second")
    assert await world.receive("q") == ()
    await arrive(world, "a", join_id="first")
    await arrive(world, "b", join_id="second")
    assert await world.receive_bodies("q") == ["joined"]


async def test_a_blocked_message_cannot_be_sent_beside_its_join(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(1),))
    (sent,) = await world.send("q", "other", message_id=own_id(1))
    assert sent == Sent(own_id(1), 0, is_duplicate=True)
    assert await world.counts("q") == QueueCounts(0, 0, 0)


async def test_cancelling_a_blocked_message_forgets_its_join(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(1),))
    assert await world.cancel(own_id(1)) == ("done",)
    assert await world.find(own_id(1)) is None
    await arrive(world, "a")
    assert await world.counts("q") == QueueCounts(0, 0, 0)
    assert await world.cancel(own_id(1)) == ("gone",)


async def test_a_join_may_be_opened_again_after_it_was_cancelled_and_starts_anew(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(2),))
    await arrive(world, "a")
    await world.cancel(own_id(1))
    await world.apply(joins=(join(2),))
    await arrive(world, "b")
    assert await world.receive("q") == ()
    await arrive(world, "a")
    assert await world.receive_bodies("q") == ["joined"]


async def test_rescheduling_a_blocked_message_delays_it(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(1),))
    assert await world.reschedule(world.now + 10_000, own_id(1)) == ("done",)
    await arrive(world, "a")
    assert await world.counts("q") == QueueCounts(0, 1, 0)
    world.advance(10)
    assert await world.receive_bodies("q") == ["joined"]


async def test_a_delay_of_a_joined_message_runs_from_the_last_arrival(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(Join("j", 1, FollowUp("q", Draft("joined", delay_seconds=5))),))
    world.advance(10)
    await arrive(world, "a")
    assert await world.counts("q") == QueueCounts(0, 1, 0)
    world.advance(5)
    assert await world.receive_bodies("q") == ["joined"]


async def test_an_incomplete_join_is_forgotten_when_it_expires(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(1, expires_at=world.now + 5000),))
    world.advance(4.999)
    await world.sweep()
    assert await world.find(own_id(1)) is not None
    world.advance(0.001)
    assert await world.sweep() == 1
    assert await world.find(own_id(1)) is None
    await arrive(world, "a")
    assert await world.counts("q") == QueueCounts(0, 0, 0)


async def test_a_join_without_an_expiry_is_kept(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(1),))
    world.advance(10 * 86_400)
    await world.sweep()
    await arrive(world, "a")
    assert await world.receive_bodies("q") == ["joined"]


async def test_a_join_into_a_deleted_queue_is_let_go(world: World) -> None:
    await world.create("q")
    await world.create("r")
    await world.apply(joins=(join(1),))
    await world.perform(DeleteQueue("q"))
    await world.send("r", "last")
    held = await world.take("r")
    outcome = await world.settle("r", held, effects=Effects(arrivals=(Arrival("j", "a"),)))
    assert outcome.result is Settled.DONE
    assert await world.find(own_id(1)) is None


async def test_one_settlement_may_complete_several_joins(world: World) -> None:
    await world.create("q")
    await world.apply(joins=(join(1, "first", 1), join(1, "second", 2)))
    await world.apply(arrivals=(Arrival("second", "a"), Arrival("first", "a")))
    assert [each.message_id for each in await world.receive("q")] == [own_id(2), own_id(1)]
