"""Rotation: what is under which key, and bringing it under the one that seals while others go on, killed or not."""

import asyncio
import base64
import os
import signal
import subprocess
import sys

import pytest

from penstock.core.effects import FollowUp, Guard, Join, Record
from penstock.core.filters import MessageFilter
from penstock.core.messages import Attribute, Draft, State
from penstock.core.operations import GetRecords, PutRecords, StartMove
from penstock.core.queues import RedrivePolicy
from penstock.core.settlements import DeadLetter, Settled
from penstock.store.sealed.notice import read_notice
from penstock.store.sealed.opening import VARIABLE
from penstock.store.sealed.resealing import StillSealing
from tests.store.sealed.conftest import Place, plain_store, resealing
from tests.support.encryption import FIRST_KEY, SECOND_KEY, keyring
from tests.support.entropy import own_id
from tests.support.world import World, bodies

FIRST, SECOND = keyring(FIRST_KEY, SECOND_KEY).ids
COUNT = 350


async def fill(world: World) -> None:
    """Put something of every kind into a store."""
    await world.create("dead")
    await world.create("q", history="all", redrive=RedrivePolicy("dead", 3))
    await world.create("fifo", is_fifo=True)
    said = {"name": Attribute(string_value="secret value"), "raw": Attribute("Binary", binary_value=b"secret bytes")}
    for start in range(0, COUNT, 50):
        await world.send("q", *(f"secret {number}" for number in range(start, start + 50)), attributes=said)
    await world.send_drafts(
        "fifo", *(Draft(f"secret {n}" * 500, group_id="g", deduplication_id=f"d{n}") for n in range(3))
    )
    await world.settle("q", await world.take("q"), DeadLetter("secret reason"))
    await world.perform(PutRecords(tuple(Record(f"key {n}", f"secret {n}".encode(), {"t": "x"}) for n in range(250))))
    await world.apply(joins=(Join("join", 2, FollowUp("q", Draft("secret", said, message_id=own_id(1)))),))
    await world.perform(StartMove("dead", "q", rate_per_second=1, filter=MessageFilter(text="secret"), delay_seconds=9))


async def everything(world: World) -> object:
    """Return all that callers see."""
    return [
        *[await world.peek(queue) for queue in ("q", "fifo", "dead")],
        await world.find(own_id(1)),
        await world.store.find_records("", None, "", 1000, world.now),
    ]


async def test_what_is_under_which_key_is_counted(place: Place) -> None:
    async with place.opened() as world:
        await world.create("q")
        await world.send("q", "clear")
        await world.perform(PutRecords((Record("a", b""),)))
    async with place.opened(FIRST_KEY) as world:
        await world.send("q", "first", "first")
    async with place.opened(SECOND_KEY, FIRST_KEY) as world:
        await world.send("q", "second")
        await world.perform(PutRecords((Record("b", b""),)))
        found = await resealing(world).look()
    assert found.messages == {"clear": 1, FIRST: 2, SECOND: 1}
    assert found.records == {"clear": 1, SECOND: 1}
    assert (found.moves, found.reasons, found.left) == ({}, {}, ())


@pytest.mark.parametrize("before", [(), (FIRST_KEY,)])
async def test_resealing_brings_everything_under_the_key_and_changes_nothing(
    place: Place, before: tuple[str, ...]
) -> None:
    async with place.opened(*before) as world:
        await fill(world)
        held = await world.take("fifo")
    async with place.opened(SECOND_KEY, FIRST_KEY) as world:
        was = await everything(world)
        found = await resealing(world).reseal()
        assert (found.messages, found.records) == ({SECOND: COUNT + 4}, {SECOND: 250})
        assert await everything(world) == was
        assert await world.delete("fifo", held) == [Settled.DONE], "who holds one goes on"
        assert [each.state for each in await world.peek("fifo")] == [State.READY] * 2
    async with place.opened(SECOND_KEY) as world:
        assert bodies(await world.peek("dead")) == ["secret 0"]
        assert len(await world.peek("q", text="secret")) == COUNT - 1
        await world.apply(guards=(Guard("key 1", b"secret 1"),), forgets=("key 1",))


