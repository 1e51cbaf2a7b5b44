"""Calling a task's function, and telling from what it does how the attempt ended. The same in all kinds of slots."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

from msgspec import Raw

from penstock.worker.arguments import WrongArguments, encode_result
from penstock.worker.context import JobContext, enter
from penstock.worker.middleware import Middleware
from penstock.worker.outcomes import (
    Cancelled,
    Done,
    Failed,
    LeaseLost,
    Outcome,
    Stopped,
    TimeLimitExceeded,
    Unfinished,
    failure_of,
)
from penstock.worker.records import Failure
from penstock.worker.tasks import Task


class Attempt:
    """One run of a job, as whoever runs it needs it.

    Attributes:
        task: what to run.
        args: the arguments as JSON, results of other jobs among them.
        context: what the task sees of itself.
        middleware: what to enter around it.
    """

    __slots__ = ("args", "context", "middleware", "task")

    def __init__(
        self,
        task: Task[..., Any],
        args: Mapping[str, Raw],
        context: JobContext,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self.task = task
        self.args = args
        self.context = context
        self.middleware = middleware


def call(attempt: Attempt, run: Callable[[Callable[[], Any]], Any] | None = None) -> Outcome:
    """Run a sync attempt here and return how it ended. Raises nothing.

    Args:
        attempt: what to run.
        run: calls what it is given and returns what that returns; here it can be interrupted, and nowhere else.
    """
    try:
        args, kwargs = attempt.task.arguments.decode(attempt.args)
    except Exception as error:
        return _unfit(error)
    enter(attempt.context)

    def function() -> Any:
        if not attempt.middleware:
            return attempt.task.function(*args, **kwargs)
        with _entered(attempt):
            return attempt.task.function(*args, **kwargs)

    try:
        value = function() if run is None else run(function)
    except BaseException as error:
        return outcome_of(attempt, error)
    return _returned(attempt, value)


async def acall(attempt: Attempt) -> Outcome:
    """Await an async attempt here and return how it ended.

    Cancelled from outside it ends as its context says: called off, or no longer ours.
    """
    try:
        args, kwargs = attempt.task.arguments.decode(attempt.args)
    except Exception as error:
        return _unfit(error)
    enter(attempt.context)
    value: Any = None  # as it stays if middleware swallows what the function raises
    limit = attempt.task.options.time_limit_seconds
    # most tasks have no limit: a timeout that never comes costs as much as all else here
    time_is_up = None if limit is None else asyncio.timeout(limit)
    try:
        if time_is_up is None and not attempt.middleware:
            value = await attempt.task.function(*args, **kwargs)
        else:
            async with time_is_up or nullcontext():
                with _entered(attempt):
                    value = await attempt.task.function(*args, **kwargs)
    except TimeoutError as error:
        return outcome_of(attempt, _over(limit) if _has_expired(time_is_up) else error)
    except asyncio.CancelledError as error:
        # told to end a second time, after its time was up
        is_late = _has_expired(time_is_up) and attempt.context.reason is None
        return outcome_of(attempt, _over(limit) if is_late else error)
    except BaseException as error:
        return outcome_of(attempt, error)
    return _returned(attempt, value)


def outcome_of(attempt: Attempt, error: BaseException) -> Outcome:
    """Return how an attempt ended that raised something."""
    context = attempt.context
    if isinstance(error, Cancelled | asyncio.CancelledError) and context.is_cancelled:
        return Stopped()
    if isinstance(error, LeaseLost | asyncio.CancelledError) and context.lease_lost:
        return Unfinished()
    if isinstance(error, TimeLimitExceeded):
        error = _over(attempt.task.options.time_limit_seconds).with_traceback(error.__traceback__)
    return attempt.task.options.retry.decide(error, context.attempt, context.job_id)


def _has_expired(time_is_up: asyncio.Timeout | None) -> bool:
    return time_is_up is not None and time_is_up.expired()


def _over(limit: float | None) -> TimeLimitExceeded:
    return TimeLimitExceeded(f"it took longer than {limit:g} s" if limit is not None else "it took too long")


def _entered(attempt: Attempt) -> ExitStack:
    stack = ExitStack()
    for each in attempt.middleware:
        stack.enter_context(each.attempt(attempt.context))
    return stack


def _returned(attempt: Attempt, value: Any) -> Outcome:
    try:
        return Done(encode_result(value))
    except Exception as error:
        message = f"what {attempt.task.name} returned cannot be written as JSON ({error}); it did its work all the same"
        return Failed(Failure("ResultNotSerialisable", message))


def _unfit(error: Exception) -> Outcome:
    if isinstance(error, WrongArguments):
        hint = f" {error.problem.hint}" if error.problem.hint else ""
        return Failed(Failure("WrongArguments", f"{error}{hint}"))
    return Failed(failure_of(error))
