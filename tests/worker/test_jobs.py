"""A job from send to result, on every store."""

from uuid import UUID

import pytest

from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Backoff, Fail, JobFailed, Retry, Status
from penstock.worker.arguments import WrongArguments


async def test_a_job_runs_and_its_result_is_known(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def add(x: int, y: int = 1) -> int:
        return x + y

    job = await add.asend(2, y=3)
    assert await job.status() is Status.WAITING
    await under_test.run_until_idle()
    assert await job.status() is Status.SUCCEEDED
    assert await job.result(0) == 5


async def test_async_tasks_and_rich_types_go_round(app: App, under_test: AppUnderTest) -> None:
    @app.task
    async def echo(value: UUID, many: list[int], *rest: str, **named: float) -> tuple[UUID, int, float]:
        return value, sum(many) + len(rest), sum(named.values())

    some = UUID("018bcfe5-6800-7000-8000-000000000001")
    job = await echo.asend(some, [1, 2], "a", "b", c=1.5)
    await under_test.run_until_idle()
    assert await job.result(0) == (some, 5, 1.5)


async def test_a_wrong_call_fails_at_send(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    for call in ((1,), (1, "2"), (1, 2, 3)):
        with pytest.raises(WrongArguments, match="add"):
            await add.asend(*call)  # type: ignore[call-arg]
    await under_test.run_until_idle()


async def test_what_fails_is_tried_again_after_a_backoff(app: App, under_test: AppUnderTest) -> None:
    attempts = []

    @app.task(max_attempts=3, backoff=Backoff(first_seconds=10, jitter=0))
    def fragile() -> str:
        attempts.append(under_test.clock.now_ms())
        if len(attempts) < 3:
            raise ConnectionError("not yet")
        return "done"

    started = under_test.clock.now_ms()
    job = await fragile.asend()
    await under_test.run_until_idle()
    assert await job.status() is Status.RETRYING
    await under_test.run_until_idle(jumps=True)
    assert await job.result(0) == "done"
    assert [at - started for at in attempts] == [0, 10_000, 30_000]


async def test_a_job_without_attempts_left_is_a_dead_letter(app: App, under_test: AppUnderTest) -> None:
    @app.task(max_attempts=2)
    def broken() -> None:
        raise ValueError("always")

    job = await broken.asend()
    await under_test.run_until_idle(jumps=True)
    assert await job.status() is Status.FAILED
    view = await job.look()
    assert view.record is not None
    assert view.record.attempts == 2
    assert view.record.failure is not None
    assert "always" in view.record.failure.traceback
    assert view.message is not None
    assert view.message.queue == "default-dead"
    with pytest.raises(JobFailed, match="ValueError: always"):
        await job.result(0)


async def test_a_task_may_say_how_it_goes_on(app: App, under_test: AppUnderTest) -> None:
    attempts = []

    @app.task
    def later() -> str:
        attempts.append(under_test.clock.now_ms())
        if len(attempts) == 1:
            raise Retry("busy", after=120)
        return "done"

    @app.task
    def never() -> None:
        raise Fail("no use")

    one, other = await later.asend(), await never.asend()
    await under_test.run_until_idle(jumps=True)
    assert await one.result(0) == "done"
    assert attempts[1] - attempts[0] == 120_000
    assert await other.status() is Status.FAILED
