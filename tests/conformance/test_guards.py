"""Guards: effects happen only if records are what the caller believes they are. Forgetting records is an effect too."""

import pytest

from penstock.core.effects import Arrival, Effects, FollowUp, Guard, Join, Record
from penstock.core.errors import GuardFailed, InvalidRequest
from penstock.core.messages import Draft
from penstock.core.operations import Apply, GetRecords, PutRecords, Settle
from penstock.core.queues import QueueCounts
from penstock.core.settlements import Settled, Settlement
from tests.support.world import World


async def value(world: World, key: str) -> bytes | None:
    (record,) = (await world.perform(GetRecords((key,)))).records
    return None if record is None else record.value


async def put(world: World, *records: Record) -> None:
    await world.perform(PutRecords(records))


async def test_effects_happen_where_the_guard_holds(world: World) -> None:
    await put(world, Record("k", b"1"))
    await world.apply(guards=(Guard("k", b"1"), Guard("other", None)), records=(Record("k", b"2"),))
    assert await value(world, "k") == b"2"


@pytest.mark.parametrize(
    "guard", [Guard("k", b"2"), Guard("k", None), Guard("k", b""), Guard("none", b""), Guard("gone", b"1")], ids=str
)
async def test_nothing_happens_where_a_guard_fails(world: World, guard: Guard) -> None:
    await world.create("q")
    await world.send("q", "a")
    held = await world.take("q")
    await put(world, Record("k", b"1"), Record("gone", b"1", expires_at=world.now + 1000), Record("l", b""))
    world.advance(1)
    effects = Effects(
        guards=(Guard("k", b"1"), guard),
        forgets=("l",),
        sends=(FollowUp("q", Draft("b")),),
        records=(Record("k", b"3"),),
        joins=(Join("j", 1, FollowUp("q", Draft("c"))),),
        arrivals=(Arrival("j", "p"),),
    )
    with pytest.raises(GuardFailed, match=repr(guard.key)) as raised:
        await world.perform(Apply(effects))
    assert raised.value.problem.hint
    outcome = await world.settle("q", held, effects=effects, parks_group=True)
    assert (outcome.result, outcome.message_id) == (Settled.REFUSED, held.message_id)
    assert outcome.problem == raised.value.problem
    assert [await value(world, key) for key in ("k", "l")] == [b"1", b""]
    assert await world.counts("q") == QueueCounts(0, 0, 1)
    assert await world.delete("q", held) == [Settled.DONE]


async def test_a_guard_tells_absent_from_empty_and_expired_is_absent(world: World) -> None:
    await put(world, Record("gone", b"1", expires_at=world.now + 1000), Record("empty", b""))
    world.advance(1)
    await world.apply(guards=(Guard("gone", None), Guard("empty", b"")), records=(Record("k", b""),))
    assert await value(world, "k") == b""


async def test_guards_look_at_what_is_kept_when_the_step_begins(world: World) -> None:
    await put(world, Record("k", b"1"))
    with pytest.raises(GuardFailed):
        await world.apply(guards=(Guard("k", None),), forgets=("k",))
    with pytest.raises(GuardFailed):
        await world.apply(guards=(Guard("k", b"2"),), records=(Record("k", b"2"),))
    assert await value(world, "k") == b"1"


async def test_a_guard_fails_before_anything_else_does(world: World) -> None:
    with pytest.raises(GuardFailed):
        await world.apply(guards=(Guard("k", b""),), sends=(FollowUp("none", Draft("a")),))


async def test_of_two_who_saw_the_same_one_comes_through(world: World) -> None:
    """Two schedulers, one occurrence: each reads the record, and sends if it is still as it was."""
    await world.create("q")
    await put(world, Record("schedule", b"12:00"))
    step = Effects(
        guards=(Guard("schedule", b"12:00"),),
        sends=(FollowUp("q", Draft("job")),),
        records=(Record("schedule", b"13:00"),),
    )
    await world.perform(Apply(step))
    with pytest.raises(GuardFailed):
        await world.perform(Apply(step))
    assert await world.receive_bodies("q") == ["job"]


async def test_each_settlement_of_a_batch_sees_what_the_one_before_it_did(world: World) -> None:
    await world.create("q")
    await world.send("q", "a", "b")
    effects = Effects(guards=(Guard("k", None),), records=(Record("k", b""),))
    settlements = tuple(Settlement("q", each.receipt_handle, effects=effects) for each in await world.receive("q"))
    outcomes = (await world.perform(Settle(settlements))).outcomes
    assert [outcome.result for outcome in outcomes] == [Settled.DONE, Settled.REFUSED]


async def test_records_are_forgotten_before_others_are_kept(world: World) -> None:
    await put(world, Record("a", b"1", {"t": "1"}), Record("b", b"1"), Record("c", b"1"))
    again = Record("a", b"2", only_if_absent=True)
    reply = await world.apply(forgets=("a", "b", "none"), records=(again,))
    assert reply.kept_records == (True,)
    assert [await value(world, key) for key in "abc"] == [b"2", None, b"1"]


async def test_a_settlement_may_forget_records(world: World) -> None:
    await world.create("q")
    await world.send("q", "a")
    await put(world, Record("unique/a", b""))
    await world.settle("q", await world.take("q"), effects=Effects(forgets=("unique/a",)))
    assert await value(world, "unique/a") is None


@pytest.mark.parametrize("effects", [{"guards": (Guard("", None),)}, {"forgets": ("k" * 1001,)}], ids=["guard", "key"])
async def test_a_key_that_cannot_be_meant_is_refused(world: World, effects: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        await world.apply(records=(Record("good", b""),), **effects)
    assert await value(world, "good") is None


async def test_one_step_takes_10000_effects_of_a_kind(world: World) -> None:
    await world.create("q")
    sends = tuple(FollowUp("q", Draft(str(number))) for number in range(10_001))
    with pytest.raises(InvalidRequest):
        await world.apply(sends=sends)
    arrivals = tuple(Arrival("j", str(number)) for number in range(100))
    join = Join("j", 100, FollowUp("q", Draft("joined")))
    assert len((await world.apply(sends=sends[:10_000], joins=(join,), arrivals=arrivals)).outcomes) == 10_000
    assert await world.counts("q") == QueueCounts(10_001, 0, 0)
