"""Calling off a whole workflow, and running again what did not succeed. Both go on where they were interrupted."""

from collections.abc import Callable, Sequence

from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.effects import Effects, FollowUp, Guard, Join, Record
from penstock.core.errors import GuardFailed, PenstockError
from penstock.core.operations import (
    Apply,
    Cancel,
    DeleteMessages,
    DeleteRecords,
    GetRecords,
    IdOutcome,
    PutRecords,
)
from penstock.worker.endings import cancelled
from penstock.worker.jobs import CANCEL_KEPT_SECONDS
from penstock.worker.keys import resume
from penstock.worker.records import FINAL, JobRecord, Status, cancel_key, job_key, to_record
from penstock.worker.status import JobView, is_blocking, look
from penstock.worker.workflows.launching import Launch, QueueNamed
from penstock.worker.workflows.records import (
    FlowRecord,
    flow_key,
    from_flow,
    from_messages,
    messages_keys,
    to_flow,
)

AT_ONCE = 1000
MOST_TRIES = 50

Now = Callable[[], int]


class WorkflowBusy(PenstockError):
    """The workflow changed all the time while it was to be retried."""

    code = "workflow_busy"


async def cancel(broker: Broker, workflow_id: str, flow: FlowRecord, now: Now) -> int:
    """Call off every job of a workflow that has not ended; return how many."""
    views = await look(broker, flow.job_ids())
    # the last first: nothing that is called off lets another one go
    left = [place for place, view in enumerate(views) if view.status not in FINAL][::-1]
    for places in _parts(left):
        at = now()
        job_ids = tuple(views[place].job_id for place in places)
        # the marks first: a worker that gets one of these meanwhile drops it
        marks = (Record(cancel_key(job_id), b"", expires_at=at + CANCEL_KEPT_SECONDS * 1000) for job_id in job_ids)
        await broker.perform(PutRecords(tuple(marks)))
        outcomes = (await broker.perform(Cancel(job_ids))).outcomes
        gone = [
            place
            for place, outcome in zip(places, outcomes, strict=True)
            if outcome is IdOutcome.DONE or (outcome is IdOutcome.GONE and views[place].status is Status.UNKNOWN)
        ]
        if gone:
            records = tuple(_end(views[place], flow, place, workflow_id, at) for place in gone)
            forgets = tuple(cancel_key(views[place].job_id) for place in gone)
            await broker.perform(Apply(Effects(forgets=forgets, records=records)))
    return len(left)


def _end(view: JobView, flow: FlowRecord, place: int, workflow_id: str, now: int) -> Record:
    node = flow.nodes[place]
    record = view.record or JobRecord(node.task, node.queue, workflow_id=workflow_id)
    return to_record(view.job_id, cancelled(record, now), now + flow.keep_ms)


async def retry(broker: Broker, workflow_id: str, queue_named: QueueNamed, now: Now) -> int:
    """Run again every job of a workflow that did not succeed; return how many."""
    for _ in range(MOST_TRIES):
        key = flow_key(workflow_id)
        kept = (await broker.perform(GetRecords((key,)))).records[0]
        flow = from_flow(kept)
        if kept is None or flow is None:
            return 0
        try:
            return await _Retry(broker, workflow_id, flow, kept).perform(queue_named, now())
        except GuardFailed:
            continue
    raise WorkflowBusy(f"Workflow {workflow_id} changed all the time.", hint="Try again.")


class _Retry:
    """One try: what it sees of the workflow is guarded, so that it happens only if that still holds."""

    def __init__(self, broker: Broker, workflow_id: str, flow: FlowRecord, kept: Record) -> None:
        self._broker = broker
        self._id = workflow_id
        self._flow = flow
        self._kept = kept
        self._job_ids = flow.job_ids()

    async def perform(self, queue_named: QueueNamed, now: int) -> int:
        before = await self._records_of(range(len(self._job_ids)))
        views = await look(self._broker, self._job_ids)
        resumed = [place for place, view in enumerate(views) if is_blocking(view.message, view.record)]
        again = {
            place
            for place, view in enumerate(views)
            if view.status in (Status.FAILED, Status.CANCELLED, Status.UNKNOWN) and place not in resumed
        }
        for place in resumed:
            await resume(self._broker, views[place])
        if not again:
            return len(resumed)
        # what waits for one of these may have counted its failure already: its join begins anew
        anew = again | {
            place
            for place, view in enumerate(views)
            if view.status is Status.BLOCKED and again & set(self._flow.nodes[place].after)
        }
        await self._clear(again, anew - again, views)
        messages = await self._messages(sorted(anew))
        first, later, guards = list[FollowUp](), list[Join](), [Guard(flow_key(self._id), self._kept.value)]
        watched: set[int] = set()
        for place in sorted(anew):
            awaited = [
                other
                for other in self._flow.nodes[place].after
                if other in anew or views[other].status is not Status.SUCCEEDED
            ]
            # one that is still going on must not arrive before the join is there
            watched.update(other for other in awaited if other not in anew)
            if awaited:
                later.append(Join(self._job_ids[place], len(awaited), messages[place]))
            else:
                first.append(messages[place])
        guards += [Guard(job_key(self._job_ids[place]), before[place]) for place in sorted(watched)]
        flow = structs.replace(self._flow, retries=self._flow.retries + 1)
        launch = Launch(
            first=first,
            later=later,
            guards=tuple(guards),
            forgets=tuple(job_key(self._job_ids[place]) for place in sorted(again)),
            record=to_flow(self._id, flow, max(self._kept.expires_at or 0, now + flow.keep_ms)),
        )
        await launch.perform(self._broker, queue_named, now)
        return len(again) + len(resumed)

    async def _clear(self, again: set[int], blocked: set[int], views: Sequence[JobView]) -> None:
        """Take away the dead letters, the marks of being called off, and the joins that begin anew."""
        for places in _parts(sorted(again)):
            by_queue: dict[str, list[str]] = {}
            for place in places:
                message = views[place].message
                if message is not None and message.dead_letter_source is not None:
                    by_queue.setdefault(message.queue, []).append(message.message_id)
            for queue, message_ids in by_queue.items():
                await self._broker.perform(DeleteMessages(tuple(message_ids), queue=queue))
            await self._broker.perform(DeleteRecords(tuple(cancel_key(self._job_ids[place]) for place in places)))
        for places in _parts(sorted(blocked)):
            await self._broker.perform(Cancel(tuple(self._job_ids[place] for place in places)))

    async def _messages(self, places: Sequence[int]) -> dict[int, FollowUp]:
        by_id: dict[str | None, FollowUp] = {}
        for key in messages_keys(self._id, places):
            record = (await self._broker.perform(GetRecords((key,)))).records[0]
            if record is not None:
                by_id.update({each.message.message_id: each for each in from_messages(record)})
        return {place: by_id[self._job_ids[place]] for place in places}

    async def _records_of(self, places: Sequence[int]) -> dict[int, bytes | None]:
        values: dict[int, bytes | None] = {}
        for part in _parts(places):
            keys = tuple(job_key(self._job_ids[place]) for place in part)
            for place, record in zip(part, (await self._broker.perform(GetRecords(keys))).records, strict=True):
                values[place] = None if record is None else record.value
        return values


def _parts(places: Sequence[int]) -> list[Sequence[int]]:
    return [places[start : start + AT_ONCE] for start in range(0, len(places), AT_ONCE)]
