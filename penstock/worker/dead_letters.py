"""The dead letters of a queue of jobs: why they failed, grouped by cause; back to their queue, or away."""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.errors import InvalidRequest, QueueNotFound
from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView
from penstock.core.operations import DeleteMessages, GetRecords, Peek, PutRecords
from penstock.worker.envelope import unseal
from penstock.worker.queues import dead_letters_of
from penstock.worker.records import Failure, JobRecord, from_record, job_key, to_record
from penstock.worker.redriving import redrive
from penstock.worker.runtime import Runtime

T = TypeVar("T")

AT_ONCE = 500
EXAMPLES = 10
NO_REASON = Failure("Unknown", "no reason was kept")
PLACE = re.compile(r'File "([^"]+)", line \d+, in (\S+)')


class DeadJob(Struct, frozen=True):
    """A job that failed for good.

    Attributes:
        job_id, task: what it was.
        failed_at: when its last attempt ended (ms since the epoch), if known.
        attempts: how many it had.
        failure: why the last one failed.
        cause: names what it has in common with others: the kind of the error and the place where it was raised.
        place: that place; the task where it is not known.
    """

    job_id: str
    task: str
    failed_at: int | None
    attempts: int
    failure: Failure
    cause: str
    place: str


class Cause(Struct, frozen=True):
    """Why jobs failed.

    Attributes:
        cause: names it, in eight characters.
        kind, place: of the error.
        count: how many jobs failed so.
        tasks: of these tasks.
        first_failed_at, last_failed_at: when (ms since the epoch).
        message: what the latest error said.
        job_ids: some of the jobs.
    """

    cause: str
    kind: str
    place: str
    count: int
    tasks: tuple[str, ...]
    first_failed_at: int | None
    last_failed_at: int | None
    message: str
    job_ids: tuple[str, ...]


class AsyncDeadLetters:
    """The dead letters of one queue, for async code; ``DeadLetters`` does the same for all other.

    Args:
        app: whose queue it is.
        queue: the queue of jobs, not that of its dead letters.
    """

    def __init__(self, app: Runtime, queue: str) -> None:
        self._app = app
        self.queue = queue
        self.dead_queue = dead_letters_of(queue)

    async def list(self, *, cause: str | None = None, task: str | None = None, limit: int = 100) -> tuple[DeadJob, ...]:
        """Return dead jobs in the order in which they died, those of a cause or a task if one is given."""

        async def work(broker: Broker) -> tuple[DeadJob, ...]:
            found = []
            async for job in self._scan(broker, cause, task):
                found.append(job)
                if len(found) == limit:
                    break
            return tuple(found)

        return await self._app.portal.arun(work)

    async def causes(self) -> tuple[Cause, ...]:
        """Return why jobs failed, the most frequent cause first. Looks at all of them."""

        async def work(broker: Broker) -> tuple[Cause, ...]:
            groups: dict[str, _Group] = {}
            async for job in self._scan(broker, None, None):
                groups.setdefault(job.cause, _Group()).add(job)
            return tuple(sorted((each.cause() for each in groups.values()), key=lambda cause: -cause.count))

        return await self._app.portal.arun(work)

    async def retry(
        self,
        job_ids: Sequence[str] | None = None,
        *,
        cause: str | None = None,
        task: str | None = None,
        rate_per_second: int | None = None,
        waits: bool = True,
    ) -> int:
        """Send dead jobs back to their queue, each with its id and all its attempts before it.

        Args:
            job_ids, cause, task: which; all conditions that are given must hold. None given: all.
            rate_per_second: how many each second at most.
            waits: until they are back. If not, the store carries it out; chosen by cause they are waited for anyway.

        Returns:
            How many went back; without waiting, 0.

        Raises:
            InvalidRequest: the rate is not positive.
        """
        if rate_per_second is not None and rate_per_second < 1:
            raise InvalidRequest("A rate is at least 1 a second.", field="rate_per_second")

        async def work(broker: Broker) -> int:
            chosen: Sequence[str] | None = job_ids
            if cause is not None:
                among = None if job_ids is None else set(job_ids)
                found = [job.job_id async for job in self._scan(broker, cause, task)]
                chosen = [each for each in found if among is None or each in among]
            moved = 0
            for wanted in _filters(chosen, task):
                must_wait = waits or cause is not None
                try:
                    move = await redrive(
                        broker, self.dead_queue, wanted, rate_per_second=rate_per_second, waits=must_wait
                    )
                except QueueNotFound:
                    return 0
                moved += move.moved_count
            return moved

        return await self._app.portal.arun(work)

    async def delete(
        self, job_ids: Sequence[str] | None = None, *, cause: str | None = None, task: str | None = None
    ) -> int:
        """Forget dead jobs; how they ended is known for as long as a result would be.

        Args:
            job_ids, cause, task: which; all conditions that are given must hold.

        Returns:
            How many there were.

        Raises:
            InvalidRequest: no condition is given; ``penstock queue purge`` forgets everything.
        """
        if job_ids is None and cause is None and task is None:
            raise InvalidRequest("Say which dead jobs to delete.", hint="By job_ids, cause or task.")
        among = None if job_ids is None else set(job_ids)

        async def work(broker: Broker) -> int:
            doomed = [
                job.job_id async for job in self._scan(broker, cause, task) if among is None or job.job_id in among
            ]
            for start in range(0, len(doomed), AT_ONCE):
                await self._forget(broker, doomed[start : start + AT_ONCE])
            return len(doomed)

        return await self._app.portal.arun(work)

    async def _forget(self, broker: Broker, job_ids: Sequence[str]) -> None:
        await broker.perform(DeleteMessages(tuple(job_ids), queue=self.dead_queue))
        kept = (await broker.perform(GetRecords(tuple(map(job_key, job_ids))))).records
        expires_at = self._app.clock.now_ms() + self._app.result_ms
        records = [
            to_record(job_id, job, expires_at)
            for job_id, record in zip(job_ids, kept, strict=True)
            if (job := from_record(record)) is not None
        ]
        if records:
            await broker.perform(PutRecords(tuple(records)))

    async def _scan(self, broker: Broker, cause: str | None, task: str | None) -> AsyncIterator[DeadJob]:
        wanted = _of_task(task) or MessageFilter()
        after: int | None = 0
        while after is not None:
            try:
                page = await broker.perform(Peek(self.dead_queue, wanted, after=after, limit=AT_ONCE))
            except QueueNotFound:
                return
            keys = tuple(job_key(message.message_id) for message in page.messages)
            records = (await broker.perform(GetRecords(keys))).records if keys else ()
            for message, record in zip(page.messages, records, strict=True):
                job = dead_job(message, from_record(record))
                if cause is None or job.cause == cause:
                    yield job
            after = page.next_after