async def test_the_store_says_which_keys_it_still_needs(place: Place) -> None:
    async with place.opened(FIRST_KEY) as world:
        await fill(world)
    async with place.opened(SECOND_KEY, FIRST_KEY) as world:
        found = await resealing(world).reseal()
        assert found.moves == {FIRST: 1}
        assert found.reasons == {FIRST: 1}
        assert set((await read_notice(plain_store(world)))[0].key_ids) == {FIRST, SECOND}, "a move goes on with it"
        world.advance(10)
        await world.step_moves()
        world.advance(10)
        await world.step_moves()
        await resealing(world).reseal()
        assert (await read_notice(plain_store(world)))[0].key_ids == (SECOND,)


async def test_what_cannot_be_opened_is_told_and_its_key_still_needed(place: Place) -> None:
    async with place.opened(FIRST_KEY) as world:
        await world.create("q")
        await world.send("q", "lost", "kept")
        await world.perform(PutRecords((Record("lost", b""),)))
    async with place.opened(SECOND_KEY, FIRST_KEY) as world:
        await world.send("q", "new")
    async with place.opened(SECOND_KEY) as world:
        found = await resealing(world).reseal()
        assert found.left_count == 3
        assert all(FIRST in each for each in found.left)
        assert set((await read_notice(plain_store(world)))[0].key_ids) == {FIRST, SECOND}


async def test_what_can_be_opened_is_brought_under_the_key_though_other_things_cannot(place: Place) -> None:
    lost = base64.b64encode(bytes(32)).decode()
    async with place.opened(lost) as world:
        await world.create("q")
        await world.send("q", "lost")
    async with place.opened(FIRST_KEY, lost) as world:
        await world.send("q", "kept")
    async with place.opened(SECOND_KEY, FIRST_KEY) as world:
        found = await resealing(world).reseal()
        (lost_id,) = keyring(lost).ids
        assert found.messages == {SECOND: 1, lost_id: 1}
        assert (found.left_count, lost_id in found.left[0]) == (1, True)
        assert set((await read_notice(plain_store(world)))[0].key_ids) == {SECOND, lost_id}


async def test_encryption_is_turned_off_by_bringing_everything_back(place: Place) -> None:
    async with place.opened(FIRST_KEY) as world:
        await fill(world)
        was = await everything(world)
    async with place.opened("clear", FIRST_KEY) as world:
        await world.purge("dead")
        world.advance(10)
        await world.step_moves()
        found = await resealing(world).reseal()
        assert set(found.messages) == set(found.records) == {"clear"}
        assert (await read_notice(plain_store(world)))[1] is None
    async with place.opened() as world:
        assert (await everything(world))[0] == was[0]  # type: ignore[index]


async def test_a_process_that_goes_on_with_another_key_is_noticed(place: Place) -> None:
    async with place.opened(FIRST_KEY) as old, place.opened(SECOND_KEY, FIRST_KEY) as new:
        await old.create("q")
        looking = resealing(new)
        peek = plain_store(new).peek

        async def while_another_sends(*arguments: object) -> object:
            await old.send("q", "under the first key")
            return await peek(*arguments)  # type: ignore[arg-type]

        plain_store(new).peek = while_another_sends  # type: ignore[method-assign, assignment]
        with pytest.raises(StillSealing, match=f"not under key {SECOND}"):
            await looking.reseal()


