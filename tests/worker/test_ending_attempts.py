"""Attempts that end from outside: time limits and cancels, in threads and coroutines; and errors of any kind."""

import asyncio
import logging
import time

import pytest

from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, JobCancelled, JobFailed, Status, current_job
from penstock.worker.engine import in_loop, in_threads
from tests.worker.live import PATIENCE_SECONDS, at_work, nowhere, until


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_any_error_of_a_task_is_a_failed_attempt_and_the_worker_lives(
    app: App, under_test: AppUnderTest, kind: type[BaseException]
) -> None:
    @app.task(max_attempts=1)
    def sync_one() -> None:
        raise kind("odd")

    @app.task(max_attempts=1)
    async def async_one() -> None:
        raise kind("odd")

    @app.task
    def fine() -> int:
        return 1

    jobs = [await sync_one.asend(), await async_one.asend()]
    last = await fine.asend()
    await under_test.run_until_idle()
    for job in jobs:
        view = await job.look()
        assert view.status is Status.FAILED
        assert view.record is not None
        assert view.record.failure is not None
        assert view.record.failure.kind == kind.__name__
    assert await last.result(0) == 1


async def test_a_thread_is_ended_when_its_time_is_up_and_says_where_it_was() -> None:
    app = App(nowhere)

    @app.task(time_limit_seconds=0.1, max_attempts=1)
    def endless() -> None:
        while True:
            busy_line()

    def busy_line() -> None:
        time.sleep(0.001)

    async with at_work(app):
        job = await endless.asend()
        with pytest.raises(JobFailed, match=r"TimeLimitExceeded: it took longer than 0.1 s"):
            await job.result(PATIENCE_SECONDS)
        view = await job.look()
    assert view.record is not None
    assert view.record.failure is not None
    assert "endless" in view.record.failure.traceback


async def test_a_coroutine_is_ended_when_its_time_is_up() -> None:
    app = App(nowhere)

    @app.task(time_limit_seconds=0.1, max_attempts=1)
    async def endless() -> None:
        await asyncio.Event().wait()

    async with at_work(app):
        with pytest.raises(JobFailed, match=r"TimeLimitExceeded: it took longer than 0.1 s"):
            await (await endless.asend()).result(PATIENCE_SECONDS)


async def test_running_jobs_are_cancelled_in_threads_and_coroutines() -> None:
    app = App(nowhere)
    cleaned = []

    @app.task
    def in_thread() -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            cleaned.append("thread")

    @app.task
    def watching() -> str:
        assert current_job().wait_for_stop(PATIENCE_SECONDS)
        cleaned.append("watching")
        current_job().raise_if_stopped()
        return "not stopped"

    @app.task
    async def in_loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("loop")

    async with at_work(app) as worker:
        jobs = [await in_thread.asend(), await watching.asend(), await in_loop.asend()]
        await until(lambda: sum(held.running is not None for held in worker.held.values()) == 3)
        asked_at = time.monotonic()
        for job in jobs:
            assert await job.cancel()
        for job in jobs:
            with pytest.raises(JobCancelled):
                await job.result(PATIENCE_SECONDS)
        assert time.monotonic() - asked_at < 3
    assert sorted(cleaned) == ["loop", "thread", "watching"]


async def test_waiting_and_delayed_jobs_are_cancelled_and_never_run(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task
    def work(name: str) -> None:
        ran.append(name)

    waiting = await work.asend("waiting")
    delayed = await work.with_options(delay_seconds=60).asend("delayed")
    for job in (waiting, delayed):
        assert await job.cancel()
        assert await job.status() is Status.CANCELLED
    await under_test.fast_forward(120)
    assert ran == []


async def test_a_coroutine_that_swallows_its_cancel_is_told_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(in_loop, "PATIENCE_SECONDS", 0.05)
    app = App(nowhere)
    swallowed = []

    @app.task(time_limit_seconds=0.05, max_attempts=1)
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(True)
        await asyncio.Event().wait()

    async with at_work(app):
        with pytest.raises(JobFailed, match="TimeLimitExceeded"):
            await (await stubborn.asend()).result(PATIENCE_SECONDS)
    assert swallowed == [True]
    assert "swallows CancelledError" in caplog.text


async def test_a_thread_that_cannot_be_ended_keeps_its_lease_until_it_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(in_threads, "PATIENCE_SECONDS", 0.05)
    app = App(nowhere)
    app.queue("default", lease_seconds=1.2)
    starts = []

    @app.task(time_limit_seconds=0.05, max_attempts=1)
    def stuck() -> None:
        starts.append(time.monotonic())
        time.sleep(2.5)  # one call to C: nothing gets in

    async with at_work(app):
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(JobFailed, match="TimeLimitExceeded"),
        ):
            await (await stuck.asend()).result(PATIENCE_SECONDS)
    assert len(starts) == 1, "its lease ended while it ran"
    assert "goes on" in caplog.text


async def test_a_task_that_blocks_its_loop_does_not_cost_others_their_leases() -> None:
    app = App(nowhere)
    app.queue("default", lease_seconds=1.2)
    starts = []

    @app.task
    async def blocking() -> None:
        starts.append("blocking")
        time.sleep(2.5)  # noqa: ASYNC251  (that is the point)

    @app.task
    async def beside() -> None:
        starts.append("beside")

    @app.task
    def in_thread() -> None:
        starts.append("thread")
        time.sleep(2)

    async with at_work(app, slots=3):
        jobs = [await blocking.asend(), await beside.asend(), await in_thread.asend()]
        for job in jobs:
            await job.result(PATIENCE_SECONDS)
    assert sorted(starts) == ["beside", "blocking", "thread"]
