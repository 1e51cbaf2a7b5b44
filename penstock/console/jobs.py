"""Jobs as the pages show them: messages with their records, read as far as a list needs.

The worker framework owns what is written here; of it only what is shown is read, and what cannot be read is shown as
it is.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.console.messages import SEARCH_MS, answered, short
from penstock.console.walking import Walk
from penstock.core.clock import Clock
from penstock.core.effects import Record
from penstock.core.errors import InvalidRequest
from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView, State
from penstock.core.operations import Find, FindRecords, GetRecords, ListQueues, Peek, ReadHistory

JOB_PREFIX = "job/"
CANCEL_PREFIX = "cancel/"
LOG_PREFIX = "log/"
MOST_LOGS = 10
ENDED = ("succeeded", "failed", "cancelled")
STATES = {
    "waiting": MessageFilter(state=State.READY),
    "delayed": MessageFilter(state=State.DELAYED),
    "running": MessageFilter(state=State.IN_FLIGHT),
    "retrying": MessageFilter(min_receive_count=1),
}
PAGE = 200
MOST_PAGES = 20


class Wanted(Struct, frozen=True):
    """Which jobs.

    Attributes:
        status: one of those that can be listed; ``blocked`` by ``workflows.list_blocked``.
        queue, task: only of these; empty: any.
        after: the ``next_after`` of the answer before.
        limit: about so many.
    """

    status: str
    queue: str = ""
    task: str = ""
    after: str = ""
    limit: int = 50


class One(Struct, frozen=True):
    """One job."""

    job_id: str


class Failure(Struct, frozen=True, omit_defaults=True):
    """Why an attempt did not succeed."""

    kind: str = ""
    message: str = ""
    traceback: str = ""


class ShortRecord(Struct, frozen=True, omit_defaults=True):
    """What a list shows of a job's record; its result may be large and is left out."""

    task: str = ""
    queue: str = ""
    status: str = ""
    attempts: int = 0
    receive_count: int = 0
    started_at: int = 0
    finished_at: int | None = None
    worker: str = ""
    failure: Failure | None = None
    progress: Any = None
    workflow_id: str | None = None


class _Body(Struct, frozen=True):
    task: str


class Summary(Struct, frozen=True, omit_defaults=True):
    """A job in a list."""

    job_id: str
    status: str
    task: str
    queue: str
    message: Any = None
    record: ShortRecord | None = None


_read_record = msgspec.json.Decoder(ShortRecord).decode
_read_body = msgspec.json.Decoder(_Body).decode


def list_jobs(asked: Wanted, clock: Clock) -> Walk:
    """Answer a page of jobs with a status: ``jobs`` and ``next_after``, where there may be more."""
    until = clock.now_ms() + SEARCH_MS
    if asked.status in ENDED:
        return (yield from _ended(asked, clock, until))
    if asked.status not in STATES:
        raise InvalidRequest("Jobs of that status are not listed.", hint="Look at one by its id.", field="status")
    return (yield from _live(asked, clock, until))


def show_job(asked: One) -> Walk:
    """Answer all that is known of a job: ``status``, ``message``, ``record``, ``history``, ``logs`` of its latest
    attempts, ``is_called_off``."""
    message = (yield Find((asked.job_id,))).messages[0]
    kept, mark = (yield GetRecords((JOB_PREFIX + asked.job_id, CANCEL_PREFIX + asked.job_id))).records
    events = (yield ReadHistory(asked.job_id)).events
    logs = (yield FindRecords(f"{LOG_PREFIX}{asked.job_id}/", limit=MOST_LOGS, is_descending=True)).records
    summary = summarise(asked.job_id, message, kept)
    return answered(
        {
            "job": msgspec.structs.replace(summary, message=None),
            "message": message,
            "record": None if kept is None else Raw(kept.value) if _is_json(kept.value) else None,
            "expires_at": None if kept is None else kept.expires_at,
            "history": events,
            "logs": [
                {"attempt": int(each.key.rpartition("/")[2]), "kept": Raw(each.value)}
                for each in reversed(logs)
                if each.key.rpartition("/")[2].isdigit() and _is_json(each.value)
            ],
            "is_called_off": mark is not None,
        }
    )


def summarise(job_id: str, message: MessageView | None, kept: Record | None) -> Summary:
    """Return a job in short."""
    record = read_record(kept)
    task = record.task if record is not None else ""
    if not task and message is not None:
        task = task_of(message.body)
    if message is not None:
        queue = message.dead_letter_source or message.queue
    else:
        queue = record.queue if record is not None else ""
    listed = None if message is None else short(message)
    return Summary(job_id, status_of(message, record), task, queue, listed, record)


def read_record(kept: Record | None) -> ShortRecord | None:
    """Return what a record says, if it can be read."""
    try:
        return None if kept is None else _read_record(kept.value)
    except msgspec.MsgspecError:
        return None


