"""The store goes away at any moment, and what was asked of it is neither lost nor done twice."""

import pytest

from penstock.core.errors import StoreUnavailable
from penstock.core.operations import GetRecords, Receive, Send, Settle
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Status, current_job
from tests.support.turns import until
from tests.worker.workers import Gate, working

OWN_ID = "018bcfe5-6800-7000-8000-0000000000ff"


async def test_a_job_that_cannot_be_sent_is_told_to_the_sender(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def run() -> None: ...

    with under_test.faults.store_away(), pytest.raises(StoreUnavailable):
        await run.asend()
    job = await run.asend()
    await under_test.run_until_idle()
    assert await job.status() is Status.SUCCEEDED


async def test_a_send_whose_answer_is_lost_may_be_repeated_under_its_id(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task
    def run() -> None:
        ran.append(None)

    sender = run.with_options(job_id=OWN_ID)
    await run.asend()  # the queue is there
    with under_test.faults.answers_lost(Send, times=1), pytest.raises(StoreUnavailable):
        await sender.asend()
    await sender.asend()
    await under_test.run_until_idle()
    assert len(ran) == 2


async def test_a_worker_goes_on_fetching_when_the_store_is_back(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def run() -> str:
        return "done"

    job = await run.asend()
    with under_test.faults.store_away(Receive) as trouble:
        async with working(under_test) as worker:
            await until(lambda: trouble.count > 0, "it tries")
            await until(lambda: not worker.is_ready, "it says that it cannot")
            trouble.end()
            await until(lambda: worker.is_ready, "it can again")
    assert await job.result(0) == "done"


async def test_an_end_is_settled_when_the_store_is_back_and_once(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task
    def run() -> str:
        ran.append(None)
        return "done"

    job = await run.asend()
    with under_test.faults.store_away(Settle, times=2) as trouble:
        await under_test.run_until_idle()
    assert trouble.count == 2
    assert await job.result(0) == "done"
    assert len(ran) == 1


async def test_an_end_whose_answer_is_lost_is_still_the_end(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task
    def run() -> str:
        ran.append(None)
        return "done"

    jobs = await run.asend_many([()] * 3)
    with under_test.faults.answers_lost(Settle, times=2) as trouble:
        await under_test.run_until_idle()
    assert trouble.count == 2
    assert [await job.result(0) for job in jobs] == ["done"] * 3
    assert len(ran) == 3


async def test_a_job_that_could_not_be_looked_at_comes_back(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def run() -> int:
        return current_job().attempt

    job = await run.asend()
    under_test.faults.worker_dies(job)
    await under_test.run_until_idle()
    under_test.clock.advance(30)
    with under_test.faults.store_away(GetRecords, times=1) as trouble:
        await under_test.run_until_idle()
    assert trouble.count == 1
    await under_test.run_until_idle(jumps=True)
    assert await job.status() is Status.SUCCEEDED


async def test_what_runs_while_the_store_is_away_goes_on(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()

    @app.task
    async def run() -> str:
        await gate.wait()
        return "done"

    job = await run.asend()
    async with working(under_test):
        await gate.until_reached()
        with under_test.faults.store_away() as trouble:
            under_test.clock.advance(12)
            await until(lambda: trouble.count > 0, "a renewal is tried")
        under_test.clock.advance(1)
        gate.open()
    assert await job.result(0) == "done"