class DeadLetters:
    """The dead letters of one queue; each method is that of ``AsyncDeadLetters``, and waits."""

    def __init__(self, letters: AsyncDeadLetters, app: Runtime) -> None:
        self._async = letters
        self._app = app

    def list(self, *, cause: str | None = None, task: str | None = None, limit: int = 100) -> tuple[DeadJob, ...]:
        """Return dead jobs; see ``AsyncDeadLetters.list``."""
        return self._run(self._async.list(cause=cause, task=task, limit=limit))

    def causes(self) -> tuple[Cause, ...]:
        """Return why jobs failed, the most frequent cause first."""
        return self._run(self._async.causes())

    def retry(
        self,
        job_ids: Sequence[str] | None = None,
        *,
        cause: str | None = None,
        task: str | None = None,
        rate_per_second: int | None = None,
        waits: bool = True,
    ) -> int:
        """Send dead jobs back to their queue; see ``AsyncDeadLetters.retry``."""
        return self._run(
            self._async.retry(job_ids, cause=cause, task=task, rate_per_second=rate_per_second, waits=waits)
        )

    def delete(self, job_ids: Sequence[str] | None = None, *, cause: str | None = None, task: str | None = None) -> int:
        """Forget dead jobs; see ``AsyncDeadLetters.delete``."""
        return self._run(self._async.delete(job_ids, cause=cause, task=task))

    def _run(self, asked: Coroutine[Any, Any, T]) -> T:
        return self._app.portal.run(lambda _: asked)


def dead_job(message: MessageView, record: JobRecord | None) -> DeadJob:
    """Return what is known of a dead letter."""
    try:
        task = unseal(message.body).task
    except InvalidRequest:
        task = ""
    failure = (record.failure if record is not None else None) or NO_REASON
    frames = PLACE.findall(failure.traceback)
    place = f"{'/'.join(frames[-1][0].split('/')[-2:])}:{frames[-1][1]}" if frames else task
    cause = hashlib.sha256(f"{failure.kind}\n{place}".encode()).hexdigest()[:8]
    return DeadJob(
        message.message_id,
        task,
        record.finished_at if record is not None else None,
        record.attempts if record is not None else message.receive_count,
        failure,
        cause,
        place,
    )


class _Group:
    """Jobs of one cause."""

    def __init__(self) -> None:
        self._latest: DeadJob | None = None
        self._first_at: int | None = None
        self._tasks: set[str] = set()
        self._job_ids: list[str] = []
        self._count = 0

    def add(self, job: DeadJob) -> None:
        self._count += 1
        self._tasks.add(job.task)
        if len(self._job_ids) < EXAMPLES:
            self._job_ids.append(job.job_id)
        at = job.failed_at or 0
        self._first_at = job.failed_at if self._first_at is None else min(self._first_at, at or self._first_at)
        if self._latest is None or at >= (self._latest.failed_at or 0):
            self._latest = job

    def cause(self) -> Cause:
        latest = self._latest
        assert latest is not None
        return Cause(
            latest.cause,
            latest.failure.kind,
            latest.place,
            self._count,
            tuple(sorted(self._tasks)),
            self._first_at,
            latest.failed_at,
            latest.failure.message,
            tuple(self._job_ids),
        )


def _of_task(task: str | None) -> MessageFilter | None:
    return None if task is None else MessageFilter(json_path="task", json_value=json.dumps(task))


def _filters(job_ids: Sequence[str] | None, task: str | None) -> list[MessageFilter | None]:
    """Return the conditions of the moves that take these jobs."""
    of_task = _of_task(task)
    if job_ids is None:
        return [of_task]
    return [
        MessageFilter(
            message_ids=tuple(job_ids[start : start + AT_ONCE]),
            json_path=of_task.json_path if of_task else None,
            json_value=of_task.json_value if of_task else None,
        )
        for start in range(0, len(job_ids), AT_ONCE)
    ]
