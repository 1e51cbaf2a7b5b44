"""The steps of a workflow being written, as others take them for their arguments."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from msgspec import Raw

from penstock.worker.arguments import ResultOf
from penstock.worker.workflows.calls import Callee, Flow
from penstock.worker.workflows.records import OnFailureBefore, job_id_of

R = TypeVar("R")


class Node(ResultOf, Generic[R]):
    """A step of a workflow. As an argument of another step it stands for its result.

    Attributes:
        name: unique in the workflow.
        job_id: of its job.
        on_failure: what becomes of it when one it comes after has failed for good.
    """

    __slots__ = ("after", "args", "name", "on_failure", "results", "sender", "workflow")

    def __init__(
        self,
        workflow: Flow,
        name: str,
        sender: Callee[R],
        args: Mapping[str, Raw],
        results: Mapping[str, Any],
        after: "list[Node[Any] | str]",
        on_failure: OnFailureBefore,
    ) -> None:
        super().__init__(job_id_of(workflow.life, name))
        self.workflow = workflow
        self.name = name
        self.sender = sender
        self.args = args
        self.results = results
        self.after = after
        self.on_failure = on_failure

    def __repr__(self) -> str:
        return f"Node({self.name!r})"
