"""What a running job tells and finds again: progress and checkpoints, also after a retry and a crash."""

import pytest

from penstock.core.errors import InvalidRequest
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Backoff, Fail, Retry, Status, current_job
from penstock.worker.jobs import AsyncJob
from penstock.worker.records import JobRecord
from tests.worker.workers import Gate, ticked, working


async def _record(job: AsyncJob[object]) -> JobRecord:
    record = (await job.look()).record
    assert record is not None
    return record


async def test_progress_is_seen_while_the_job_runs(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()

    @app.task
    async def copy() -> None:
        current_job().progress(3, 10, "copying")
        await gate.wait()

    job = await copy.asend()
    async with working(under_test) as worker:
        await gate.until_reached()
        assert (await job.look()).record is None, "a job that tells nothing costs no writing"
        await ticked(under_test, worker)
        progress = (await _record(job)).progress
        assert progress is not None
        assert (progress.done, progress.total, progress.note) == (3, 10, "copying")
        assert await job.status() is Status.RUNNING
        gate.open()
    assert await job.status() is Status.SUCCEEDED


async def test_a_checkpoint_survives_a_retry(app: App, under_test: AppUnderTest) -> None:
    began_at = []

    @app.task(backoff=Backoff(first_seconds=1, jitter=0))
    def count() -> int:
        job = current_job()
        at = job.checkpoint(0, int)
        began_at.append(at)
        job.save_checkpoint(at + 10)
        job.progress(at + 10)
        if at < 20:
            raise Retry
        return at + 10

    job = await count.asend()
    await under_test.run_until_idle()
    assert (await _record(job)).progress is not None
    await under_test.run_until_idle(jumps=True)
    assert await job.result(0) == 30
    assert began_at == [0, 10, 20]


async def test_a_checkpoint_survives_the_worker(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()
    began_at = []

    @app.task
    async def count() -> int:
        job = current_job()
        began_at.append(job.checkpoint(0))
        job.save_checkpoint(50)
        await gate.wait()
        return job.attempt

    job = await count.asend()
    under_test.faults.delivered_twice(job)
    async with working(under_test) as worker:
        await gate.until_reached()
        await ticked(under_test, worker)
        gate.open()
    assert await job.status() is Status.RUNNING, "nobody knows yet that it is in nobody's hands"
    await under_test.run_until_idle(jumps=True)
    assert began_at == [0, 50]
    assert await job.result(0) == 2


async def test_a_failed_job_keeps_its_progress(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def half() -> None:
        current_job().progress(0.5)
        raise Fail

    job = await half.asend()
    await under_test.run_until_idle()
    progress = (await _record(job)).progress
    assert progress is not None
    assert progress.done == 0.5


async def test_a_checkpoint_that_json_cannot_carry_is_refused(app: App, under_test: AppUnderTest) -> None:
    @app.task(max_attempts=1)
    def odd() -> str:
        with pytest.raises(InvalidRequest, match="checkpoint"):
            current_job().save_checkpoint(object())
        return "went on"

    job = await odd.asend()
    await under_test.run_until_idle()
    assert await job.result(0) == "went on"


async def test_a_job_knows_itself(app: App, under_test: AppUnderTest) -> None:
    @app.task(name="who", max_attempts=7, time_limit_seconds=60)
    def who() -> list[object]:
        job = current_job()
        return [job.job_id, job.task, job.queue, job.attempt, job.max_attempts, job.key, job.sent_at, job.deadline_at]

    now = under_test.clock.now_ms()
    job = await who.with_options(key="order:1").asend()
    under_test.clock.advance(5)
    await under_test.run_until_idle()
    assert await job.result(0) == [job.id, "who", "default", 1, 7, "order:1", now, now + 65_000]


def test_outside_a_job_there_is_no_current_one() -> None:
    with pytest.raises(InvalidRequest, match="No job"):
        current_job()
