"""How an attempt ends, and whether and when there is another one: a pure function of the error and the policy."""

import traceback
import zlib
from collections.abc import Callable, Mapping
from datetime import timedelta

from msgspec import Raw, Struct

from penstock.core.errors import InvalidRequest
from penstock.worker.records import Failure

MOST_TRACEBACK_CHARACTERS = 16_000


class Retry(Exception):
    """Raise it in a task to end this attempt and ask for another one.

    Args:
        reason: why, for people.
        after: how long until then, in seconds or as a timedelta; not given: as the backoff of the task says.
    """

    def __init__(self, reason: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(reason)
        self.after_seconds = after.total_seconds() if isinstance(after, timedelta) else after


class Fail(Exception):
    """Raise it in a task when no attempt can ever succeed: the job fails now, with this reason."""


class Interrupted(BaseException):
    """An attempt is ended from outside. Like ``asyncio.CancelledError`` no ``Exception``, so that a task that catches
    all of those and goes on ends all the same; clean up in ``finally``."""


class TimeLimitExceeded(Interrupted):
    """An attempt took longer than its task allows."""


class Cancelled(Interrupted):
    """Somebody called the job off while it ran."""


class LeaseLost(Interrupted):
    """The job is no longer ours: its lease ended, or its worker stops, and another worker may be running it."""


class ProcessDied(Exception):
    """The process an attempt ran in ended by itself, or was killed by somebody else."""


class MemoryLimitExceeded(Exception):
    """An attempt used more memory than its task allows."""


class Backoff(Struct, frozen=True):
    """How long to wait before the next attempt: ``first_seconds``, then each time ``factor`` times as long.

    Attributes:
        first_seconds: before the second attempt.
        factor: how much longer each time; 1 keeps it constant.
        most_seconds: never longer than that.
        jitter: up to this share is taken off, so that jobs that failed together do not come back together. How much,
            depends on the job and the attempt, not on chance.
    """

    first_seconds: float = 1.0
    factor: float = 2.0
    most_seconds: float = 3600.0
    jitter: float = 0.25

    def seconds(self, attempt: int, job_id: str) -> float:
        """Return how long to wait after this attempt (from 1) has failed."""
        try:
            full = min(self.most_seconds, self.first_seconds * self.factor ** (attempt - 1))
        except OverflowError:
            full = self.most_seconds
        share = zlib.crc32(f"{job_id}/{attempt}".encode()) / 0xFFFFFFFF
        return full * (1 - self.jitter * share)


Errors = tuple[type[BaseException], ...]


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """Which failures get another attempt, and how many.

    Attributes:
        max_attempts: how many in all, the first included.
        backoff: how long until the next.
        only: nothing but these errors is tried again.
        never: these errors fail the job at once; goes before ``only``.
        after: errors that wait so many seconds instead of the backoff.
        when: asked last, with the error and the number of the attempt: whether to try again.
    """

    max_attempts: int = 10
    backoff: Backoff = Backoff()
    only: Errors = (BaseException,)
    never: Errors = ()
    after: Mapping[type[BaseException], float] = {}
    when: Callable[[BaseException, int], bool] | None = None

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise InvalidRequest("max_attempts is at least 1: it counts the first attempt.", field="max_attempts")

    def decide(self, error: BaseException, attempt: int, job_id: str) -> "RetryLater | Failed":
        """Return what becomes of a job whose attempt raised this error. A policy that raises itself fails the job."""
        failure = failure_of(error)
        try:
            if attempt >= self.max_attempts or not self._may_retry(error, attempt):
                return Failed(failure)
            return RetryLater(self._seconds(error, attempt, job_id), failure)
        except Exception as odd:
            odd.__context__ = error
            return Failed(failure_of(odd))

    def _may_retry(self, error: BaseException, attempt: int) -> bool:
        if isinstance(error, Retry):
            return True
        if isinstance(error, (Fail, *self.never)) or not isinstance(error, self.only):
            return False
        return self.when is None or self.when(error, attempt)

    def _seconds(self, error: BaseException, attempt: int, job_id: str) -> float:
        if isinstance(error, Retry) and error.after_seconds is not None:
            return max(0.0, error.after_seconds)
        for kind, seconds in self.after.items():
            if isinstance(error, kind):
                return seconds
        return self.backoff.seconds(attempt, job_id)


class Done(Struct, frozen=True, tag="done"):
    """It returned, and this is what, as JSON."""

    result: Raw


class RetryLater(Struct, frozen=True, tag="retry"):
    """The attempt failed; another one comes after so many seconds."""

    after_seconds: float
    failure: Failure


class Failed(Struct, frozen=True, tag="failed"):
    """The job failed for good."""

    failure: Failure


class Stopped(Struct, frozen=True, tag="stopped", omit_defaults=True):
    """It was called off, or what it needed failed: then ``failure`` says what."""

    failure: Failure | None = None


class Unfinished(Struct, frozen=True, tag="unfinished"):
    """The worker stopped before the job was done; somebody else runs it again, and nothing is counted against it."""


class Deferred(Struct, frozen=True, tag="deferred"):
    """It did not begin: it may not yet, and is to ask again after so many seconds. Nothing is counted."""

    after_seconds: float


Outcome = Done | RetryLater | Failed | Stopped | Unfinished | Deferred


def failure_of(error: BaseException) -> Failure:
    """Return an error as it is kept: without the frames of Penstock, and not longer than is of use."""
    kind = type(error).__qualname__
    try:
        message = str(error)
    except Exception as odd:  # an exception that cannot even be printed must not take the worker along
        message = f"<no text: {type(odd).__name__}>"
    lines = "".join(traceback.format_exception(type(error), error, _frames_of_the_task(error)))
    return Failure(kind, message[:MOST_TRACEBACK_CHARACTERS], lines[-MOST_TRACEBACK_CHARACTERS:])


def _frames_of_the_task(error: BaseException):  # type: ignore[no-untyped-def]
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_globals.get("__name__", "").startswith("penstock.worker."):
        frame = frame.tb_next
    return frame
