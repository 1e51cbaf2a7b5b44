"""Workflows as their senders hold them: ``AsyncWorkflowRun`` asks, calls off and retries; ``WorkflowRun`` waits."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, overload

from penstock.broker.contract import Broker
from penstock.core.errors import InvalidRequest
from penstock.core.operations import GetRecords
from penstock.worker.jobs import (
    LONGEST_PAUSE_SECONDS,
    SHORTEST_PAUSE_SECONDS,
    UNKNOWN_SECONDS,
    AsyncJob,
    Job,
    ResultNotReady,
    result_of,
)
from penstock.worker.records import FINAL, Status
from penstock.worker.runtime import Runtime
from penstock.worker.status import JobView, look
from penstock.worker.workflows.nodes import Node
from penstock.worker.workflows.records import FlowRecord, WorkflowView, flow_key, from_flow, job_id_of, status_of
from penstock.worker.workflows.restarting import cancel, retry

R = TypeVar("R")
T = TypeVar("T")

ENDED = FINAL | {Status.UNKNOWN}


class WorkflowUnknown(InvalidRequest):
    """There is no such workflow, or what was known of it has expired."""

    code = "workflow_unknown"


class AsyncWorkflowRun:
    """A workflow that was sent.

    Args:
        app: whose workflow it is.
        workflow_id: its id.
        flow: its definition, where known.

    Every method raises WorkflowUnknown where there is no such workflow.
    """

    def __init__(self, app: Runtime, workflow_id: str, flow: FlowRecord | None = None) -> None:
        self.app = app
        self.id = workflow_id
        self._flow = flow

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    async def definition(self) -> FlowRecord:
        """Return its steps."""
        if self._flow is None:
            self._flow = await self.app.portal.arun(self._read)
        return self._flow

    async def look(self) -> WorkflowView:
        """Return all that is known of its jobs."""
        flow = await self.definition()
        views = await self.app.portal.arun(lambda broker: look(broker, flow.job_ids()))
        names = (node.name for node in flow.nodes)
        return WorkflowView(self.id, status_of(views), dict(zip(names, views, strict=True)))

    async def status(self) -> Status:
        """Return where it is in its life."""
        return (await self.look()).status

    @overload
    async def job(self, node: Node[R]) -> AsyncJob[R]: ...
    @overload
    async def job(self, node: str) -> AsyncJob[Any]: ...
    async def job(self, node: Node[Any] | str) -> AsyncJob[Any]:
        """Return the job of a node, or of a node's name. Raises InvalidRequest: there is no such node."""
        name = node if isinstance(node, str) else node.name
        flow = await self.definition()
        if all(each.name != name for each in flow.nodes):
            names = ", ".join(each.name for each in flow.nodes[:20])
            raise InvalidRequest(f"Workflow {self.id} has no node {name!r}.", hint=f"It has {names}.", field="node")
        return AsyncJob(self.app, job_id_of(flow.life, name))

    async def result(self, timeout_seconds: float | None = None) -> Any:
        """Wait until its last jobs have ended and return what they returned: a list where there are several, or where
        it ends in a group.

        Args:
            timeout_seconds: how long to wait; ``None``: for ever, 0: not at all.

        Raises:
            ResultNotReady: they had not ended by then.
            JobFailed, JobCancelled, JobUnknown: one of them has no result and will have none; the first such one.
        """
        flow = await self.definition()
        job_ids = flow.job_ids()
        wanted = [job_ids[place] for place in flow.returns]
        ended = await self._ended(wanted, timeout_seconds)
        results = [result_of(self.app, ended[job_id]) for job_id in wanted]
        return results if flow.returns_list else results[0]

    async def cancel(self) -> int:
        """Call off every job that has not ended; those that run are told to stop.

        Returns:
            How many there were. Done again, it goes on where it was interrupted.
        """
        flow = await self.definition()
        return await self.app.portal.arun(lambda broker: cancel(broker, self.id, flow, self.app.clock.now_ms))

    async def retry(self) -> int:
        """Run again every job that failed, was skipped or called off, each when what it comes after has succeeded; the
        dead letters of the failed ones are taken away. What succeeded stays as it is.

        Returns:
            How many jobs run again. Done again, it goes on where it was interrupted.
        """

        async def work(broker: Broker) -> int:
            return await retry(broker, self.id, self.app.queue_named, self.app.clock.now_ms)

        await self.definition()
        return await self.app.portal.arun(work)

    async def _read(self, broker: Broker) -> FlowRecord:
        flow = from_flow((await broker.perform(GetRecords((flow_key(self.id),)))).records[0])
        if flow is None:
            raise WorkflowUnknown(f"Nothing is known of a workflow {self.id!r}.", hint="Or not any more.")
        return flow

    async def _ended(self, job_ids: list[str], timeout_seconds: float | None) -> dict[str, JobView]:
        """Wait until jobs have ended; return what is known of them."""
        clock = asyncio.get_running_loop().time
        until = None if timeout_seconds is None else clock() + timeout_seconds
        ended: dict[str, JobView] = {}

        async def look_at(some: list[str]) -> list[JobView]:
            return await self.app.portal.arun(lambda broker: look(broker, some))

        unknown_since: dict[str, float] = {}
        pause = SHORTEST_PAUSE_SECONDS
        while True:
            left = [job_id for job_id in job_ids if job_id not in ended]
            now = clock()
            for view in await look_at(left):
                if view.status is Status.UNKNOWN and now - unknown_since.setdefault(view.job_id, now) < UNKNOWN_SECONDS:
                    continue
                if view.status in ENDED:
                    ended[view.job_id] = view
                    if view.status is not Status.SUCCEEDED:
                        result_of(self.app, view)  # raises: what has failed is told at once
            if len(ended) == len(job_ids):
                return ended
            if until is not None and now >= until:
                left_count = len(job_ids) - len(ended)
                raise ResultNotReady(f"{left_count} jobs of workflow {self.id} have not ended.", hint="Wait longer.")
            await asyncio.sleep(pause if until is None else min(pause, max(0.0, until - now)))
            pause = min(LONGEST_PAUSE_SECONDS, pause * 1.5)


