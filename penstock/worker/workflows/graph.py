"""A workflow being written: nodes that stand for results to come, what comes after what, and whether that can be."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

from msgspec import structs

from penstock.core.effects import FollowUp
from penstock.core.errors import InvalidRequest
from penstock.worker.envelope import Dependent, Envelope, Place
from penstock.worker.runtime import Runtime
from penstock.worker.workflows.calls import Call, Callee
from penstock.worker.workflows.launching import Definition
from penstock.worker.workflows.nodes import Node
from penstock.worker.workflows.records import FlowRecord, NodeRecord, OnFailureBefore
from penstock.worker.workflows.runs import AsyncWorkflowRun, WorkflowRun

R = TypeVar("R")

MOST_NODES = 10_000
"""That come first, and as many again that come after others."""

KEEP_SECONDS = 7 * 86_400.0


class WorkflowInvalid(InvalidRequest):
    """The workflow cannot be run; nothing was sent."""

    code = "workflow_invalid"


class Workflow:
    """A workflow being written: add steps, then send it. Made by ``app.workflow()``.

    Args:
        app: whose tasks it runs.
        workflow_id: names it; sending a workflow of the same id and steps again changes nothing.
        keep_seconds: how long it and its results are known. Longer than it takes: a step finds the results it takes
            only that long.
    """

    def __init__(self, app: Runtime, workflow_id: str | None = None, *, keep_seconds: float = KEEP_SECONDS) -> None:
        self.app = app
        self.life = app.new_id()
        self.id = self.life if workflow_id is None else workflow_id
        if not 1 <= len(self.id) <= 200:
            raise WorkflowInvalid("The id of a workflow has 1 to 200 characters.", field="workflow_id")
        self.keep_ms = round(keep_seconds * 1000)
        self._nodes: dict[str, Node[Any]] = {}
        self._returns: tuple[Sequence[Node[Any]], bool] | None = None
        self._counts: dict[str, int] = {}

    @overload
    def add(
        self,
        task: Call[R],
        /,
        *,
        after: Iterable[Node[Any] | str] = (),
        on_failure: OnFailureBefore = "skip",
        name: str | None = None,
    ) -> Node[R]: ...
    @overload
    def add(
        self,
        task: Callee[R],
        /,
        *args: Any,
        after: Iterable[Node[Any] | str] = (),
        on_failure: OnFailureBefore = "skip",
        name: str | None = None,
        **kwargs: Any,
    ) -> Node[R]: ...
    def add(
        self,
        task: Any,
        /,
        *args: Any,
        after: Iterable[Node[Any] | str] = (),
        on_failure: OnFailureBefore = "skip",
        name: str | None = None,
        **kwargs: Any,
    ) -> Node[Any]:
        """Add a step and return it.

        Args:
            task: what to run: a task, one with options, or a ``Call`` that has its arguments already.
            args, kwargs: its arguments; a node, or a list of nodes, stands for what they will have returned.
            after: nodes (or their names) that come first though their results are not wanted.
            on_failure: when a job that it comes after has failed for good, or was skipped: ``skip``: it does not run,
                and what comes after it is asked the same; ``run``: it runs, with null for the results there are not;
                ``wait``: it stays blocked until that job was tried again and has succeeded.
            name: of the step; made from the task's if not given.

        Raises:
            WrongArguments: the task cannot be called like this.
            WorkflowInvalid: the name is taken, or the task is sent with an id of its own.
        """
        if isinstance(task, Call):
            task, args, kwargs = task.sender, task.args, dict(task.kwargs)
        sender: Callee[Any] = task
        if sender.has_id:
            raise WorkflowInvalid("The jobs of a workflow have ids of their own.", hint="Leave out job_id.")
        given, results = sender.task.arguments.encode(args, kwargs)
        node = Node[Any](self, self._name(name, sender), sender, given, results, list(after), on_failure)
        self._nodes[node.name] = node
        for value in (*args, *kwargs.values()):
            node.after += [each for each in (value if isinstance(value, list | tuple) else (value,)) if _is_node(each)]
        return node

    def returning(self, nodes: Sequence[Node[Any]], *, is_list: bool = True) -> None:
        """Say whose results are the workflow's, as a list or as the only one. If nobody says, it is what the last node
        returns, or a list where there are several that nothing comes after."""
        self._returns = nodes, is_list

    def send(self) -> WorkflowRun:
        """Send all of it, in one step.

        Raises:
            WorkflowInvalid: it has a cycle, or a node comes after one that is not there. Nothing was sent.
            WorkflowExists: one of this id with other steps was sent before.
        """
        definition = self.definition()
        portal = self.app.portal
        flow = portal.run(lambda broker: definition.send(broker, self.app.queue_named, self.app.clock.now_ms()))
        return WorkflowRun(AsyncWorkflowRun(self.app, self.id, flow))

    async def asend(self) -> AsyncWorkflowRun:
        """The same in async code."""
        definition = self.definition()
        portal = self.app.portal
        flow = await portal.arun(lambda broker: definition.send(broker, self.app.queue_named, self.app.clock.now_ms()))
        return AsyncWorkflowRun(self.app, self.id, flow)

    def definition(self) -> Definition:
        """Return what is sent. Raises WorkflowInvalid."""
        after = {node.name: self._predecessors(node) for node in self._nodes.values()}
        order = _sorted(after)
        first = sum(not after[name] for name in order)
        if not order:
            raise WorkflowInvalid("The workflow has no steps.", hint="Add some.")
        if max(first, len(order) - first) > MOST_NODES:
            raise WorkflowInvalid(
                f"The workflow has {len(order)} steps.",
                hint=f"At most {MOST_NODES} come first, and as many after others. Give one job more to do.",
            )
        dependents: dict[str, list[Dependent]] = {name: [] for name in order}
        for name in order:
            node = self._nodes[name]
            for before in after[name]:
                dependents[before].append(Dependent(node.job_id, despite_failure=node.on_failure != "wait"))
        messages = [self._message(self._nodes[name], after[name], dependents[name]) for name in order]
        at = {name: place for place, name in enumerate(order)}
        nodes = tuple(
            NodeRecord(
                name,
                self._nodes[name].sender.task.name,
                message.queue,
                tuple(at[before] for before in after[name]),
                self._nodes[name].on_failure,
            )
            for name, message in zip(order, messages, strict=True)
        )
        last = [name for name in order if not dependents[name]]
        returns, returns_list = last, len(last) > 1
        if self._returns is not None:
            returns, returns_list = [node.name for node in self._returns[0]], self._returns[1]
        flow = FlowRecord(self.life, nodes, tuple(at[name] for name in returns), returns_list, 0, self.keep_ms)
        return Definition(self.id, flow, messages)

    def _message(self, node: Node[Any], after: Sequence[str], dependents: Sequence[Dependent]) -> FollowUp:
        envelope = Envelope(node.sender.task.name, node.args, node.results)
        has_results_of = set(envelope.predecessors())
        others = (self._nodes[name].job_id for name in after)
        place = Place(
            self.id,
            node.name,
            tuple(each for each in others if each not in has_results_of),
            runs_despite_failure=node.on_failure == "run",
            dependents=tuple(dependents),
            keep_ms=self.keep_ms,
        )
        request = node.sender.wrap(structs.replace(envelope, place=place))
        return FollowUp(request.queue, structs.replace(request.message, message_id=node.job_id))

    def _predecessors(self, node: Node[Any]) -> list[str]:
        names: dict[str, None] = {}
        for before in node.after:
            name = before if isinstance(before, str) else before.name
            if name not in self._nodes or (isinstance(before, Node) and before.workflow is not self):
                raise WorkflowInvalid(
                    f"{node.name} comes after {name!r}, which is no node of this workflow.",
                    hint=f"There are: {', '.join(list(self._nodes)[:20])}.",
                    field="after",
                )
            names[name] = None
        return list(names)

    def _name(self, name: str | None, sender: Callee[Any]) -> str:
        if name is not None:
            if name in self._nodes:
                raise WorkflowInvalid(f"There are two nodes called {name!r}.", field="name")
            return name
        short = sender.task.name.rpartition(".")[2]
        while True:
            count = self._counts[short] = self._counts.get(short, 0) + 1
            made = short if count == 1 else f"{short}-{count}"
            if made not in self._nodes:
                return made


def _is_node(value: Any) -> bool:
    return isinstance(value, Node)


def _sorted(after: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names so that each stands behind all that it comes after. Raises WorkflowInvalid: there is a cycle."""
    missing = {name: len(before) for name, before in after.items()}
    dependents: dict[str, list[str]] = {name: [] for name in after}
    for name, before in after.items():
        for each in before:
            dependents[each].append(name)
    order = [name for name, count in missing.items() if count == 0]
    for name in order:
        for each in dependents[name]:
            missing[each] -= 1
            if missing[each] == 0:
                order.append(each)
    if len(order) < len(after):
        raise WorkflowInvalid(f"These come after themselves: {' -> '.join(_cycle(after, set(after) - set(order)))}.")
    return order


def _cycle(after: Mapping[str, Sequence[str]], stuck: set[str]) -> list[str]:
    """Return the names on a cycle, in the order in which they would run, the first one again at the end."""
    name = min(stuck)
    seen: list[str] = []
    while name not in seen:
        seen.append(name)
        name = next(each for each in after[name] if each in stuck)
    return [name, *reversed(seen[seen.index(name) :])]
