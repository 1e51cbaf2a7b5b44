"""Calls that are not sent yet, and the short forms of workflows made of them: chain, group, chord."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from msgspec import Struct, structs

from penstock.worker.workflows.records import OnFailureBefore

if TYPE_CHECKING:
    from penstock.worker.app import App
    from penstock.worker.tasks import Sender
    from penstock.worker.workflows.graph import Node, Workflow
    from penstock.worker.workflows.runs import AsyncWorkflowRun, WorkflowRun

R = TypeVar("R", covariant=True)

Results = "Node[Any] | list[Node[Any]] | None"


class Step(Protocol):
    """What chains and groups are made of: a call, a chain or a group."""

    def place(self, flow: "Workflow", before: Any) -> Any:
        """Add it to a workflow, behind a node, behind a list of nodes or (``None``) at the beginning.

        Returns:
            The node whose result is its own, or a list of such nodes.
        """
        ...

    def find_app(self) -> "App | None":
        """Return the app of its tasks, if it has any."""
        ...


class _Sendable:
    """What can be sent as a workflow of its own."""

    def send(self, workflow_id: str | None = None) -> "WorkflowRun":
        """Send it as a workflow; see ``Workflow.send``."""
        return self._workflow(workflow_id).send()

    async def asend(self, workflow_id: str | None = None) -> "AsyncWorkflowRun":
        """The same in async code."""
        return await self._workflow(workflow_id).asend()

    def _workflow(self: Any, workflow_id: str | None) -> "Workflow":
        from penstock.worker.workflows.graph import Workflow, WorkflowInvalid

        app = self.find_app()
        if app is None:
            raise WorkflowInvalid("The workflow has no steps.", hint="Add some.")
        flow = Workflow(app, workflow_id)
        placed = self.place(flow, None)
        flow.returning(placed if isinstance(placed, list) else [placed], is_list=isinstance(placed, list))
        return flow


class Call(Struct, Generic[R], frozen=True):
    """A call of a task that is not sent yet; made by ``task.call(...)``.

    In a chain the result of what comes before goes into the first parameter that still needs a value; if none does, it
    is not passed on.

    Attributes:
        sender: the task, perhaps with options.
        args, kwargs: the arguments there are.
        failure_rule: what becomes of it when what comes before has failed; see ``Workflow.add``.
    """

    sender: "Sender[..., R]"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    failure_rule: OnFailureBefore = "skip"

    def on_failure(self, rule: OnFailureBefore) -> "Call[R]":
        """Return this call with another rule for when what comes before it has failed."""
        return structs.replace(self, failure_rule=rule)

    def place(self, flow: "Workflow", before: Any) -> "Node[R]":
        args, kwargs = self.args, dict(self.kwargs)
        if before is not None:
            args, kwargs = self.sender.task.arguments.with_result(args, kwargs, before)
        after = before if isinstance(before, list) else [] if before is None else [before]
        call = structs.replace(self, args=args, kwargs=kwargs)
        return flow.add(call, after=after, on_failure=self.failure_rule)

    def find_app(self) -> "App | None":
        return self.sender.task.app


class Chain(_Sendable):
    """Steps one after the other, each given what the one before returned."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)

    def place(self, flow: "Workflow", before: Any) -> Any:
        for step in self.steps:
            before = step.place(flow, before)
        return before

    def find_app(self) -> "App | None":
        return next((app for step in self.steps if (app := step.find_app()) is not None), None)


class Group(_Sendable):
    """Steps side by side, each given what came before; the result is the list of their results, in order. A group in
    a group is part of the outer one."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)

    def place(self, flow: "Workflow", before: Any) -> "list[Node[Any]]":
        placed: list[Node[Any]] = []
        for step in self.steps:
            one = step.place(flow, before)
            placed += one if isinstance(one, list) else [one]
        return placed

    def find_app(self) -> "App | None":
        return next((app for step in self.steps if (app := step.find_app()) is not None), None)


def chain(*steps: Step) -> Chain:
    """Return steps that run one after the other: ``chain(fetch.call(url), parse.call(), store.call("db"))``."""
    return Chain(steps)


def group(*steps: Step) -> Group:
    """Return steps that run side by side: ``group(fetch.call(1), fetch.call(2))``."""
    return Group(steps)


def chord(steps: "Group | Sequence[Step]", callback: Step) -> Chain:
    """Return steps that run side by side, and one that runs when all have ended, with the list of their results."""
    return Chain((steps if isinstance(steps, Group) else Group(steps), callback))