class WorkflowRun:
    """A workflow that was sent, for code that is not async: the same as ``AsyncWorkflowRun``, waiting for it."""

    def __init__(self, run: AsyncWorkflowRun) -> None:
        self._run = run
        self.id = run.id

    def __repr__(self) -> str:
        return f"WorkflowRun({self.id!r})"

    def definition(self) -> FlowRecord:
        """Return its steps."""
        return self._wait(self._run.definition())

    def look(self) -> WorkflowView:
        """Return all that is known of its jobs."""
        return self._wait(self._run.look())

    def status(self) -> Status:
        """Return where it is in its life."""
        return self._wait(self._run.status())

    @overload
    def job(self, node: Node[R]) -> Job[R]: ...
    @overload
    def job(self, node: str) -> Job[Any]: ...
    def job(self, node: Node[Any] | str) -> Job[Any]:
        """Return the job of a node; see ``AsyncWorkflowRun.job``."""
        return Job(self._wait(self._run.job(node)))

    def result(self, timeout_seconds: float | None = None) -> Any:
        """Wait for its last jobs and return what they returned; see ``AsyncWorkflowRun.result``."""
        return self._wait(self._run.result(timeout_seconds))

    def cancel(self) -> int:
        """Call it off; see ``AsyncWorkflowRun.cancel``."""
        return self._wait(self._run.cancel())

    def retry(self) -> int:
        """Run again what did not succeed; see ``AsyncWorkflowRun.retry``."""
        return self._wait(self._run.retry())

    def _wait(self, asked: Coroutine[Any, Any, T]) -> T:
        return self._run.app.portal.run(lambda _: asked)
