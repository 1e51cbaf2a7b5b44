"""Workflows as the pages draw them: what is kept of each, and the status of its jobs."""

from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec import Struct

from penstock.console.jobs import JOB_PREFIX, Summary, Wanted, is_wanted, read_record, status_of, summarise
from penstock.console.messages import SEARCH_MS, answered
from penstock.console.walking import Walk
from penstock.core.clock import Clock
from penstock.core.effects import Record
from penstock.core.errors import InvalidRequest
from penstock.core.messages import State
from penstock.core.operations import Find, FindRecords, GetRecords

FLOW_PREFIX = "flow/"
AT_ONCE = 1000
MOST_NODES = 2000
"""Of so many a page asks for the status at once; a drawing of more would help nobody."""

PAGE = 20


class WantedFlows(Struct, frozen=True):
    """Which workflows: those behind ``after``, the latest first."""

    after: str = ""


class OneFlow(Struct, frozen=True):
    """One workflow."""

    workflow_id: str


class _Node(Struct, frozen=True, array_like=True):
    name: str
    task: str = ""
    queue: str = ""
    after: tuple[int, ...] = ()
    on_failure: str = "skip"


class _Flow(Struct, frozen=True):
    life: str
    nodes: tuple[_Node, ...]
    sent_at: int = 0
    retries: int = 0


_read = msgspec.json.Decoder(_Flow).decode


def list_flows(asked: WantedFlows) -> Walk:
    """Answer a page of workflows, each with how many of its jobs have which status; of very large ones without."""
    page = yield FindRecords(FLOW_PREFIX, after=asked.after, limit=PAGE, is_descending=True)
    flows = [(record.key.removeprefix(FLOW_PREFIX), _flow_in(record)) for record in page.records]
    wanted: list[str] = []
    counted: set[str] = set()
    for workflow_id, flow in flows:
        if flow is not None and len(wanted) + len(flow.nodes) <= MOST_NODES:
            wanted += _job_ids(flow)
            counted.add(workflow_id)
    status = yield from _status(wanted)
    found = []
    for workflow_id, flow in flows:
        if flow is None:
            continue
        counts: dict[str, int] = {}
        for job_id in _job_ids(flow) if workflow_id in counted else ():
            counts[status[job_id][0]] = counts.get(status[job_id][0], 0) + 1
        tasks = list(dict.fromkeys(node.task for node in flow.nodes[:MOST_NODES]))[:8]
        found.append(
            {
                "workflow_id": workflow_id,
                "sent_at": flow.sent_at,
                "retries": flow.retries,
                "node_count": len(flow.nodes),
                "tasks": tasks,
                "counts": counts,
            }
        )
    return answered({"workflows": found, "next_after": page.next_after})


def list_blocked(asked: Wanted, clock: Clock) -> Walk:
    """Answer jobs that wait for others of their workflow, as ``list_jobs`` does; they are in no queue yet, and are
    found by their workflows, the latest first."""
    until = clock.now_ms() + SEARCH_MS
    found: list[Summary] = []
    after: str | None = asked.after
    while after is not None and len(found) < asked.limit:
        page = yield FindRecords(FLOW_PREFIX, after=after, limit=PAGE, is_descending=True)
        after = page.next_after
        for record in page.records:
            flow = _flow_in(record)
            ids = [] if flow is None else _job_ids(flow)[:MOST_NODES]
            for start in range(0, len(ids), AT_ONCE):
                messages = (yield Find(tuple(ids[start : start + AT_ONCE]))).messages
                for message in messages:
                    if message is not None and message.state is State.BLOCKED:
                        job = summarise(message.message_id, message, None)
                        if is_wanted(asked, job):
                            found.append(job)
            if len(found) >= asked.limit or clock.now_ms() >= until:
                return answered({"jobs": found, "next_after": record.key})
    return answered({"jobs": found, "next_after": after})


def show_flow(asked: OneFlow) -> Walk:
    """Answer a workflow: its nodes, each with its job's id and status."""
    (record,) = (yield GetRecords((FLOW_PREFIX + asked.workflow_id,))).records
    flow = None if record is None else _flow_in(record)
    if flow is None:
        raise InvalidRequest("There is no such workflow.", hint="It may have expired.", field="workflow_id")
    ids = _job_ids(flow)
    status = yield from _status(ids[:MOST_NODES])
    nodes = []
    for node, job_id in zip(flow.nodes[:MOST_NODES], ids, strict=False):
        state, record_of = status[job_id]
        nodes.append(
            {
                "name": node.name,
                "task": node.task,
                "queue": node.queue,
                "after": [place for place in node.after if place < MOST_NODES],
                "on_failure": node.on_failure,
                "job_id": job_id,
                "status": state,
                "record": record_of,
            }
        )
    return answered(
        {
            "workflow_id": asked.workflow_id,
            "sent_at": flow.sent_at,
            "retries": flow.retries,
            "node_count": len(flow.nodes),
            "nodes": nodes,
        }
    )


def _status(job_ids: Sequence[str]) -> Any:
    found: dict[str, tuple[str, Any]] = {}
    for start in range(0, len(job_ids), AT_ONCE):
        some = tuple(job_ids[start : start + AT_ONCE])
        messages = (yield Find(some)).messages
        # records second: a job that ends in between is seen as ended
        records = (yield GetRecords(tuple(JOB_PREFIX + each for each in some))).records
        for job_id, message, kept in zip(some, messages, records, strict=True):
            record = read_record(kept)
            found[job_id] = (status_of(message, record), record)
    return found


def _flow_in(record: Record) -> _Flow | None:
    try:
        return _read(record.value)
    except msgspec.MsgspecError:
        return None


def _job_ids(flow: _Flow) -> list[str]:
    return [str(uuid5(NAMESPACE_URL, f"penstock:{flow.life}/{node.name}")) for node in flow.nodes]
