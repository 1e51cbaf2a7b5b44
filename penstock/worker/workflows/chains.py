"""The short forms of workflows: chain, group, chord."""

from collections.abc import Sequence
from typing import Any

from penstock.worker.runtime import Runtime
from penstock.worker.workflows.calls import Flow, Step
from penstock.worker.workflows.graph import Workflow, WorkflowInvalid
from penstock.worker.workflows.runs import AsyncWorkflowRun, WorkflowRun


class _Sendable:
    """What can be sent as a workflow of its own."""

    def send(self, workflow_id: str | None = None) -> WorkflowRun:
        """Send it as a workflow; see ``Workflow.send``."""
        return self._workflow(workflow_id).send()

    async def asend(self, workflow_id: str | None = None) -> AsyncWorkflowRun:
        """The same in async code."""
        return await self._workflow(workflow_id).asend()

    def _workflow(self: Any, workflow_id: str | None) -> Workflow:
        app = self.find_app()
        if app is None:
            raise WorkflowInvalid("The workflow has no steps.", hint="Add some.")
        flow = Workflow(app, workflow_id)
        placed = self.place(flow, None)
        flow.returning(placed if isinstance(placed, list) else [placed], is_list=isinstance(placed, list))
        return flow


class Chain(_Sendable):
    """Steps one after the other, each given what the one before returned."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)

    def place(self, flow: Flow, before: Any) -> Any:
        for step in self.steps:
            before = step.place(flow, before)
        return before

    def find_app(self) -> Runtime | None:
        return next((app for step in self.steps if (app := step.find_app()) is not None), None)


class Group(_Sendable):
    """Steps side by side, each given what came before; the result is the list of their results, in order. A group in
    a group is part of the outer one."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)

    def place(self, flow: Flow, before: Any) -> list[Any]:
        placed: list[Any] = []
        for step in self.steps:
            one = step.place(flow, before)
            placed += one if isinstance(one, list) else [one]
        return placed

    def find_app(self) -> Runtime | None:
        return next((app for step in self.steps if (app := step.find_app()) is not None), None)


def chain(*steps: Step) -> Chain:
    """Return steps that run one after the other: ``chain(fetch.call(url), parse.call(), store.call("db"))``."""
    return Chain(steps)


def group(*steps: Step) -> Group:
    """Return steps that run side by side: ``group(fetch.call(1), fetch.call(2))``."""
    return Group(steps)


def chord(steps: Group | Sequence[Step], callback: Step) -> Chain:
    """Return steps that run side by side, and one that runs when all have ended, with the list of their results."""
    return Chain((steps if isinstance(steps, Group) else Group(steps), callback))
