"""Dead letters grouped by why they died: jobs by the error and where it was raised, other messages by where they were
dead-lettered from and the reason given."""

import hashlib
import re
from typing import Any

from msgspec import Struct

from penstock.console.jobs import JOB_PREFIX, read_record, task_of
from penstock.console.messages import Wanted, answered
from penstock.console.walking import Walk
from penstock.core.messages import MessageView
from penstock.core.operations import GetRecords, Peek

PAGE = 500
MOST_PAGES = 4
PLACE = re.compile(r'File "([^"]+)", line \d+, in (\S+)')


class Cause(Struct):
    """What some dead letters have in common.

    Attributes:
        cause: names it.
        kind: of the error; empty where no reason is known.
        place: where it was raised; or the queue they were dead-lettered from.
        message: what the latest said.
        count: how many of those looked at.
        tasks, sources: of which tasks, and from which queues.
        first_sent_at, last_sent_at: between these they were sent (ms since the epoch).
        receive_count: the most often that one of them was received.
        message_ids: theirs.
    """

    cause: str
    kind: str
    place: str
    message: str
    count: int
    tasks: list[str]
    sources: list[str]
    first_sent_at: int
    last_sent_at: int
    receive_count: int
    message_ids: list[str]


def list_causes(asked: Wanted) -> Walk:
    """Answer the causes of those dead letters that match: ``causes``, ``looked_at``, and ``next_after`` if there are
    more than were looked at."""
    causes: dict[str, Cause] = {}
    looked_at = 0
    after: int | None = asked.after
    for _ in range(MOST_PAGES):
        page = yield Peek(asked.queue, asked.filter(), after or 0, PAGE)
        records: tuple[Any, ...] = ()
        if page.messages:
            records = (yield GetRecords(tuple(JOB_PREFIX + each.message_id for each in page.messages))).records
        for message, kept in zip(page.messages, records, strict=True):
            _add(causes, message, kept)
        looked_at += len(page.messages)
        after = page.next_after
        if after is None:
            break
    listed = sorted(causes.values(), key=lambda cause: (-cause.count, cause.cause))
    return answered({"causes": listed, "looked_at": looked_at, "next_after": after})


def _add(causes: dict[str, Cause], message: MessageView, kept: Any) -> None:
    record = read_record(kept)
    source = message.dead_letter_source or ""
    task = record.task if record is not None else task_of(message.body)
    kind = text = ""
    place = task or source
    if record is not None and record.failure is not None:
        kind, text = record.failure.kind, record.failure.message
        places = PLACE.findall(record.failure.traceback)
        if places:
            file, function = places[-1]
            place = f"{file.rpartition('/')[2]}: {function}"
    name = hashlib.sha256(f"{kind}\0{place}".encode()).hexdigest()[:8]
    cause = causes.get(name)
    if cause is None:
        cause = causes[name] = Cause(name, kind, place, text, 0, [], [], message.sent_at, 0, 0, [])
    cause.count += 1
    cause.message = text or cause.message
    for listed, value in ((cause.tasks, task), (cause.sources, source)):
        if value and value not in listed and len(listed) < 20:
            listed.append(value)
    cause.first_sent_at = min(cause.first_sent_at, message.sent_at)
    cause.last_sent_at = max(cause.last_sent_at, message.sent_at)
    cause.receive_count = max(cause.receive_count, message.receive_count)
    cause.message_ids.append(message.message_id)
