"""Leases of running jobs, by the clock of the worker alone: whatever another machine's clock says."""

import asyncio

import pytest

from penstock.testing.clock import ManualClock
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App
from penstock.worker.records import Status
from tests.worker.live import until

HOUR_MS = 3_600_000


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, 0, HOUR_MS])
async def test_a_worker_whose_clock_is_wrong_keeps_its_jobs(app: App, under_test: AppUnderTest, ahead_ms: int) -> None:
    is_open, starts = asyncio.Event(), []

    @app.task
    async def long() -> str:
        starts.append(True)
        await is_open.wait()
        return "done"

    job = await long.asend()
    app.clock = wrong = ManualClock(under_test.clock.now_ms() + ahead_ms)
    worker = under_test.worker()
    running = asyncio.create_task(worker.run())
    await until(lambda: starts)
    for _ in range(60):  # two leases
        under_test.clock.advance(1)
        wrong.advance(1)
        await worker._tending.tend()
    assert await job.status() is Status.RUNNING
    (held,) = worker.held.values()
    assert held.context is not None
    assert not held.context.lease_lost
    is_open.set()
    await running
    assert await job.result(0) == "done"
    assert len(starts) == 1
