"""Workers as processes: killed, drained, supervised. What they held runs elsewhere, soon, and nothing else suffers."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.worker import Status
from penstock.worker.engine.machine import start_of
from penstock.worker.presence import WorkerRecord, ask_to_drain, present_workers
from tests.support.work_process import PATIENCE_SECONDS, Command, Shop

pytestmark = pytest.mark.xdist_group("processes")

RECOVERY_SECONDS = 3


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path)
    try:
        yield shop
    finally:
        await shop.close()


async def gone(pid: int) -> None:
    """Return when a process has ended."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while start_of(pid) is not None:  # noqa: ASYNC110  (it is nobody's child here)
            await asyncio.sleep(0.01)


async def listening(server: Command, port: str) -> None:
    """Start a server and return when it listens."""
    await server.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", int(port))
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def present(shop: Shop, count: int) -> list[WorkerRecord]:
    """Return the workers when there are so many."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found := await shop.app.portal.arun(present_workers)) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def test_the_jobs_of_a_killed_worker_run_on_a_sibling_at_once(shop: Shop) -> None:
    workers = [await shop.work("--slots", "2") for _ in range(2)]
    jobs = await shop.task("held").asend_many([()] * 4)
    begun = await shop.noted("begun", 4)
    assert {pid for _, pid, *_ in begun} == {worker.pid for worker in workers}
    killed_at = time.time()
    await workers[0].kill()
    await asyncio.sleep(0.1)
    shop.gate.touch()
    again = [note for note in await shop.noted("begun", 6) if note[2] == 2]
    seconds = max(at for *_, at in again) - killed_at
    print(f"redelivered {seconds:.3f} s after SIGKILL")
    assert seconds < RECOVERY_SECONDS
    lost = {job for _, pid, _, job, _ in begun if pid == workers[0].pid}
    assert {(pid, job) for _, pid, _, job, _ in again} == {(workers[1].pid, job) for job in lost}
    for job in jobs:
        if job.id in lost:
            assert await job.result(PATIENCE_SECONDS) == "again"
    assert [each.pid for each in await present(shop, 1)] == [workers[1].pid]


async def test_who_comes_after_a_worker_that_died_alone_runs_its_jobs(shop: Shop) -> None:
    worker = await shop.work()
    await shop.task("held").asend()
    await shop.noted("begun")
    await worker.kill()
    started_at = time.time()
    await shop.work()
    seconds = (await shop.noted("begun", 2))[1][4] - started_at
    print(f"redelivered {seconds:.3f} s after the next worker was started")
    assert seconds < RECOVERY_SECONDS


async def test_a_supervisor_starts_another_worker_for_one_that_died(shop: Shop) -> None:
    supervisor = await shop.work("--processes", "2", "--slots", "1", ready="")
    await supervisor.said(" runs ", 2)
    jobs = await shop.task("held").asend_many([()] * 2)
    victim = (await shop.noted("begun", 2))[0]
    os.kill(victim[1], signal.SIGKILL)
    killed_at = time.time()
    again = (await shop.noted("begun", 3))[2]
    print(f"redelivered {again[4] - killed_at:.3f} s after SIGKILL of a supervised worker")
    assert again[3] == victim[3]
    assert again[4] - killed_at < RECOVERY_SECONDS
    await supervisor.said("died of SIGKILL")
    await present(shop, 2)
    shop.gate.touch()
    assert {await job.result(PATIENCE_SECONDS) for job in jobs} == {"again", "first"}
    supervisor.signal()
    assert await supervisor.ended() == 0


async def test_workers_end_with_their_supervisor_and_lose_nothing(shop: Shop) -> None:
    supervisor = await shop.work("--processes", "2", "--slots", "1", "--drain-seconds", "0.1", ready="")
    await supervisor.said(" runs ", 2)
    jobs = await shop.task("held").asend_many([()] * 2)
    workers = {pid for _, pid, *_ in await shop.noted("begun", 2)}
    supervisor.signal(signal.SIGKILL)
    for pid in workers:
        await gone(pid)
    assert "stopping at once" not in supervisor.text
    shop.gate.touch()
    await shop.work()
    for job in jobs:
        assert await job.result(PATIENCE_SECONDS) == "first", "they gave it back; nothing is counted against it"


async def test_the_processes_of_a_worker_end_with_it(shop: Shop) -> None:
    worker = await shop.work()
    await shop.task("apart").asend()
    ((_, pid, *_),) = await shop.noted("apart")
    assert pid != worker.pid
    await worker.kill()
    await gone(pid)


@pytest.mark.timeout(90)
async def test_a_job_that_kills_its_workers_is_given_up_and_takes_no_other_along(shop: Shop) -> None:
    poison = await shop.task("poison").asend()
    others = await shop.task("quick").asend_many([{"x": number} for number in range(20)])
    held = await shop.task("held").asend_many([(0.3,)] * 5)
    supervisor = await shop.work("--processes", "2", "--slots", "8", ready="")
    await supervisor.said("is given up")
    view = await poison.look()
    assert view.status is Status.FAILED
    assert view.record is not None
    assert view.record.failure is not None
    assert view.record.failure.kind == "WorkerLost"
    assert "3 times" in view.record.failure.message
    assert len(shop.notes("poison")) == 3
    assert [await job.result(PATIENCE_SECONDS) for job in others] == list(range(20))
    # those that ran beside it when it killed a worker ran again
    assert {await job.result(PATIENCE_SECONDS) for job in held} <= {"first", "again"}


async def test_a_drain_lets_jobs_end_and_gives_back_the_rest_at_once(shop: Shop) -> None:
    worker = await shop.work("--slots", "3", "--drain-seconds", "1")
    short = await shop.task("held").asend(0.5)
    await shop.noted("begun")
    rest = [await shop.task("held").asend(), await shop.task("stubborn").asend()]
    await shop.noted("begun", 2)
    await shop.noted("stubborn")
    worker.signal()
    asked_at = time.monotonic()
    waiting = await shop.task("quick").asend()
    assert await worker.ended() == 0
    assert time.monotonic() - asked_at < 5
    assert await short.result(0) == "first"
    for job in rest:
        view = await job.look()
        assert view.status in (Status.WAITING, Status.RETRYING)
        assert view.message is not None
        assert view.message.receive_count == 0, "nothing is counted against it"
    assert await waiting.status() is Status.WAITING
    assert await shop.app.portal.arun(present_workers) == []
    shop.gate.touch()
    await shop.work()
    assert await rest[0].result(PATIENCE_SECONDS) == "first"


async def test_a_second_signal_gives_everything_back_at_once(shop: Shop) -> None:
    worker = await shop.work("--drain-seconds", "60")
    jobs = [await shop.task(name).asend() for name in ("held", "stubborn", "apart")]
    await shop.noted("begun")
    await shop.noted("stubborn")
    await shop.noted("apart")
    worker.signal(signal.SIGINT)
    await worker.said("draining")
    asked_at = time.monotonic()
    worker.signal(signal.SIGINT)
    assert await worker.ended() == 130
    assert time.monotonic() - asked_at < 3
    for job in jobs:
        view = await job.look()
        assert view.message is not None
        assert (view.status, view.message.receive_count) == (Status.WAITING, 0)


async def test_a_supervisor_hands_signals_on(shop: Shop) -> None:
    supervisor = await shop.work("--processes", "2", "--drain-seconds", "60", ready="")
    await supervisor.said(" runs ", 2)
    await shop.task("stubborn").asend()
    await shop.noted("stubborn")
    supervisor.signal()
    await supervisor.said("draining", 3)
    supervisor.signal()
    assert await supervisor.ended() == 130


async def test_a_supervised_worker_that_is_sent_away_is_not_replaced(shop: Shop) -> None:
    supervisor = await shop.work("--processes", "2", ready="")
    first, second = await present(shop, 2)
    await shop.app.portal.arun(lambda broker: ask_to_drain(broker, first.owner, shop.app.clock.now_ms()))
    await supervisor.said("was drained on request and is not replaced")
    assert [each.owner for each in await present(shop, 1)] == [second.owner]
    await shop.app.portal.arun(lambda broker: ask_to_drain(broker, second.owner, shop.app.clock.now_ms()))
    assert await supervisor.ended() == 0


async def test_a_worker_waits_for_a_server_and_outlives_its_restart(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shop = Shop(tmp_path, f"http://127.0.0.1:{port}")
    server = Command(tmp_path, ("serve", "--port", port, "--store", f"sqlite:///{tmp_path}/server.db"))
    try:
        worker = await shop.work(ready="the store is away, waiting for it")
        await listening(server, port)
        assert await (await shop.task("quick").asend(1)).result(PATIENCE_SECONDS) == 1
        long = await shop.task("held").asend(1.5)
        await shop.noted("begun")
        await server.kill()
        await worker.said("no jobs can be fetched")
        await listening(server, port)
        assert await long.result(PATIENCE_SECONDS) == "first"
        assert await (await shop.task("quick").asend(2)).result(PATIENCE_SECONDS) == 2
        assert len(shop.notes("begun")) == 1
        worker.signal()
        assert await worker.ended() == 0
    finally:
        await shop.close()
        await server.kill()
