"""What there is right now: queues of jobs with their counts, and jobs by their status."""

import contextlib
from collections.abc import Sequence

from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.errors import InvalidRequest, QueueNotFound
from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView, State
from penstock.core.operations import DescribeQueue, Find, FindRecords, GetRecords, ListQueues, Peek
from penstock.worker.envelope import unseal
from penstock.worker.queues import dead_letters_of
from penstock.worker.records import FINAL, JOB_PREFIX, Failure, Progress, Status, from_record, job_key
from penstock.worker.status import JobView, derive, look
from penstock.worker.workflows.records import FLOW_PREFIX, from_flow

PAGE = 500
FLOWS_AT_ONCE = 20
MOST_LOOKED_AT = 20_000
"""How many jobs are looked at to find those of one task."""

STATES = {
    Status.WAITING: MessageFilter(state=State.READY),
    Status.DELAYED: MessageFilter(state=State.DELAYED),
    Status.RUNNING: MessageFilter(state=State.IN_FLIGHT),
    Status.RETRYING: MessageFilter(min_receive_count=1),
}


class QueueState(Struct, frozen=True):
    """A queue of jobs: how many are where; ``oldest_sent_at``: when the oldest was sent (ms since the epoch)."""

    name: str
    waiting: int
    delayed: int
    running: int
    dead: int
    oldest_sent_at: int | None = None
    is_paused: bool = False


class JobState(Struct, frozen=True, omit_defaults=True):
    """A job in short. Instants are ms since the epoch."""

    job_id: str
    status: Status
    task: str = ""
    queue: str = ""
    attempts: int = 0
    sent_at: int | None = None
    due_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    worker: str = ""
    key: str | None = None
    progress: Progress | None = None
    failure: Failure | None = None


async def queues_of_jobs(broker: Broker) -> list[QueueState]:
    """Return the queues of jobs, by name."""
    found = []
    after: str | None = ""
    while after is not None:
        reply = await broker.perform(ListQueues(after=after, limit=PAGE))
        for queue in reply.queues:
            redrive = queue.settings.redrive
            if redrive is None or redrive.dead_letter_queue != dead_letters_of(queue.name):
                continue
            counts, dead = queue.counts, 0
            with contextlib.suppress(QueueNotFound):
                dead = (await broker.perform(DescribeQueue(redrive.dead_letter_queue))).queue.counts.ready
            found.append(
                QueueState(
                    queue.name,
                    counts.ready,
                    counts.delayed,
                    counts.in_flight,
                    dead,
                    queue.oldest_sent_at,
                    queue.settings.is_paused,
                )
            )
        after = reply.next_after
    return found


async def jobs(
    broker: Broker,
    *,
    queue: str | None = None,
    status: Status | None = None,
    task: str | None = None,
    limit: int = 50,
) -> list[JobState]:
    """Return jobs: those that run or wait, then those that have ended, the latest sent first.

    Args:
        broker: performs the operations.
        queue, status, task: only such.
        limit: at most so many.

    Raises:
        InvalidRequest: jobs of that status are found by their ids only.
        QueueNotFound: there is no such queue.
    """
    if status is Status.BLOCKED:
        return await _blocked(broker, queue, task, limit)
    if status is Status.UNKNOWN:
        raise InvalidRequest(f"Jobs that are {status} cannot be listed.", hint="Look at one by its id.", field="status")
    found: list[JobState] = []
    if status is None or status not in FINAL:
        names = [each.name for each in await queues_of_jobs(broker)] if queue is None else [queue]
        for name in names:
            for wanted in (Status.RUNNING, None) if status is None else (status,):
                found += await _live(broker, name, wanted, task, limit - len(found), {each.job_id for each in found})
    for final in FINAL if status is None else (status,):
        if final in FINAL:
            found += await _ended(broker, queue, final, task, limit)
    found.sort(key=lambda each: (each.status in FINAL, _reversed(each.job_id)))
    return found[:limit]


async def running(broker: Broker, queues: Sequence[str], limit: int = PAGE) -> list[JobView]:
    """Return jobs that run, of some queues."""
    found: list[JobView] = []
    for name in queues:
        with contextlib.suppress(QueueNotFound):
            page = await broker.perform(Peek(name, STATES[Status.RUNNING], limit=limit))
            found += await _views(broker, page.messages)
    return found


