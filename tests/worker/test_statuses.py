"""The statuses of a job through its life."""

from penstock.core.effects import Arrival, Effects, FollowUp, Join
from penstock.core.messages import Draft
from penstock.core.operations import Apply
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Backoff, Retry, Status
from penstock.worker.envelope import Envelope, seal
from penstock.worker.queues import QueueDefinition, ensure
from tests.worker.workers import Gate, working

SOME_ID = "018bcfe5-6800-7000-8000-0000000000ff"


async def test_a_job_is_waiting_then_running_then_succeeded(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()

    @app.task
    async def held_up() -> int:
        await gate.wait()
        return 7

    job = await held_up.asend()
    assert await job.status() is Status.WAITING
    async with working(under_test):
        await gate.until_reached()
        assert await job.status() is Status.RUNNING
        gate.open()
    assert await job.status() is Status.SUCCEEDED


async def test_a_delayed_job_is_waiting_when_its_time_has_come(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def nothing() -> None: ...

    job = await nothing.with_options(delay_seconds=60).asend()
    assert await job.status() is Status.DELAYED
    await under_test.run_until_idle()
    assert await job.status() is Status.DELAYED
    under_test.clock.advance(60)
    assert await job.status() is Status.WAITING


async def test_between_two_attempts_a_job_is_retrying_also_when_the_backoff_is_over(
    app: App, under_test: AppUnderTest
) -> None:
    gate = Gate()

    @app.task(backoff=Backoff(first_seconds=10, jitter=0))
    async def fragile() -> None:
        if gate.reached:
            await gate.wait()
        gate.reached += 1
        raise Retry

    job = await fragile.asend()
    await under_test.run_until_idle()
    assert await job.status() is Status.RETRYING
    under_test.clock.advance(10)
    assert await job.status() is Status.RETRYING
    async with working(under_test):
        await gate.until_reached(2)
        assert await job.status() is Status.RUNNING
        gate.open()


async def test_a_job_that_a_join_holds_is_blocked(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def nothing() -> None: ...

    await ensure(under_test.broker, QueueDefinition(name="default"))
    message = Draft(seal(Envelope(nothing.name)), message_id=SOME_ID)
    await under_test.broker.perform(Apply(Effects(joins=(Join("j", 1, FollowUp("default", message)),))))
    job = app.async_job(SOME_ID)
    assert await job.status() is Status.BLOCKED
    await under_test.broker.perform(Apply(Effects(arrivals=(Arrival("j", "part"),))))
    assert await job.status() is Status.WAITING


async def test_a_job_nobody_sent_is_unknown(app: App) -> None:
    assert await app.async_job(SOME_ID).status() is Status.UNKNOWN


async def test_what_is_known_of_a_job_tells_attempts_times_and_worker(app: App, under_test: AppUnderTest) -> None:
    attempts = []

    @app.task(backoff=Backoff(first_seconds=10, jitter=0))
    def fragile() -> str:
        attempts.append(None)
        if len(attempts) == 1:
            raise ConnectionError
        return "done"

    began = under_test.clock.now_ms()
    job = await fragile.asend()
    await under_test.run_until_idle(jumps=True)
    record = (await job.look()).record
    assert record is not None
    assert (record.attempts, record.started_at - began, record.finished_at) == (2, 10_000, began + 10_000)
    assert record.worker.count("/") == 2
    assert record.task == fragile.name
    assert record.failure is None
