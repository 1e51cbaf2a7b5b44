"""What cannot be opened is told of and passed over: no queue stops, nothing is lost, it comes when its key is back."""

import asyncio
import logging

import pytest
from msgspec import structs

from penstock.core.effects import Record
from penstock.core.errors import StoreDamaged
from penstock.core.filters import MessageFilter
from penstock.core.messages import Attribute, Draft
from penstock.core.operations import Find, GetRecords, Peek, PutRecords, ReadHistory, StartMove
from penstock.core.queues import QueueCounts, RedrivePolicy
from penstock.core.settlements import DeadLetter, Settled
from penstock.store.sealed.passing_over import AWAY_SECONDS
from tests.store.sealed.conftest import Place, plain_store
from tests.support.encryption import FIRST_KEY, SECOND_KEY
from tests.support.world import World, bodies


async def tamper(world: World, body: str, queue: str = "q") -> None:
    """Change a bit of what is kept of a message."""
    plain = plain_store(world)
    kept, _ = await plain.peek(queue, MessageFilter(), 0, 100, world.now)
    opened = await world.peek(queue)
    (which,) = [at for at, each in enumerate(opened) if each.body == body]
    sealed = kept[which].body
    changed = sealed[:60] + ("A" if sealed[60] != "A" else "B") + sealed[61:]
    await plain.rewrite([structs.replace(kept[which], body=changed)], world.now)


async def test_a_tampered_message_is_told_of_once_and_others_are_delivered(
    sealed: World, caplog: pytest.LogCaptureFixture
) -> None:
    await sealed.create("dead")
    await sealed.create("q", redrive=RedrivePolicy("dead", 1))
    await sealed.send("q", "bad")
    await tamper(sealed, "bad")
    with pytest.raises(StoreDamaged, match="Message 1 of queue 'q' cannot be opened: it is not what was sealed"):
        await sealed.receive("q")
    await sealed.send("q", "good")
    assert await sealed.receive_bodies("q") == ["good"]
    for _ in range(3):
        sealed.advance(AWAY_SECONDS)
        assert [each for each in await sealed.receive_bodies("q") if each != "good"] == []
    assert await sealed.counts("q") == QueueCounts(0, 1, 0), "it is there still, and was never received"
    assert len([each for each in caplog.records if "cannot be opened" in each.getMessage()]) == 1


async def test_a_tampered_message_among_others_does_not_fail_the_receive(sealed: World) -> None:
    await sealed.create("q")
    await sealed.send("q", "one", "bad", "two")
    await tamper(sealed, "bad")
    assert await sealed.receive_bodies("q") == ["one", "two"]
    assert await sealed.counts("q") == QueueCounts(0, 1, 2)