def task_of(body: str) -> str:
    """Return the task that a body names; empty where it is no job."""
    try:
        return _read_body(body).task
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return ""


def status_of(message: MessageView | None, record: ShortRecord | None) -> str:
    """Return a job's status. The rule is the worker framework's: a test holds the two against each other."""
    if record is not None and record.status in ("succeeded", "cancelled"):
        return record.status
    if message is None:
        return record.status if record is not None and record.status in ENDED else "unknown"
    has_failed = record is not None and record.status == "failed"
    if message.dead_letter_source is not None:
        return "failed"
    if message.state is State.BLOCKED:
        return "blocked"
    if message.state is State.IN_FLIGHT:
        return "running"
    if has_failed and record is not None and message.receive_count == record.receive_count:
        return "failed"  # it stays where it is and blocks its key
    if message.receive_count:
        return "retrying"
    return "delayed" if message.state is State.DELAYED else "waiting"


def _ended(asked: Wanted, clock: Clock, until: int) -> Walk:
    found: list[Summary] = []
    after: str | None = asked.after
    for _ in range(MOST_PAGES):
        page = yield FindRecords(JOB_PREFIX, f"status={asked.status}", after or "", PAGE, is_descending=True)
        ids = tuple(record.key.removeprefix(JOB_PREFIX) for record in page.records)
        messages: Sequence[MessageView | None] = (None,) * len(ids)
        if ids and asked.status == "failed":  # one that was sent back is no longer among them
            messages = (yield Find(ids)).messages
        after = page.next_after
        for job_id, message, kept in zip(ids, messages, page.records, strict=True):
            job = summarise(job_id, message, kept)
            if job.status == asked.status and is_wanted(asked, job):
                found.append(job)
                if len(found) >= asked.limit:
                    after = kept.key
                    break
        if after is None or len(found) >= asked.limit or clock.now_ms() >= until:
            break
    return answered({"jobs": found, "next_after": after})


def _live(asked: Wanted, clock: Clock, until: int) -> Walk:
    """``after`` is ``queue:sequence number``, where to look on in a queue; without a number, in those behind it."""
    found: list[Summary] = []
    queue, _, number = asked.after.rpartition(":")
    waiting = [asked.queue] if asked.queue else []
    if queue and number and not asked.queue:
        listed = (yield ListQueues(prefix=queue, limit=1)).queues  # it may have gone meanwhile
        waiting = [each.name for each in listed if each.name == queue]
    more: str | None = None if asked.queue else queue
    at = int(number) if waiting and number.isdigit() else 0
    has_looked = False  # each answer gets on, however slow the store
    while waiting or more is not None:
        if not waiting and more is not None:
            if clock.now_ms() >= until:
                return answered({"jobs": found, "next_after": f"{more}:"})
            waiting, more = yield from _queues_of_jobs(more)
            continue
        queue, after, at = waiting.pop(0), at, 0
        while after is not None:
            if len(found) >= asked.limit or (has_looked and clock.now_ms() >= until):
                return answered({"jobs": found, "next_after": f"{queue}:{after}"})
            after = yield from _look(asked, queue, after, found)
            has_looked = True
    return answered({"jobs": found, "next_after": None})


def _look(asked: Wanted, queue: str, after: int, found: list[Summary]) -> Any:
    """Look through a part of a queue; return where it goes on."""
    page = yield Peek(queue, STATES[asked.status], after, max(1, min(PAGE, asked.limit - len(found))))
    kept: Sequence[Record | None] = ()
    if page.messages:
        kept = (yield GetRecords(tuple(JOB_PREFIX + each.message_id for each in page.messages))).records
    for message, record in zip(page.messages, kept, strict=True):
        job = summarise(message.message_id, message, record)
        if job.task and job.status == asked.status and is_wanted(asked, job):  # others send to such queues, too
            found.append(job)
    return page.next_after


def _queues_of_jobs(after: str) -> Any:
    """Return some queues of jobs behind a name, and behind which to ask for more. Jobs wait in queues whose dead
    letters go to ``<name>-dead``; only those that hold something are looked into."""
    page = yield ListQueues(after=after, limit=PAGE)
    names = []
    for queue in page.queues:
        redrive, counts = queue.settings.redrive, queue.counts
        is_of_jobs = redrive is not None and redrive.dead_letter_queue == f"{queue.name}-dead"
        if is_of_jobs and counts.ready + counts.delayed + counts.in_flight:
            names.append(queue.name)
    return names, page.next_after


def is_wanted(asked: Wanted, job: Summary) -> bool:
    """Return whether a job is of the queue and the task that are asked for."""
    return (not asked.queue or job.queue == asked.queue) and (not asked.task or asked.task in job.task)


def _is_json(value: bytes) -> bool:
    try:
        msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True
