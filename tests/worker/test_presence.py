"""Workers look after each other: who died is noticed, and what it held is released. On every store."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.effects import Record
from penstock.core.errors import StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DeleteRecords, GetRecords, PutRecords, Receive, Send
from penstock.core.queues import QueueChanges
from penstock.testing.jobs import AppUnderTest
from penstock.worker.engine.machine import start_of
from penstock.worker.engine.options import WorkerOptions
from penstock.worker.engine.presence import Presence
from penstock.worker.presence import (
    WorkerNotFound,
    WorkerRecord,
    ask_to_drain,
    drain_key,
    encode_worker,
    present_workers,
    worker_key,
)
from tests.worker.live import until

HOUR = 3600
LONG_LEASE = QueueChanges(visibility_timeout_seconds=12 * HOUR)


def presence(under_test: AppUnderTest, owner: str, machine: str, broker: Broker | None = None) -> Presence:
    names = iter(f"{owner}-{number}" for number in range(2, 9))
    return Presence(
        broker or under_test.broker,
        under_test.clock,
        WorkerOptions(owner=owner),
        {},
        is_draining=lambda: False,
        drain=lambda: None,
        rename=lambda: next(names),
        machine=machine,
    )


async def hold_one(under_test: AppUnderTest, owner: str) -> None:
    """Have a worker hold a job under a lease of twelve hours."""
    await under_test.broker.perform(CreateQueue("jobs", LONG_LEASE))
    await under_test.broker.perform(Send("jobs", (Draft("a job"),)))
    assert len((await under_test.broker.perform(Receive("jobs", 1, owner=owner))).deliveries) == 1


async def is_free(under_test: AppUnderTest) -> bool:
    return bool((await under_test.broker.perform(Receive("jobs", 1, visibility_timeout_seconds=0))).deliveries)


async def owners(under_test: AppUnderTest) -> list[str]:
    return sorted(each.owner for each in await present_workers(under_test.broker))


async def passes(watching: Presence, seconds: float, *alive: Presence) -> None:
    """Let time pass as workers see it: a look and a beat every two seconds, and time for burials."""
    for _ in range(round(seconds / 2)):
        for each in (*alive, watching):
            await each.tick()
    await buried(watching)


async def buried(watching: Presence) -> None:
    while watching.burials:
        await asyncio.wait(watching.burials)


async def are(under_test: AppUnderTest, *names: str) -> bool:
    return await owners(under_test) == list(names)


async def test_a_worker_elsewhere_that_falls_silent_is_dead_after_ten_seconds(under_test: AppUnderTest) -> None:
    here, there = presence(under_test, "here", "m1"), presence(under_test, "there", "m2")
    await there.tick()
    await hold_one(under_test, "there")
    await passes(here, 10)
    assert not await is_free(under_test)
    assert await owners(under_test) == ["here", "there"]
    await passes(here, 2)
    assert await is_free(under_test)
    assert await owners(under_test) == ["here"]


async def test_a_worker_that_beats_lives(under_test: AppUnderTest) -> None:
    here, there = presence(under_test, "here", "m1"), presence(under_test, "there", "m2")
    await hold_one(under_test, "there")
    await passes(here, 60, there)
    assert not await is_free(under_test)
    assert await owners(under_test) == ["here", "there"]


@pytest.mark.parametrize("jump_seconds", [-5 * HOUR, 5 * HOUR])
async def test_clocks_that_jump_kill_nobody(under_test: AppUnderTest, jump_seconds: int) -> None:
    here, there = presence(under_test, "here", "m1"), presence(under_test, "there", "m2")
    await hold_one(under_test, "there")
    await passes(here, 4, there)
    under_test.clock._now += jump_seconds * 1000
    await passes(here, 4, there)
    assert await owners(under_test) == ["here", "there"]
    assert not await is_free(under_test)


async def test_a_store_that_was_away_makes_nobody_dead(under_test: AppUnderTest) -> None:
    away = Away(under_test.broker)
    here, there = presence(under_test, "here", "m1", away), presence(under_test, "there", "m2")
    await there.tick()
    await here.tick()
    away.is_away = True
    for _ in range(30):
        with pytest.raises(StoreUnavailable):
            await here.tick()
    away.is_away = False
    await passes(here, 2)
    assert await owners(under_test) == ["here", "there"]


async def test_who_was_taken_for_dead_goes_on_under_another_name(under_test: AppUnderTest) -> None:
    here, paused = presence(under_test, "here", "m1"), presence(under_test, "paused", "m2")
    await paused.tick()
    await passes(here, 12)
    assert await owners(under_test) == ["here"]
    await passes(here, 4, paused)
    assert await owners(under_test) == ["here", "paused-2"]


async def test_several_may_bury_the_same_worker(under_test: AppUnderTest) -> None:
    one, other, there = (presence(under_test, name, name) for name in ("one", "other", "there"))
    await there.tick()
    await hold_one(under_test, "there")
    for _ in range(7):
        await one.tick()
        await other.tick()
    await buried(one)
    await buried(other)
    assert await is_free(under_test)
    assert await owners(under_test) == ["one", "other"]


async def test_a_sibling_that_dies_is_noticed_at_once(under_test: AppUnderTest) -> None:
    async with sibling(under_test, "m1") as (process, _):
        here = presence(under_test, "here", "m1")
        await hold_one(under_test, "sibling")
        await here.tick()
        assert await owners(under_test) == ["here", "sibling"]
        process.kill()
        await until(lambda: are(under_test, "here"))  # without another tick
    assert await is_free(under_test)


async def test_a_sibling_whose_process_is_gone_or_another_one_is_dead(under_test: AppUnderTest) -> None:
    async with sibling(under_test, "m1") as (process, record):
        # what has its number now was started at another time
        later = structs.replace(record, owner="earlier", pid_start=(record.pid_start or 0) - 1)
        await put(under_test, later)
        process.kill()
        process.wait()
        here = presence(under_test, "here", "m1")
        await passes(here, 2)
    await until(lambda: are(under_test, "here"))


async def test_who_takes_leave_is_not_looked_after(under_test: AppUnderTest) -> None:
    here = presence(under_test, "here", "m1")
    await here.tick()
    await hold_one(under_test, "here")
    await here.end()
    assert await owners(under_test) == []
    assert await is_free(under_test), "and it leaves nothing behind"


async def test_a_worker_hears_at_its_next_beat_that_it_shall_drain(under_test: AppUnderTest) -> None:
    here, there = presence(under_test, "here", "m1"), presence(under_test, "there", "m1")
    asked: list[str] = []
    here._drain, there._drain = lambda: asked.append("here"), lambda: asked.append("there")
    for each in (here, there):
        await each.tick()
    await ask_to_drain(under_test.broker, "there", under_test.clock.now_ms())
    for each in (here, there):
        await each.tick()
    assert asked == ["there"]
    await there.end()
    assert (await under_test.broker.perform(GetRecords((drain_key("there"),)))).records == (None,)
    with pytest.raises(WorkerNotFound):
        await ask_to_drain(under_test.broker, "there", under_test.clock.now_ms())


async def test_a_record_nobody_understands_is_left_alone(under_test: AppUnderTest) -> None:
    await under_test.broker.perform(PutRecords((Record(worker_key("future"), b'{"of": "a later version"}'),)))
    await passes(presence(under_test, "here", "m1"), 20)
    assert await owners(under_test) == ["here"]
    await under_test.broker.perform(DeleteRecords((worker_key("future"),)))


class Away:
    """A broker whose store can be away."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.is_away = False

    async def perform(self, operation: Any) -> Any:
        if self.is_away:
            raise StoreUnavailable("The store is away.")
        return await self._broker.perform(operation)

    async def aclose(self) -> None: ...


@asynccontextmanager
async def sibling(
    under_test: AppUnderTest, machine: str
) -> AsyncIterator[tuple["subprocess.Popen[bytes]", WorkerRecord]]:
    """Have a process on this machine that says it is a worker."""
    process = subprocess.Popen(  # noqa: ASYNC220  (it is short)
        [sys.executable, "-c", "import time; time.sleep(60)"]
    )
    try:
        record = WorkerRecord("sibling", machine, process.pid, 0, ("jobs",), 1, 1, start_of(process.pid))
        await put(under_test, record)
        yield process, record
    finally:
        process.kill()
        process.wait()


async def put(under_test: AppUnderTest, record: WorkerRecord) -> None:
    await under_test.broker.perform(PutRecords((Record(worker_key(record.owner), encode_worker(record)),)))
