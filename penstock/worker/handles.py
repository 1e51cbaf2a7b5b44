"""What an app is asked for by name or id: jobs, workflows, ordered keys, dead letters; whether it is there or not."""

from collections.abc import AsyncIterator, Iterable
from functools import cached_property
from typing import Any

from penstock.worker.dead_letters import AsyncDeadLetters, DeadLetters
from penstock.worker.following import Change, follow, follow_all
from penstock.worker.jobs import AsyncJob, Job
from penstock.worker.keys import AsyncOrderedKey, OrderedKey, parked_keys
from penstock.worker.runtime import Runtime
from penstock.worker.schedules.schedules import AsyncSchedules, Schedules
from penstock.worker.workflows.graph import KEEP_SECONDS, Workflow
from penstock.worker.workflows.runs import AsyncWorkflowRun, WorkflowRun


class Handles(Runtime):
    """The part of an app that hands out what is in its store."""

    @cached_property
    def schedules(self) -> Schedules:
        """The schedules in the store, and those the code declares."""
        return Schedules(self.async_schedules, self)

    @cached_property
    def async_schedules(self) -> AsyncSchedules:
        """The same for async code."""
        return AsyncSchedules(self)

    def job(self, job_id: str) -> Job[Any]:
        """Return a job by its id, whether there is one or not."""
        return Job(self.async_job(job_id))

    def async_job(self, job_id: str) -> AsyncJob[Any]:
        """The same for async code."""
        return AsyncJob(self, job_id)

    def workflow(self, workflow_id: str | None = None, *, keep_seconds: float = KEEP_SECONDS) -> Workflow:
        """Begin a workflow: add steps to it, then send it; see ``Workflow``."""
        return Workflow(self, workflow_id, keep_seconds=keep_seconds)

    def workflow_run(self, workflow_id: str) -> WorkflowRun:
        """Return a workflow that was sent, by its id, whether there is one or not."""
        return WorkflowRun(self.async_workflow_run(workflow_id))

    def async_workflow_run(self, workflow_id: str) -> AsyncWorkflowRun:
        """The same for async code."""
        return AsyncWorkflowRun(self, workflow_id)

    def key(self, key: str, queue: str = "default") -> OrderedKey:
        """Return an ordered key of a queue, whether it has jobs or not."""
        return OrderedKey(self.async_key(key, queue))

    def async_key(self, key: str, queue: str = "default") -> AsyncOrderedKey:
        """The same for async code."""
        return AsyncOrderedKey(self, key, queue)

    def parked_keys(self, queue: str = "default") -> list[OrderedKey]:
        """Return the keys of a queue that wait until they are resumed."""
        return [OrderedKey(key) for key in self.portal.run(lambda broker: parked_keys(self, broker, queue))]

    async def async_parked_keys(self, queue: str = "default") -> list[AsyncOrderedKey]:
        """The same for async code."""
        return await self.portal.arun(lambda broker: parked_keys(self, broker, queue))

    def follow(self, job_ids: Iterable[str] | None = None) -> AsyncIterator[Change]:
        """Yield a change for each new status of some jobs, until all of them have ended; or of all jobs, for ever.

        async for change in app.follow([job.id for job in jobs]):
            print(f"{change.job.job_id} is {change.status}")
        """
        return follow_all(self) if job_ids is None else follow(self, job_ids)

    def dead_letters(self, queue: str = "default") -> DeadLetters:
        """Return the dead letters of a queue of jobs."""
        return DeadLetters(self.async_dead_letters(queue), self)

    def async_dead_letters(self, queue: str = "default") -> AsyncDeadLetters:
        """The same for async code."""
        return AsyncDeadLetters(self, queue)
