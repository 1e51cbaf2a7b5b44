"""Calling jobs off: before they run, between attempts, while they run."""

import pytest

from penstock.core.errors import StoreUnavailable
from penstock.core.operations import Cancel, FindRecords
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Backoff, Status, current_job
from penstock.worker.records import CANCEL_PREFIX
from tests.worker.workers import Gate, message_of, ticked, working

SOME_ID = "018bcfe5-6800-7000-8000-0000000000ff"


async def _marks(under_test: AppUnderTest) -> int:
    return len((await under_test.broker.perform(FindRecords(CANCEL_PREFIX))).records)


async def test_a_waiting_or_delayed_job_is_gone(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def never() -> None:
        raise AssertionError

    for job in (await never.asend(), await never.with_options(delay_seconds=60).asend()):
        assert await job.cancel()
        assert await job.status() is Status.CANCELLED
        assert await message_of(under_test, job.id) is None
        assert await job.cancel(), "calling it off again is harmless"
    await under_test.fast_forward(60)
    assert await _marks(under_test) == 0


async def test_a_job_between_two_attempts_is_gone(app: App, under_test: AppUnderTest) -> None:
    attempts = []

    @app.task(backoff=Backoff(first_seconds=10))
    def fragile() -> None:
        attempts.append(None)
        raise ConnectionError("not yet")

    job = await fragile.asend()
    await under_test.run_until_idle()
    assert await job.cancel()
    await under_test.run_until_idle(jumps=True)
    assert len(attempts) == 1
    view = await job.look()
    assert view.status is Status.CANCELLED
    assert view.record is not None
    assert view.record.failure is not None, "what went wrong before is not forgotten"
    assert await _marks(under_test) == 0


async def test_a_running_job_is_told_and_ends_cancelled(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()

    @app.task
    async def long() -> None:
        await gate.wait()
        current_job().raise_if_stopped()
        raise AssertionError

    job = await long.asend()
    async with working(under_test) as worker:
        await gate.until_reached()
        assert await job.cancel()
        assert await job.status() is Status.RUNNING, "it has not heard yet"
        await ticked(under_test, worker)
        held = worker.held[job.id]
        assert held.context is not None
        assert held.context.is_cancelled
        gate.open()
    assert await job.status() is Status.CANCELLED
    assert await message_of(under_test, job.id) is None
    assert await _marks(under_test) == 0


async def test_a_running_job_that_does_not_listen_ends_as_it_ends(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()

    @app.task
    async def deaf() -> str:
        await gate.wait()
        return "done"

    job = await deaf.asend()
    async with working(under_test) as worker:
        await gate.until_reached()
        await job.cancel()
        await ticked(under_test, worker)
        gate.open()
    assert await job.result(0) == "done"


async def test_a_job_called_off_while_its_worker_died_is_not_run_again(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def never() -> None:
        raise AssertionError

    job = await never.asend()
    under_test.faults.worker_dies(job)
    await under_test.run_until_idle()
    assert await job.cancel()
    await under_test.run_until_idle(jumps=True)
    assert await job.status() is Status.CANCELLED


async def test_what_has_ended_or_never_was_cannot_be_called_off(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def nothing() -> None: ...

    job = await nothing.asend()
    await under_test.run_until_idle()
    assert not await job.cancel()
    assert await job.status() is Status.SUCCEEDED
    assert not await app.async_job(SOME_ID).cancel()
    assert await _marks(under_test) == 0


async def test_a_call_off_while_the_store_is_away_changes_nothing(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def nothing() -> str:
        return "ran"

    job = await nothing.asend()
    with under_test.faults.store_away(Cancel), pytest.raises(StoreUnavailable):
        await job.cancel()
    assert await job.status() is Status.WAITING
