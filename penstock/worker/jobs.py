"""Jobs as their senders hold them: ask for status and result, call off. ``AsyncJob`` does it, ``Job`` waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from penstock.broker.contract import Broker
from penstock.core.effects import Effects, Record
from penstock.core.errors import InvalidRequest, PenstockError
from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView
from penstock.core.operations import Apply, Cancel, IdOutcome, PutRecords
from penstock.worker.endings import cancelled, ending
from penstock.worker.envelope import unseal
from penstock.worker.records import FINAL, JobRecord, Status, cancel_key, to_record
from penstock.worker.redriving import redrive
from penstock.worker.runtime import Runtime
from penstock.worker.status import JobView, is_blocking, look

R = TypeVar("R")
T = TypeVar("T")

SHORTEST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.25
CANCEL_KEPT_SECONDS = 86_400
"""How long a worker that is not heard of may still find out that its job was called off."""

UNKNOWN_SECONDS = 1.0
"""How long a job nobody knows may take to appear: it may be between its end and its record, never longer."""


class JobFailed(PenstockError):
    """The job failed for good; the message says why, ``view.record.failure`` has the traceback."""

    code = "job_failed"
    fault = "caller"

    def __init__(self, message: str, view: JobView) -> None:
        super().__init__(message)
        self.view = view


class JobCancelled(JobFailed):
    """The job was called off, or what it needed failed."""

    code = "job_cancelled"


class JobUnknown(JobFailed):
    """There is no such job, or what was known of it has expired."""

    code = "job_unknown"


class ResultNotReady(PenstockError):
    """The job had not ended when the time was over."""

    code = "result_not_ready"
    fault = "caller"


class AsyncJob(Generic[R]):
    """One job.

    Args:
        app: whose job it is.
        job_id: its id, which is its message's id.
        task: name of its task, where known: it says of which type the result is.
    """

    def __init__(self, app: Runtime, job_id: str, task: str | None = None) -> None:
        self.app = app
        self.id = job_id
        self._task = task

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    async def look(self) -> JobView:
        """Return all that is known of it."""

        async def work(broker: Broker) -> JobView:
            return (await look(broker, (self.id,)))[0]

        return await self.app.portal.arun(work)

    async def status(self) -> Status:
        """Return where it is in its life."""
        return (await self.look()).status

    async def result(self, timeout_seconds: float | None = None) -> R:
        """Wait until it has ended and return what it returned.

        Args:
            timeout_seconds: how long to wait; ``None``: for ever, 0: not at all.

        Raises:
            ResultNotReady: it had not ended by then.
            JobFailed, JobCancelled, JobUnknown: there is no result and will be none.
        """
        result: R = result_of(self.app, await self._ended(timeout_seconds))
        return result

    async def cancel(self) -> bool:
        """Call it off: a job that waits is gone, one that runs is told to stop.

        Returns:
            False: it has ended already, or nobody knows it.
        """

        async def work(broker: Broker) -> bool:
            view = (await look(broker, (self.id,)))[0]
            if view.message is None or (view.status in FINAL and not is_blocking(view.message, view.record)):
                return view.status is Status.CANCELLED
            now = self.app.clock.now_ms()
            # the mark first: if this process dies after it, the worker that gets the job drops it
            mark = Record(cancel_key(self.id), b"", expires_at=now + CANCEL_KEPT_SECONDS * 1000)
            await broker.perform(PutRecords((mark,)))
            outcome = (await broker.perform(Cancel((self.id,)))).outcomes[0]
            if outcome is IdOutcome.DONE:
                await broker.perform(Apply(self._end(view.message, view.record, now)))
            return True

        return await self.app.portal.arun(work)

    async def retry(self) -> bool:
        """Run it again, though it has failed for good: it goes from the dead letters back to its queue, with its id and
        all its attempts before it. Returns when it is there.

        Returns:
            False: it is no dead letter.
        """

        async def work(broker: Broker) -> bool:
            view = (await look(broker, (self.id,)))[0]
            if view.message is None or view.message.dead_letter_source is None:
                return False
            move = await redrive(broker, view.message.queue, MessageFilter(message_ids=(self.id,)))
            return move.moved_count > 0

        return await self.app.portal.arun(work)

    def _end(self, message: MessageView, record: JobRecord | None, now: int) -> Effects:
        try:
            envelope = unseal(message.body)
        except InvalidRequest:
            envelope = None
        record = record or JobRecord(envelope.task if envelope else "", message.queue)
        keep_ms = self.app.result_ms if envelope is None else envelope.kept_ms(self.app.result_ms)
        kept = to_record(self.id, cancelled(record, now), now + keep_ms) if keep_ms else None
        return ending(self.id, envelope, Status.CANCELLED, kept, was_known=True)

    async def _ended(self, timeout_seconds: float | None) -> JobView:
        clock = asyncio.get_running_loop().time
        until = None if timeout_seconds is None else clock() + timeout_seconds
        pause = SHORTEST_PAUSE_SECONDS
        unknown_since: float | None = None
        while True:
            view = await self.look()
            now = clock()
            if view.status is Status.UNKNOWN:
                unknown_since = now if unknown_since is None else unknown_since
                if now - unknown_since >= UNKNOWN_SECONDS:
                    return view
            elif view.status in FINAL:
                return view
            else:
                unknown_since = None
            if until is not None and now >= until:
                return view
            await asyncio.sleep(pause if until is None else min(pause, max(0.0, until - now)))
            pause = min(LONGEST_PAUSE_SECONDS, pause * 1.5)


class Job(Generic[R]):
    """One job, for code that is not async: the same as ``AsyncJob``, waiting for what it returns."""

    def __init__(self, job: AsyncJob[R]) -> None:
        self._job = job
        self.id = job.id

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def look(self) -> JobView:
        """Return all that is known of it."""
        return self._run(self._job.look())

    def status(self) -> Status:
        """Return where it is in its life."""
        return self._run(self._job.status())

    def result(self, timeout_seconds: float | None = None) -> R:
        """Wait until it has ended and return what it returned; see ``AsyncJob.result``."""
        return self._run(self._job.result(timeout_seconds))

    def cancel(self) -> bool:
        """Call it off; see ``AsyncJob.cancel``."""
        return self._run(self._job.cancel())

    def retry(self) -> bool:
        """Run it again, though it has failed for good; see ``AsyncJob.retry``."""
        return self._run(self._job.retry())

    def _run(self, asked: Coroutine[Any, Any, T]) -> T:
        return self._job.app.portal.run(lambda _: asked)


def result_of(app: Runtime, view: JobView) -> Any:
    """Return what a job returned. Raises ResultNotReady, JobFailed, JobCancelled, JobUnknown where that is nothing."""
    match view.status:
        case Status.SUCCEEDED:
            assert view.record is not None
            return app.decode_result(view.record.task, view.record.result) if view.record.result else None
        case Status.FAILED:
            raise JobFailed(f"Job {view.job_id} failed: {_reason(view.record)}", view)
        case Status.CANCELLED:
            raise JobCancelled(f"Job {view.job_id} was cancelled: {_reason(view.record)}", view)
        case Status.UNKNOWN:
            raise JobUnknown(f"Nothing is known of job {view.job_id}.", view)
    raise ResultNotReady(f"Job {view.job_id} is {view.status.value}.", hint="Wait longer.")


def _reason(record: JobRecord | None) -> str:
    return "no reason is known" if record is None or record.failure is None else str(record.failure)
