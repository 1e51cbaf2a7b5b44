"""Faults on purpose: a store that is away, answers that are lost, workers that die in the middle of a job."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from penstock.broker.contract import Broker
from penstock.core.errors import StoreUnavailable
from penstock.core.operations import Operation
from penstock.worker.context import JobContext
from penstock.worker.jobs import AsyncJob, Job
from penstock.worker.tasks import Task

Reply = TypeVar("Reply")
Which = Job[Any] | AsyncJob[Any] | Task[..., Any] | None


class WorkerDied(BaseException):
    """The worker is gone in the middle of a job: a test wanted it so. Nobody catches it, so nothing is settled."""


class Trouble:
    """What is wrong with the store for a while.

    Attributes:
        count: how many operations it has hit.
    """

    def __init__(self, operations: tuple[type[Operation[Any]], ...], times: int | None, *, is_done: bool) -> None:
        self.count = 0
        self._operations = operations or (Operation,)
        self._times = times
        self.is_done = is_done

    def end(self) -> None:
        """Let the store be well again."""
        self._times = self.count

    def hits(self, operation: Operation[Any]) -> bool:
        """Return whether an operation is hit, and count it."""
        if not isinstance(operation, self._operations) or self.count == self._times:
            return False
        self.count += 1
        return True


class Faults:
    """What goes wrong, and when. All of it may be called from any thread."""

    def __init__(self) -> None:
        self._troubles: list[Trouble] = []
        self._deaths: list[tuple[Which, bool]] = []

    @contextmanager
    def store_away(self, *operations: type[Operation[Any]], times: int | None = None) -> Iterator[Trouble]:
        """Let the store be away: operations that are begun meanwhile do not happen and raise ``StoreUnavailable``.

        Args:
            operations: only these kinds (from ``penstock.core.operations``); all, if none are named.
            times: only the next so many.
        """
        with self._trouble(Trouble(operations, times, is_done=False)) as trouble:
            yield trouble

    @contextmanager
    def answers_lost(self, *operations: type[Operation[Any]], times: int | None = None) -> Iterator[Trouble]:
        """Let operations happen but nobody hear of it: ``StoreUnavailable`` is raised after they did.

        Args:
            operations, times: as of ``store_away``.
        """
        with self._trouble(Trouble(operations, times, is_done=True)) as trouble:
            yield trouble

    def worker_dies(self, which: Which = None) -> None:
        """Let the worker die when it has begun the next attempt, before the function is called.

        The job stays in its hands until its lease ends; then somebody else runs it again.

        Args:
            which: the next attempt of this job, or of any job of this task; not given: of any.
        """
        self._deaths.append((which, False))

    def delivered_twice(self, which: Which = None) -> None:
        """Let the next attempt do all its work, and the worker die before it can say so.

        When its lease ends the job runs again: the repetition that at-least-once delivery speaks of.

        Args:
            which: as of ``worker_dies``.
        """
        self._deaths.append((which, True))

    # -- asked by what is faulty ---------------------------------------------------------------------------------------

    def trouble_of(self, operation: Operation[Any]) -> Trouble | None:
        """Return what keeps an operation from being performed and answered."""
        return next((trouble for trouble in self._troubles if trouble.hits(operation)), None)

    def death_in(self, context: JobContext) -> bool | None:
        """Return whether the worker dies in this attempt: ``None``: no, False: before its work, True: after it."""
        for death in self._deaths:
            which, does_work = death
            wanted = which.name if isinstance(which, Task) else which and which.id
            if wanted in (None, context.task if isinstance(which, Task) else context.job_id):
                self._deaths.remove(death)
                return does_work
        return None

    @contextmanager
    def _trouble(self, trouble: Trouble) -> Iterator[Trouble]:
        self._troubles.append(trouble)
        try:
            yield trouble
        finally:
            self._troubles.remove(trouble)


class FaultyBroker:
    """Performs what another broker does, when no fault is in the way.

    Args:
        broker: performs the operations; closed with this one.
        faults: what is in the way.
    """

    def __init__(self, broker: Broker, faults: Faults) -> None:
        self._broker = broker
        self._faults = faults

    async def perform(self, operation: Operation[Reply]) -> Reply:
        trouble = self._faults.trouble_of(operation)
        if trouble is None:
            return await self._broker.perform(operation)
        if trouble.is_done:
            await self._broker.perform(operation)
        raise StoreUnavailable("The store is away: the test wants it so.")

    async def aclose(self) -> None:
        await self._broker.aclose()