def in_short(view: JobView) -> JobState:
    """Return a job in short."""
    message, record = view.message, view.record
    task = record.task if record is not None else ""
    if not task and message is not None:
        with contextlib.suppress(InvalidRequest):
            task = unseal(message.body).task
    return JobState(
        job_id=view.job_id,
        status=view.status,
        task=task,
        queue=message.queue if message is not None else record.queue if record is not None else "",
        attempts=record.attempts if record is not None else 0,
        sent_at=message.sent_at if message is not None else None,
        due_at=message.visible_at if message is not None and message.state is State.DELAYED else None,
        started_at=(record.started_at or None) if record is not None else None,
        finished_at=record.finished_at if record is not None else None,
        worker=record.worker if record is not None else "",
        key=message.group_id if message is not None else None,
        progress=record.progress if record is not None else None,
        failure=record.failure if record is not None else None,
    )


async def _live(
    broker: Broker, queue: str, status: Status | None, task: str | None, limit: int, known: set[str]
) -> list[JobState]:
    found: list[JobState] = []
    after: int | None = 0
    looked_at = 0
    while after is not None and len(found) < limit and looked_at < MOST_LOOKED_AT:
        page = await broker.perform(Peek(queue, STATES.get(status or Status.UNKNOWN, MessageFilter()), after, PAGE))
        for view in await _views(broker, page.messages):
            short = in_short(view)
            is_wanted = (task is None or short.task == task) and (status is None or short.status is status)
            if is_wanted and short.job_id not in known and len(found) < limit:
                found.append(short)
        looked_at += len(page.messages)
        after = page.next_after
    return found


async def _blocked(broker: Broker, queue: str | None, task: str | None, limit: int) -> list[JobState]:
    """Return jobs that wait for others: those of the latest workflows, for nobody else makes a job wait."""
    found: list[JobState] = []
    after: str | None = ""
    looked_at = 0
    while after is not None and len(found) < limit and looked_at < MOST_LOOKED_AT:
        page = await broker.perform(FindRecords(FLOW_PREFIX, after=after, limit=FLOWS_AT_ONCE, is_descending=True))
        for kept in page.records:
            flow = from_flow(kept)
            if flow is None or looked_at >= MOST_LOOKED_AT:
                continue
            wanted = [
                job_id
                for node, job_id in zip(flow.nodes, flow.job_ids(), strict=True)
                if (task is None or node.task == task) and (queue is None or node.queue == queue)
            ]
            looked_at += len(wanted)
            found += [in_short(view) for view in await look(broker, wanted) if view.status is Status.BLOCKED]
        after = page.next_after
    return found[:limit]


async def _ended(broker: Broker, queue: str | None, status: Status, task: str | None, limit: int) -> list[JobState]:
    found: list[JobState] = []
    after: str | None = ""
    looked_at = 0
    while after is not None and len(found) < limit and looked_at < MOST_LOOKED_AT:
        tag = f"status={status.value}"
        page = await broker.perform(FindRecords(JOB_PREFIX, tag, after, PAGE, is_descending=True))
        ids = tuple(record.key.removeprefix(JOB_PREFIX) for record in page.records)
        messages = (await broker.perform(Find(ids))).messages if ids and status is Status.FAILED else (None,) * len(ids)
        for job_id, record, message in zip(ids, page.records, messages, strict=True):
            job = from_record(record)
            short = in_short(JobView(job_id, derive(message, job), message, job))
            is_wanted = short.status is status and (task is None or short.task == task)
            if is_wanted and (queue is None or (job is not None and job.queue == queue)):
                found.append(short)
        looked_at += len(page.records)
        after = page.next_after
    return found[:limit]


async def _views(broker: Broker, messages: Sequence[MessageView]) -> list[JobView]:
    if not messages:
        return []
    kept = (await broker.perform(GetRecords(tuple(job_key(each.message_id) for each in messages)))).records
    records = map(from_record, kept)
    return [
        JobView(message.message_id, derive(message, record), message, record)
        for message, record in zip(messages, records, strict=True)
    ]


def _reversed(job_id: str) -> tuple[int, ...]:
    """Order of ids from the latest: they begin with the instant at which they were minted."""
    return tuple(-ord(each) for each in job_id)
