"""What is kept of a workflow: its definition under ``flow/<id>``, and its jobs' messages, to send them again.

The messages are in records of their own, some hundreds in each: a definition stays small enough to be looked at.
"""

from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec import Struct

from penstock.core.effects import FollowUp, Record
from penstock.worker.records import Status
from penstock.worker.status import JobView

FLOW_PREFIX = "flow/"
MESSAGES_PREFIX = "flow-messages/"
MESSAGES_IN_ONE = 500

OnFailureBefore = Literal["skip", "run", "wait"]
"""What becomes of a job when one that it comes after has failed for good, or was skipped."""


class NodeRecord(Struct, frozen=True, array_like=True, omit_defaults=True):
    """A step of a workflow.

    Attributes:
        name: unique in its workflow.
        task, queue: of its job.
        after: which nodes it comes after, by their places in ``FlowRecord.nodes``.
        on_failure: what becomes of it when one of those has failed for good.
    """

    name: str
    task: str
    queue: str
    after: tuple[int, ...] = ()
    on_failure: OnFailureBefore = "skip"


class FlowRecord(Struct, frozen=True, omit_defaults=True):
    """The definition of a workflow that was sent.

    Attributes:
        life: what the ids of its jobs are made from, with the names of the nodes.
        nodes: its steps, each behind all that it comes after.
        returns: the places of the nodes whose results are the workflow's.
        returns_list: the result is a list, even of one.
        sent_at: ms since the epoch.
        keep_ms: how long it and the results of its jobs are known.
        retries: how often it was retried.
    """

    life: str
    nodes: tuple[NodeRecord, ...]
    returns: tuple[int, ...]
    returns_list: bool
    sent_at: int
    keep_ms: int
    retries: int = 0

    def job_ids(self) -> list[str]:
        """Return the ids of the jobs, in the order of the nodes."""
        return [job_id_of(self.life, node.name) for node in self.nodes]

    def is_like(self, other: "FlowRecord") -> bool:
        """Return whether another definition has the same steps."""
        return (self.nodes, self.returns) == (other.nodes, other.returns)


class WorkflowView(Struct, frozen=True):
    """What is known of a workflow.

    Attributes:
        workflow_id: its id.
        status: ``FAILED`` as soon as nothing more can happen and something has failed, though jobs wait for a retry.
        nodes: the jobs by the names of their nodes.
    """

    workflow_id: str
    status: Status
    nodes: Mapping[str, JobView]

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many jobs have which status."""
        counts: dict[Status, int] = {}
        for view in self.nodes.values():
            counts[view.status] = counts.get(view.status, 0) + 1
        return counts


def job_id_of(life: str, name: str) -> str:
    """Return the id of a node's job."""
    return str(uuid5(NAMESPACE_URL, f"penstock:{life}/{name}"))


def flow_key(workflow_id: str) -> str:
    """Return the key of a workflow's definition."""
    return FLOW_PREFIX + workflow_id


def status_of(views: Sequence[JobView]) -> Status:
    """Return the status of a workflow by its jobs'."""
    found = {view.status for view in views}
    if found <= {Status.SUCCEEDED}:
        return Status.SUCCEEDED
    going_on = found - {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.UNKNOWN}
    if not going_on - {Status.BLOCKED}:  # what is blocked and has nobody left to wait for, waits for a retry
        return Status.FAILED if Status.FAILED in found or going_on else Status.CANCELLED
    if found <= {Status.WAITING, Status.DELAYED, Status.BLOCKED}:
        return Status.DELAYED if found <= {Status.DELAYED, Status.BLOCKED} else Status.WAITING
    return Status.RUNNING


_encode = msgspec.json.Encoder().encode
_decode_flow = msgspec.json.Decoder(FlowRecord).decode
_decode_messages = msgspec.json.Decoder(tuple[FollowUp, ...]).decode


def to_flow(workflow_id: str, flow: FlowRecord, expires_at: int) -> Record:
    """Return what the store keeps of a definition."""
    return Record(flow_key(workflow_id), _encode(flow), expires_at=expires_at)


def from_flow(record: Record | None) -> FlowRecord | None:
    """Return what a record says; ``None`` where there is none."""
    return None if record is None else _decode_flow(record.value)


def to_messages(workflow_id: str, messages: Sequence[FollowUp], expires_at: int) -> list[Record]:
    """Return what the store keeps of a workflow's messages."""
    return [
        Record(_messages_key(workflow_id, number), _encode(part), expires_at=expires_at)
        for number, part in enumerate(
            messages[start : start + MESSAGES_IN_ONE] for start in range(0, len(messages), MESSAGES_IN_ONE)
        )
    ]


def from_messages(record: Record) -> tuple[FollowUp, ...]:
    """Return what a record says."""
    return _decode_messages(record.value)


def messages_keys(workflow_id: str, places: Sequence[int]) -> list[str]:
    """Return the keys of the records that have the messages of some nodes."""
    return [_messages_key(workflow_id, number) for number in sorted({place // MESSAGES_IN_ONE for place in places})]


def _messages_key(workflow_id: str, number: int) -> str:
    return f"{MESSAGES_PREFIX}{workflow_id}/{number}"