async def test_a_strict_group_waits_behind_what_cannot_be_opened_and_others_go_on(sealed: World) -> None:
    await sealed.create("q", is_fifo=True, content_based_deduplication=True)
    for body, group in (("a1", "a"), ("bad", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b")):
        await sealed.send_drafts("q", Draft(body, group_id=group))
    await tamper(sealed, "bad")
    held = await sealed.receive("q", 10)
    assert bodies(held) == ["a1", "b1", "b2"]
    await sealed.delete("q", *held)
    assert await sealed.receive("q") == ()
    (_, a3), _ = await plain_store(sealed).peek("q", MessageFilter(), 0, 10, sealed.now)
    assert a3.receive_count == 0, "what was let go of does not count"


async def test_a_long_poll_goes_on_past_what_cannot_be_opened(sealed: World) -> None:
    await sealed.create("q")
    await sealed.send("q", "bad")
    await tamper(sealed, "bad")
    with pytest.raises(StoreDamaged):
        await sealed.receive("q")
    poll = await sealed.long_poll("q", wait_seconds=2 * AWAY_SECONDS)
    sealed.advance(AWAY_SECONDS)
    await sealed.settled()
    assert not poll.done()
    await sealed.send("q", "good")
    assert await sealed.reply(poll) == ["good"]


async def test_a_receive_that_is_cancelled_while_it_passes_over_leaves_nothing_leased(
    sealed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sealed.create("q")
    await sealed.send("q", "bad", "good")
    await tamper(sealed, "bad")
    plain, begun = plain_store(sealed), asyncio.Event()
    settle = plain.settle

    async def slow(*arguments: object) -> object:
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        return await settle(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(plain, "settle", slow)
    receiving = asyncio.ensure_future(sealed.receive("q"))
    await begun.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert await sealed.counts("q") == QueueCounts(2, 0, 0)


async def test_what_is_put_in_another_message_does_not_open(sealed: World) -> None:
    await sealed.create("q")
    said = {"to": Attribute(string_value="ann")}
    await sealed.send("q", "pay ann", attributes=said, group_id="g")
    await sealed.send("q", "pay bob", attributes={"to": Attribute(string_value="bob")}, group_id="h")
    plain = plain_store(sealed)
    (ann, bob), _ = await plain.peek("q", MessageFilter(), 0, 10, sealed.now)
    for changed in (
        structs.replace(bob, attributes=ann.attributes),
        structs.replace(bob, attributes={}),
        structs.replace(bob, attributes={"other": bob.attributes["to"]}),
        structs.replace(bob, body=ann.body, attributes=ann.attributes),
    ):
        await plain.rewrite([changed], sealed.now)
        with pytest.raises(StoreDamaged, match="cannot be opened"):
            await sealed.find(bob.message_id)


async def test_whoever_looks_is_told(sealed: World) -> None:
    await sealed.create("q")
    await sealed.send("q", "bad", "good")
    (bad, _) = await sealed.peek("q")
    await tamper(sealed, "bad")
    for asked in (Peek("q"), Find((bad.message_id,))):
        with pytest.raises(StoreDamaged, match="Message 1 of queue 'q'"):
            await sealed.perform(asked)
    assert bodies((await sealed.perform(Peek("q", after=1))).messages) == ["good"]
    assert bodies(await sealed.peek("q", text="o")) == ["good"]


async def test_moves_leave_what_cannot_be_opened_where_they_would_look_into_it(sealed: World) -> None:
    await sealed.create("q")
    await sealed.create("target")
    await sealed.send("q", "bad", "good")
    await tamper(sealed, "bad")
    await sealed.perform(StartMove("q", "target", filter=MessageFilter(text="o")))
    await sealed.step_moves()
    assert bodies(await sealed.peek("target")) == ["good"]
    assert await sealed.counts("q") == QueueCounts(1, 0, 0)


async def test_a_queue_full_of_what_cannot_be_opened_is_told_of_once_and_gone_through(place: Place) -> None:
    async with place.opened(FIRST_KEY) as world:
        await world.create("q")
        await world.send("q", *map(str, range(50)))
    async with place.opened(SECOND_KEY, FIRST_KEY) as world:
        await world.send("q", "new")
    async with place.opened(SECOND_KEY) as world:
        with pytest.raises(StoreDamaged, match="which is not here"):
            await world.receive("q", 10)
        assert await world.receive("q", 10) == ()
        poll = await world.long_poll("q", 1)
        assert await world.reply(poll) == ["new"]
        assert await world.counts("q") == QueueCounts(0, 50, 1)


async def test_content_under_a_key_that_is_not_here_waits_for_it(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with place.opened(FIRST_KEY) as world:
        await world.create("dead", history="all")
        await world.create("q", history="all", redrive=RedrivePolicy("dead", 3))
        await world.send("q", "dead one", "old")
        await world.settle("q", await world.take("q"), DeadLetter("because"))
        await world.perform(PutRecords((Record("key", b"value"),)))
        key_id = world.store.keys.ids[0]  # type: ignore[attr-defined]
    async with place.opened(SECOND_KEY, FIRST_KEY) as world:
        await world.send("q", "new")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        async with place.opened(SECOND_KEY) as world:
            assert f"may be sealed with key {key_id} too" in caplog.text
            assert await world.receive_bodies("q") == ["new"]
            assert f"it was sealed with key {key_id}, which is not here" in caplog.text
            with pytest.raises(StoreDamaged, match=f"'key' cannot be opened: it was sealed with key {key_id}"):
                await world.perform(GetRecords(("key",)))
            (dead,) = (await plain_store(world).peek("dead", MessageFilter(), 0, 10, world.now))[0]
            details = [each.detail for each in (await world.perform(ReadHistory(dead.message_id))).events]
            assert f"(it was sealed with key {key_id}, which is not here)" in details
    place.clock.advance(AWAY_SECONDS)
    async with place.opened(SECOND_KEY, FIRST_KEY) as world:
        held = await world.receive("q")
        assert sorted(bodies(held)) == ["new", "old"]
        assert {each.receive_count for each in held if each.body == "old"} == {1}
        assert await world.delete("q", *held) == [Settled.DONE] * 2
        assert (await world.perform(GetRecords(("key",)))).records[0].value == b"value"
