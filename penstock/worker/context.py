"""What a running job can ask and tell: who it is, how far it is, whether it should stop."""

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import msgspec
from msgspec import Raw

from penstock.core.errors import InvalidRequest
from penstock.worker.arguments import encode_result
from penstock.worker.outcomes import Cancelled, Interrupted, LeaseLost
from penstock.worker.records import NOTHING, Progress

Tell = Callable[["Progress | None", Raw], None]
"""Takes (progress, checkpoint) to the store, soon; callable from any thread."""


class JobContext:
    """The job that is running. All of it may be used from any thread.

    Attributes:
        job_id: the same in all attempts.
        task: name of the task.
        queue: where it came from.
        attempt: 1 for the first.
        max_attempts: how many it gets.
        key: the ordered key it was sent with.
        sent_at: when it was sent (ms since the epoch).
        deadline_at: when its time limit is over (ms since the epoch), if it has one.
        workflow_id: the workflow it belongs to, if it does.
        trace: what tracing handed on with it.
        reason: why it should stop, if it should.
    """

    __slots__ = (
        "_checkpoint",
        "_stop",
        "_tell",
        "attempt",
        "deadline_at",
        "job_id",
        "key",
        "max_attempts",
        "queue",
        "reason",
        "sent_at",
        "task",
        "trace",
        "workflow_id",
    )

    def __init__(
        self,
        *,
        job_id: str,
        task: str,
        queue: str,
        attempt: int,
        max_attempts: int,
        key: str | None = None,
        sent_at: int = 0,
        deadline_at: int | None = None,
        workflow_id: str | None = None,
        trace: dict[str, str] | None = None,
        checkpoint: Raw = NOTHING,
        tell: Tell | None = None,
    ) -> None:
        self.job_id = job_id
        self.task = task
        self.queue = queue
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.key = key
        self.sent_at = sent_at
        self.deadline_at = deadline_at
        self.workflow_id = workflow_id
        self.trace = trace or {}
        self._checkpoint = checkpoint
        self._tell = tell
        self._stop = threading.Event()
        self.reason: type[Interrupted] | None = None

    # -- should it stop? -----------------------------------------------------------------------------------------------

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody called the job off."""
        return self.reason is Cancelled

    @property
    def lease_lost(self) -> bool:
        """Whether the job is no longer ours: what it does from now on, another worker may be doing too."""
        return self.reason is LeaseLost

    def raise_if_stopped(self) -> None:
        """Raise ``Cancelled``, ``LeaseLost`` or ``TimeLimitExceeded`` if the job should stop. For long loops."""
        if self.reason is not None:
            raise self.reason(f"job {self.job_id}")

    def wait_for_stop(self, seconds: float) -> bool:
        """Sleep in a thread, but not on when the job should stop; return whether it should."""
        return self._stop.wait(seconds)

    def stop(self, reason: type[Interrupted]) -> None:
        """Tell the job to stop. The worker calls this."""
        if self.reason is None:
            self.reason = reason
            self._stop.set()

    # -- how far it is -------------------------------------------------------------------------------------------------

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Tell how far the job is. Written down within about a second, and only while the lease is held."""
        if self._tell is not None:
            self._tell(Progress(done, total, note), NOTHING)

    def save_checkpoint(self, value: Any) -> None:
        """Keep a value (anything JSON carries) for the next attempt, should this one not reach the end.

        Raises:
            InvalidRequest: JSON cannot carry it.
        """
        try:
            encoded = encode_result(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidRequest(f"The checkpoint cannot be written as JSON: {error}.", field="checkpoint") from None
        self._checkpoint = encoded
        if self._tell is not None:
            self._tell(None, encoded)

    @property
    def saved(self) -> Raw:
        """What was last saved, as JSON; empty if nothing was."""
        return self._checkpoint

    def tell(self, progress: "Progress | None", checkpoint: Raw) -> None:
        """Hand on what this job's context in another process was told."""
        if checkpoint:
            self._checkpoint = checkpoint
        if self._tell is not None:
            self._tell(progress, checkpoint)

    def checkpoint(self, default: Any = None, kind: Any = Any) -> Any:
        """Return what was last saved by this or an earlier attempt, as the given type, or ``default``."""
        if not self._checkpoint:
            return default
        return msgspec.json.decode(self._checkpoint, type=kind)


_current: ContextVar[JobContext] = ContextVar("penstock_job")


def current_job() -> JobContext:
    """Return the job this code runs in.

    Raises:
        InvalidRequest: it runs in none.
    """
    try:
        return _current.get()
    except LookupError:
        raise InvalidRequest("No job is running here.", hint="Call it inside a task that a worker runs.") from None


def running_job() -> JobContext | None:
    """Return the job this code runs in, if it does."""
    return _current.get(None)


def enter(context: JobContext) -> None:
    """Make a context the current one, for the rest of the calling contextvars context."""
    _current.set(context)
