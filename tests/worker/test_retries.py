"""Which failures get another attempt, and when."""

import asyncio
from datetime import timedelta

import pytest

from penstock.core.errors import InvalidRequest
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Backoff, Fail, JobFailed, Retry, RetryPolicy, Status
from penstock.worker.outcomes import Failed, RetryLater

JOB = "018bcfe5-6800-7000-8000-0000000000ff"


class Strange(Exception):
    """Cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError


def _later(policy: RetryPolicy, error: BaseException, attempt: int = 1) -> float | None:
    """Return the seconds until the next attempt, ``None``: there is none."""
    outcome = policy.decide(error, attempt, JOB)
    assert isinstance(outcome, RetryLater | Failed)
    return outcome.after_seconds if isinstance(outcome, RetryLater) else None


STEADY = Backoff(first_seconds=5, factor=1, jitter=0)


def test_a_policy_names_what_is_tried_again() -> None:
    policy = RetryPolicy(only=(OSError,), never=(FileNotFoundError,), backoff=STEADY)
    assert _later(policy, ConnectionError()) == 5
    assert _later(policy, FileNotFoundError()) is None, "never goes before only"
    assert _later(policy, ValueError()) is None


def test_an_error_may_have_a_wait_of_its_own() -> None:
    policy = RetryPolicy(after={ConnectionError: 60, OSError: 30}, backoff=STEADY)
    assert _later(policy, ConnectionResetError()) == 60
    assert _later(policy, OSError()) == 30
    assert _later(policy, ValueError()) == 5


def test_a_function_may_decide() -> None:
    policy = RetryPolicy(when=lambda error, attempt: "busy" in str(error) and attempt < 3, backoff=STEADY)
    assert _later(policy, OSError("busy"), 2) == 5
    assert _later(policy, OSError("busy"), 3) is None
    assert _later(policy, OSError("gone")) is None


def test_a_task_that_asks_for_another_attempt_gets_it_until_none_is_left() -> None:
    policy = RetryPolicy(max_attempts=3, only=(OSError,), when=lambda error, attempt: False, backoff=STEADY)
    assert _later(policy, Retry()) == 5
    assert _later(policy, Retry(after=timedelta(minutes=2))) == 120
    assert _later(policy, Retry(after=-1)) == 0
    assert _later(policy, Retry(), 3) is None
    assert _later(policy, Fail()) is None


def test_there_is_at_least_one_attempt() -> None:
    assert _later(RetryPolicy(max_attempts=1), OSError()) is None
    with pytest.raises(InvalidRequest, match="max_attempts"):
        RetryPolicy(max_attempts=0)


def test_a_backoff_grows_to_its_ceiling_and_jitter_only_takes_off() -> None:
    backoff = Backoff(first_seconds=2, factor=3, most_seconds=100, jitter=0.25)
    full = [2, 6, 18, 54, 100, 100]
    for job in map(str, range(200)):
        for attempt, most in enumerate(full, 1):
            assert most * 0.75 <= backoff.seconds(attempt, job) <= most
    assert len({backoff.seconds(1, str(job)) for job in range(200)}) > 150, "jobs are spread"
    assert backoff.seconds(2, JOB) == backoff.seconds(2, JOB), "it does not depend on chance"
    assert Backoff(factor=1e9).seconds(10_000, JOB) <= 3600


def test_a_rule_that_fails_itself_fails_the_job_and_tells_of_both() -> None:
    def odd(error: BaseException, attempt: int) -> bool:
        raise KeyError("rule")

    outcome = RetryPolicy(when=odd).decide(OSError("busy"), 1, JOB)
    assert isinstance(outcome, Failed)
    assert outcome.failure.kind == "KeyError"
    assert "busy" in outcome.failure.traceback


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
@pytest.mark.parametrize("is_async", [False, True])
async def test_what_is_no_exception_of_the_usual_kind_takes_no_worker_along(
    app: App, under_test: AppUnderTest, error: BaseException, is_async: bool
) -> None:
    @app.task(max_attempts=2)
    def sync() -> None:
        raise error

    @app.task(max_attempts=2)
    async def coroutine() -> None:
        raise error

    @app.task
    def other() -> str:
        return "done"

    job, after = await (coroutine if is_async else sync).asend(), await other.asend()
    await under_test.run_until_idle(jumps=True)
    assert await after.result(0) == "done"
    with pytest.raises(JobFailed, match=type(error).__name__):
        await job.result(0)


async def test_an_error_that_cannot_be_printed_is_told_all_the_same(app: App, under_test: AppUnderTest) -> None:
    @app.task(max_attempts=1)
    def odd() -> None:
        raise Strange

    job = await odd.asend()
    await under_test.run_until_idle()
    with pytest.raises(JobFailed, match="Strange: <no text: RuntimeError>"):
        await job.result(0)


async def test_policies_of_a_task_are_kept_through_the_store(app: App, under_test: AppUnderTest) -> None:
    at = []

    policy = RetryPolicy(max_attempts=4, after={OSError: 7}, backoff=Backoff(100, jitter=0))

    @app.task(retry=policy, never_retry=(KeyError,))
    def fragile() -> None:
        at.append(under_test.clock.now_ms())
        raise [OSError("one"), ValueError("two"), KeyError("three")][len(at) - 1]

    began = under_test.clock.now_ms()
    job = await fragile.asend()
    await under_test.run_until_idle(jumps=True)
    assert [each - began for each in at] == [0, 7_000, 207_000]
    assert await job.status() is Status.FAILED
    with pytest.raises(JobFailed, match="KeyError"):
        await job.result(0)
