"""Middleware: around every sending and every attempt, told of every settlement."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from msgspec import structs

from penstock.core.errors import InvalidRequest
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Fail, JobContext, JobFailed, Middleware, Status, current_job
from penstock.worker.envelope import Envelope
from penstock.worker.outcomes import Outcome


class Telling(Middleware):
    """Writes down what it sees."""

    def __init__(self, name: str, told: list[str]) -> None:
        self._name = name
        self._told = told

    def sending(self, envelope: Envelope) -> Envelope:
        self._told.append(f"{self._name} sending")
        return structs.replace(envelope, trace={**envelope.trace, self._name: "was here"})

    @contextmanager
    def attempt(self, job: JobContext) -> Iterator[None]:
        self._told.append(f"{self._name} in")
        try:
            yield
        except Exception as error:
            self._told.append(f"{self._name} saw {error}")
            raise
        finally:
            self._told.append(f"{self._name} out")

    def settled(self, job: JobContext, outcome: Outcome, seconds: float) -> None:
        self._told.append(f"{self._name} {type(outcome).__name__} of {job.task}, attempt {job.attempt}")


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_first_is_outermost_and_sees_what_the_function_raises(
    app: App, under_test: AppUnderTest, is_async: bool
) -> None:
    told: list[str] = []
    app.middleware += [Telling("a", told), Telling("b", told)]

    def run() -> dict[str, str]:
        told.append("run")
        if current_job().attempt == 1:
            raise ValueError("no")
        return current_job().trace

    async def arun() -> dict[str, str]:
        return run()

    task = app.task(name="run", max_attempts=2)(arun if is_async else run)
    job = await task.asend()
    await under_test.run_until_idle(jumps=True)
    around = ["a in", "b in", "run", "b saw no", "b out", "a saw no", "a out"]
    assert told[:9] == ["a sending", "b sending", *around]
    assert told[9:11] == ["a RetryLater of run, attempt 1", "b RetryLater of run, attempt 1"]
    assert told[11:16] == ["a in", "b in", "run", "b out", "a out"]
    assert told[16:] == ["a Done of run, attempt 2", "b Done of run, attempt 2"]
    assert await job.result(0) == {"a": "was here", "b": "was here"}, "the trace is handed on"


async def test_middleware_may_refuse_a_sending(app: App, under_test: AppUnderTest) -> None:
    class Refusing(Middleware):
        def sending(self, envelope: Envelope) -> Envelope:
            raise InvalidRequest("not today")

    app.middleware.append(Refusing())

    @app.task
    def run() -> None:
        raise AssertionError

    with pytest.raises(InvalidRequest, match="not today"):
        await run.asend()
    await under_test.run_until_idle()


async def test_middleware_may_end_an_attempt(app: App, under_test: AppUnderTest) -> None:
    class Strict(Middleware):
        @contextmanager
        def attempt(self, job: JobContext) -> Iterator[None]:
            raise Fail("not this one")
            yield

    app.middleware.append(Strict())

    @app.task
    def run() -> None:
        raise AssertionError

    job = await run.asend()
    await under_test.run_until_idle()
    with pytest.raises(JobFailed, match="Fail: not this one"):
        await job.result(0)


@pytest.mark.parametrize("is_async", [False, True])
async def test_middleware_that_swallows_an_error_leaves_no_result(
    app: App, under_test: AppUnderTest, is_async: bool
) -> None:
    class Swallowing(Middleware):
        @contextmanager
        def attempt(self, job: JobContext) -> Iterator[None]:
            with suppress(ValueError):
                yield

    app.middleware.append(Swallowing())

    def run() -> None:
        raise ValueError

    async def arun() -> None:
        raise ValueError

    job = await app.task(name="run")(arun if is_async else run).asend()
    await under_test.run_until_idle()
    assert await job.result(0) is None


async def test_middleware_that_fails_when_it_is_told_takes_nothing_along(app: App, under_test: AppUnderTest) -> None:
    class Odd(Middleware):
        def settled(self, job: JobContext, outcome: Outcome, seconds: float) -> None:
            raise RuntimeError

    app.middleware.append(Odd())

    @app.task
    def run() -> str:
        return "done"

    jobs = [await run.asend(), await run.asend()]
    await under_test.run_until_idle()
    assert [await job.status() for job in jobs] == [Status.SUCCEEDED] * 2
