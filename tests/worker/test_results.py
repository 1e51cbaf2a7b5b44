"""What jobs return, how long it is known, and what there is instead when there is nothing."""

import asyncio
import dataclasses

import pytest

from penstock.core.operations import FindRecords
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Fail, JobCancelled, JobFailed, JobUnknown, ResultNotReady, Status, current_job
from tests.worker.workers import working


@dataclasses.dataclass
class Sum:
    total: int


async def test_a_result_has_the_type_the_task_says(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def add(x: int, y: int) -> Sum:
        return Sum(x + y)

    job = await add.asend(2, 3)
    await under_test.run_until_idle()
    assert await job.result(0) == Sum(5)
    assert await app.async_job(job.id).result(0) == Sum(5)


async def test_a_result_of_a_task_unknown_here_is_plain_json(app: App, under_test: AppUnderTest) -> None:
    @app.task(name="elsewhere")
    def add(x: int, y: int) -> Sum:
        return Sum(x + y)

    job = await add.asend(2, 3)
    await under_test.run_until_idle()
    del app.tasks["elsewhere"]
    assert await job.result(0) == {"total": 5}  # type: ignore[comparison-overlap]


async def test_none_is_a_result(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def nothing() -> None: ...

    job = await nothing.asend()
    await under_test.run_until_idle()
    assert await job.result(0) is None


async def test_what_cannot_be_written_fails_the_job_though_its_work_is_done(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task
    def odd() -> object:
        ran.append(None)
        return object()

    job = await odd.asend()
    await under_test.run_until_idle(jumps=True)
    with pytest.raises(JobFailed, match=r"ResultNotSerialisable: .*it did its work"):
        await job.result(0)
    assert len(ran) == 1, "it is not done again"


async def test_a_result_is_known_for_as_long_as_the_app_says(app: App, under_test: AppUnderTest) -> None:
    app.result_seconds = 60

    @app.task
    def nothing() -> None: ...

    @app.task(result_seconds=120)
    def longer() -> None: ...

    one, other = await nothing.asend(), await longer.asend()
    await under_test.run_until_idle()
    under_test.clock.advance(60)
    assert await one.status() is Status.UNKNOWN
    with pytest.raises(JobUnknown):
        await one.result(0)
    assert await other.status() is Status.SUCCEEDED
    under_test.clock.advance(60)
    assert await other.status() is Status.UNKNOWN


async def test_nothing_is_kept_of_a_job_whose_result_nobody_wants(app: App, under_test: AppUnderTest) -> None:
    attempts: list[None] = []

    @app.task(result_seconds=0)
    async def unwanted() -> None:
        current_job().progress(1, 2)
        attempts.append(None)
        if len(attempts) == 1:
            raise ValueError("once more")

    job = await unwanted.asend()
    await under_test.run_until_idle(jumps=True)
    assert len(attempts) == 2
    assert await job.status() is Status.UNKNOWN
    kept = await under_test.broker.perform(FindRecords("job/"))
    assert kept.records == (), "neither the end nor what was written down of the first attempt"


async def test_a_job_that_has_not_ended_has_no_result_yet(app: App) -> None:
    @app.task
    def nothing() -> None: ...

    job = await nothing.asend()
    with pytest.raises(ResultNotReady, match="waiting"):
        await job.result(0)
    with pytest.raises(ResultNotReady):
        await job.result(0.01)


async def test_who_waits_for_a_result_gets_it(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    waiting = asyncio.create_task((await add.asend(2, 3)).result(10))
    async with working(under_test):
        assert await waiting == 5


async def test_a_failed_job_tells_why_with_the_traceback_of_the_task(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def broken() -> None:
        raise Fail("out of paper")

    job = await broken.asend()
    await under_test.run_until_idle()
    with pytest.raises(JobFailed, match="Fail: out of paper") as failed:
        await job.result(0)
    record = failed.value.view.record
    assert record is not None
    assert record.failure is not None
    assert 'raise Fail("out of paper")' in record.failure.traceback
    assert "penstock/worker" not in record.failure.traceback


async def test_a_job_called_off_has_no_result(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def nothing() -> None: ...

    job = await nothing.asend()
    assert await job.cancel()
    with pytest.raises(JobCancelled):
        await job.result(0)


async def test_nothing_is_kept_of_a_job_that_waits(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def nothing() -> None: ...

    await nothing.asend()
    assert (await under_test.broker.perform(FindRecords("job/"))).records == ()
