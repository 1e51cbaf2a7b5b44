"""Calls that are not sent yet: what workflows are made of."""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct, structs

from penstock.worker.arguments import Arguments
from penstock.worker.envelope import Envelope
from penstock.worker.runtime import Runtime
from penstock.worker.sending import Request
from penstock.worker.workflows.records import OnFailureBefore

R = TypeVar("R", covariant=True)


class Flow(Protocol):
    """A workflow being written, to those that are its steps."""

    life: str

    def add(self, task: Any, /, *, after: Iterable[Any], on_failure: OnFailureBefore) -> Any:
        """Add a step and return its node."""
        ...


class Step(Protocol):
    """What chains and groups are made of: a call, a chain or a group."""

    def place(self, flow: Flow, before: Any) -> Any:
        """Add it to a workflow, behind a node, behind a list of nodes or (``None``) at the beginning.

        Returns:
            The node whose result is its own, or a list of such nodes.
        """
        ...

    def find_app(self) -> Runtime | None:
        """Return the app of its tasks, if it has any."""
        ...


class Called(Protocol):
    """A task, to those that call it."""

    app: Runtime
    name: str
    arguments: Arguments


class Callee(Protocol[R]):
    """What a call is of: a task, or one with options."""

    @property
    def task(self) -> Called: ...

    @property
    def has_id(self) -> bool: ...

    def call(self, *args: Any, **kwargs: Any) -> "Call[R]": ...

    def wrap(self, envelope: Envelope) -> Request: ...


class Call(Struct, Generic[R], frozen=True):
    """A call of a task that is not sent yet; made by ``task.call(...)``.

    In a chain the result of what comes before goes into the first parameter that still needs a value; if none does, it
    is not passed on.

    Attributes:
        sender: the task, perhaps with options.
        args, kwargs: the arguments there are.
        failure_rule: what becomes of it when what comes before has failed; see ``Workflow.add``.
    """

    sender: "Callee[R]"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    failure_rule: OnFailureBefore = "skip"

    def on_failure(self, rule: OnFailureBefore) -> "Call[R]":
        """Return this call with another rule for when what comes before it has failed."""
        return structs.replace(self, failure_rule=rule)

    def place(self, flow: Flow, before: Any) -> Any:
        args, kwargs = self.args, dict(self.kwargs)
        if before is not None:
            args, kwargs = self.sender.task.arguments.with_result(args, kwargs, before)
        after = before if isinstance(before, list) else [] if before is None else [before]
        call = structs.replace(self, args=args, kwargs=kwargs)
        return flow.add(call, after=after, on_failure=self.failure_rule)

    def find_app(self) -> Runtime | None:
        return self.sender.task.app
