"""Who has lost a job cannot finish it, who works keeps it, and what takes its worker along is given up."""

import pytest

from penstock.core.operations import Settle
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Backoff, JobFailed, Retry, Status, current_job
from penstock.worker.queues import QueueDefinition
from tests.support.turns import until
from tests.worker.workers import Gate, message_of, ticked, working

LEASE_SECONDS = QueueDefinition(name="default").lease_seconds


async def test_the_lease_of_a_long_job_is_renewed_for_as_long_as_it_runs(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()

    @app.task
    async def long() -> int:
        await gate.wait()
        return current_job().attempt

    job = await long.asend()
    async with working(under_test) as worker:
        await gate.until_reached()
        held = worker.held[job.id]
        for _ in range(10):
            under_test.clock.advance(LEASE_SECONDS / 2)
            now = under_test.clock.now_ms()
            await until(lambda now=now: held.renewed_at == now, "the lease is renewed")  # type: ignore[misc]
            message = await message_of(under_test, job.id)
            assert message is not None
            assert message.visible_at == now + LEASE_SECONDS * 1000
        await under_test.run_until_idle()
        assert gate.reached == 1, "nobody else gets it"
        gate.open()
    assert await job.result(0) == 1


async def test_who_lost_a_job_is_told_and_cannot_finish_it(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()
    lost = []

    @app.task
    async def slow() -> int:
        attempt = current_job().attempt
        if attempt == 1:
            await gate.wait()
            lost.append(current_job().lease_lost)
        return attempt

    job = await slow.asend()
    async with working(under_test) as stale:
        await gate.until_reached()
        under_test.clock.advance(LEASE_SECONDS + 1)
        context = stale.held[job.id].context
        assert context is not None
        await until(lambda: context.lease_lost, "the job is told")
        await under_test.run_until_idle()
        assert await job.result(0) == 2
        gate.open()
    assert lost == [True]
    assert await job.result(0) == 2, "what the stale worker returned is not kept"


@pytest.mark.parametrize("ending", [Retry("again"), ValueError("broken")], ids=["retry", "failure"])
async def test_a_stale_failure_changes_nothing(app: App, under_test: AppUnderTest, ending: Exception) -> None:
    gates = [Gate(), Gate()]

    @app.task(max_attempts=2, backoff=Backoff(first_seconds=1000))
    async def slow() -> str:
        attempt = current_job().attempt
        await gates[attempt - 1].wait()
        if attempt == 1:
            raise ending
        return "done"

    job = await slow.asend()
    async with working(under_test, owner="stale") as stale:
        await gates[0].until_reached()
        under_test.clock.advance(LEASE_SECONDS + 1)
        async with working(under_test, owner="other"):
            await gates[1].until_reached()
            gates[0].open()
            await until(lambda: not stale.held, "the stale worker let go")
            assert await job.status() is Status.RUNNING
            gates[1].open()
    assert await job.result(0) == "done"
    record = (await job.look()).record
    assert record is not None
    assert (record.worker, record.attempts) == ("other", 2)


async def test_stale_news_are_not_written_down(app: App, under_test: AppUnderTest) -> None:
    gates = [Gate(), Gate()]

    @app.task
    async def slow() -> None:
        job = current_job()
        await gates[job.attempt - 1].wait()

    job = await slow.asend()
    async with working(under_test, owner="stale") as stale:
        await gates[0].until_reached()
        context = stale.held[job.id].context
        assert context is not None
        under_test.clock.advance(LEASE_SECONDS + 1)
        async with working(under_test, owner="other"):
            await gates[1].until_reached()
            context.progress(1, 1, "stale")
            context.save_checkpoint("stale")
            await ticked(under_test, stale)
            assert (await job.look()).record is None
            for gate in gates:
                gate.open()


async def test_a_job_whose_worker_died_runs_again_when_its_lease_ends(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def attempt() -> int:
        return current_job().attempt

    job = await attempt.asend()
    under_test.faults.worker_dies(job)
    await under_test.run_until_idle()
    assert await job.status() is Status.RUNNING
    await under_test.fast_forward(LEASE_SECONDS - 1)
    assert await job.status() is Status.RUNNING
    await under_test.fast_forward(1)
    assert await job.result(0) == 2


async def test_what_takes_its_worker_along_again_and_again_is_given_up(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task(crash_limit=2)
    def deadly() -> None:
        ran.append(None)

    @app.task
    def other() -> str:
        return "done"

    job, harmless = await deadly.asend(), await other.asend()
    for _ in range(2):
        under_test.faults.delivered_twice(deadly)
    await under_test.run_until_idle(jumps=True)
    assert len(ran) == 2
    with pytest.raises(JobFailed, match=r"WorkerLost: .*2 times"):
        await job.result(0)
    message = await message_of(under_test, job.id)
    assert message is not None
    assert message.queue == "default-dead"
    assert await harmless.result(0) == "done"


async def test_failures_and_crashes_are_counted_apart_and_numbered_together(app: App, under_test: AppUnderTest) -> None:
    attempts = []

    @app.task(crash_limit=2, max_attempts=10)
    def fragile() -> str:
        attempts.append(current_job().attempt)
        if len(attempts) < 3:
            under_test.faults.worker_dies()
            raise ConnectionError
        return "done"

    job = await fragile.asend()
    under_test.faults.worker_dies()
    await under_test.run_until_idle(jumps=True)
    assert await job.result(0) == "done", "never two crashes in a row"
    assert attempts == [2, 4, 6]


async def test_a_lease_that_cannot_be_renewed_in_time_is_given_up(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()

    @app.task
    async def long() -> int:
        await gate.wait()
        return current_job().attempt

    job = await long.asend()
    async with working(under_test) as worker:
        await gate.until_reached()
        context = worker.held[job.id].context
        assert context is not None
        with under_test.faults.store_away(Settle) as trouble:
            under_test.clock.advance(LEASE_SECONDS / 2)
            await until(lambda: trouble.count > 0, "a renewal is tried")
            assert not context.lease_lost
            under_test.clock.advance(LEASE_SECONDS / 2)
            await until(lambda: context.lease_lost, "it gives up")
        gate.open()