async def test_a_record_that_is_put_meanwhile_is_not_lost(place: Place) -> None:
    async with place.opened(FIRST_KEY) as world:
        await world.perform(PutRecords((Record("key", b"old"),)))
    async with place.opened(SECOND_KEY, FIRST_KEY) as world, place.opened(SECOND_KEY, FIRST_KEY) as other:
        find = plain_store(world).find_records

        async def and_then_another_puts(*arguments: object) -> object:
            found = await find(*arguments)  # type: ignore[arg-type]
            await other.perform(PutRecords((Record("key", b"new"),)))
            return found

        plain_store(world).find_records = and_then_another_puts  # type: ignore[method-assign, assignment]
        await resealing(world).reseal()
        assert (await other.perform(GetRecords(("key",)))).records[0].value == b"new"


KILLED = """
import asyncio, os, signal, sys
from penstock.store.sealed.opening import sealed
from penstock.store.sealed.resealing import Resealing
from penstock.store.sqlite import SqliteStore

async def run(path, pages, now):
    store = await sealed(await SqliteStore.open(path))
    told = iter(range(pages))
    def die(count):
        if next(told, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
    await Resealing(store, lambda: now, die).reseal()

asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def reseal_and_die(place: Place, pages: int) -> None:
    """Reseal in a process that is killed after so many pages."""
    command = [sys.executable, "-c", KILLED, str(place.folder / "penstock.db"), str(pages), str(place.clock.now_ms())]
    keys = {VARIABLE: f"{SECOND_KEY},{FIRST_KEY}"}
    done = subprocess.run(command, env={**os.environ, **keys}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("pages", [0, 2, 5, 8])
async def test_a_rotation_that_is_killed_goes_on_when_it_is_begun_again(place: Place, pages: int) -> None:
    async with place.opened(FIRST_KEY) as world:
        await fill(world)
        was = await everything(world)
    reseal_and_die(place, pages)
    async with place.opened(SECOND_KEY, FIRST_KEY) as world:
        assert await everything(world) == was
        halfway = await resealing(world).look()
        assert FIRST in {**halfway.messages, **halfway.records}
        assert SECOND in halfway.messages
        found = await resealing(world).reseal()
        assert (found.messages, found.records) == ({SECOND: COUNT + 4}, {SECOND: 250})
        assert await everything(world) == was


async def test_nothing_is_lost_or_doubled_while_others_send_receive_and_move(place: Place) -> None:
    async with place.opened(FIRST_KEY) as world:
        await world.create("dead")
        await world.create("q", redrive=RedrivePolicy("dead", 2))
        await world.create("fifo", is_fifo=True)
        await world.send("q", *(f"old {number}" for number in range(300)))
        await world.send_drafts(
            "fifo", *(Draft(f"old {n:03}", group_id=f"g{n % 5}", deduplication_id=f"o{n}") for n in range(300))
        )
    seen: list[str] = []
    in_order: list[str] = []
    async with place.opened(SECOND_KEY, FIRST_KEY) as busy, place.opened(SECOND_KEY, FIRST_KEY) as other:

        async def be_busy() -> None:
            for number in range(40):
                await busy.send("q", f"new {number}")
                held = await busy.receive("q", 7)
                dead, *done = held
                await busy.settle("q", dead, DeadLetter("no"))
                assert await busy.delete("q", *done) == [Settled.DONE] * len(done)
                seen.extend(bodies(done))
                ordered = await busy.receive("fifo", 6)
                assert await busy.delete("fifo", *ordered) == [Settled.DONE] * len(ordered)
                in_order.extend(bodies(ordered))
                if number % 20 == 10:
                    await busy.perform(StartMove("dead", "q"))
                    await busy.step_moves()

        resealed = asyncio.ensure_future(resealing(other).reseal())
        await be_busy()
        await resealed
        found = await resealing(other).look()
        assert set(found.messages) <= {SECOND}
        left = [each.body for queue in ("q", "dead") for each in await busy.peek(queue)]
        assert sorted(seen + left) == sorted([f"old {n}" for n in range(300)] + [f"new {n}" for n in range(40)])
        in_order += bodies(await busy.peek("fifo"))
        for group in range(5):
            mine = [each for each in in_order if int(each[4:]) % 5 == group]
            assert mine == [f"old {n:03}" for n in range(group, 300, 5)]
