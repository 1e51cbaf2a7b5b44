"""Sending the occurrences that are due: each is sent once, by whichever worker comes first.

What is sent and how far the schedule is change in one step, which happens only if the schedule is still as it was read.
So of any number of workers one succeeds; after an answer that was lost, the record says whether it had.
"""

import logging

import msgspec
from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.effects import Effects, FollowUp, Guard, Record
from penstock.core.errors import GuardFailed, PenstockError, QueueNotFound
from penstock.core.messages import Draft
from penstock.core.operations import Apply, FindRecords
from penstock.worker.envelope import Envelope, seal
from penstock.worker.queues import ensure
from penstock.worker.records import FINAL, Status
from penstock.worker.runtime import Runtime
from penstock.worker.schedules.records import (
    SCHEDULE_PREFIX,
    Rule,
    ScheduleRecord,
    from_record,
    occurrence_id,
    to_record,
)
from penstock.worker.status import look

log = logging.getLogger("penstock.schedules")

AT_ONCE = 100
"""How many missed occurrences one step sends."""

PAGE = 500
LATE_MS = 60_000
"""What is so late was missed."""

CLOCK_WAS_WRONG_MS = 86_400_000
"""A clock that is so far behind what it was, was wrong before: the schedule does not wait until it is there again."""


async def send_due(app: Runtime, broker: Broker, now: int) -> int | None:
    """Send what is due of all schedules.

    Returns:
        When the next occurrence of any of them comes; not later than ``now`` if there is more to send at once.
    """
    soonest: int | None = None
    after = ""
    while True:
        page = await broker.perform(FindRecords(SCHEDULE_PREFIX, after=after, limit=PAGE))
        for record in page.records:
            next_at = await _send_due_of(app, broker, record, now)
            if next_at is not None:
                soonest = next_at if soonest is None else min(soonest, next_at)
        if page.next_after is None:
            return soonest
        after = page.next_after


async def _send_due_of(app: Runtime, broker: Broker, record: Record, now: int) -> int | None:
    """Send what is due of one schedule and return when it is due next."""
    try:
        schedule = from_record(record)
        if schedule.is_paused:
            return None
        if now < schedule.checked_at - CLOCK_WAS_WRONG_MS:
            log.warning("schedule %s: the clock was far ahead and is not any more; starting from now", schedule.name)
            moved_on = structs.replace(schedule, next_at=schedule.times.after(now), checked_at=now)
            await _advance(app, broker, record, moved_on, ())
            return moved_on.next_at
        if schedule.next_at > now:
            return schedule.next_at
        occurrences, next_at = due(schedule, now)
        if occurrences and not schedule.rule.allows_overlap and await _still_runs(broker, schedule.last_job_id):
            log.info("schedule %s: the job before has not ended; this occurrence is left out", schedule.name)
            occurrences = []
        moved_on = structs.replace(schedule, next_at=next_at, checked_at=now)
        if occurrences:
            last_job_id = occurrence_id(schedule.name, occurrences[-1])
            moved_on = structs.replace(moved_on, last_at=occurrences[-1], last_job_id=last_job_id)
        sends = tuple(job_of(app, schedule.rule, occurrence_id(schedule.name, each)) for each in occurrences)
        await _advance(app, broker, record, moved_on, sends)
        return next_at
    except GuardFailed:
        return now  # somebody else was first: look again
    except (PenstockError, msgspec.MsgspecError) as error:
        if isinstance(error, PenstockError) and error.fault == "server":
            raise
        log.error("schedule %s cannot be sent: %s", record.key.removeprefix(SCHEDULE_PREFIX), error)
        return None


def due(schedule: ScheduleRecord, now: int) -> tuple[list[int], int]:
    """Return which occurrences are to be sent now, by the rule for those that were missed, and which comes next.

    The next one may be due already: there are more than are sent at once.
    """
    times, first = schedule.times, schedule.next_at
    if schedule.rule.catch_up == "all":
        found = [first]
        while (following := times.after(found[-1])) <= now and len(found) < AT_ONCE:
            found.append(following)
        return found, following
    last = times.last_between(first, now)
    is_missed = schedule.rule.catch_up == "skip" and now - last > LATE_MS
    return [] if is_missed else [last], times.after(max(last, now))


def job_of(app: Runtime, rule: Rule, job_id: str) -> FollowUp:
    """Return the job that a rule sends."""
    envelope = app.stamp(Envelope(rule.task, rule.args))
    message = Draft(seal(envelope), priority=rule.priority, group_id=rule.key, message_id=job_id)
    return FollowUp(rule.queue, message)


async def _advance(
    app: Runtime, broker: Broker, before: Record, after: ScheduleRecord, sends: tuple[FollowUp, ...]
) -> None:
    effects = Effects(guards=(Guard(before.key, before.value),), records=(to_record(after),), sends=sends)
    try:
        await broker.perform(Apply(effects))
    except QueueNotFound:
        await ensure(broker, app.queue_named(after.rule.queue))
        await broker.perform(Apply(effects))
    for each in sends:
        log.info("schedule %s: job %s", after.name, each.message.message_id)


async def _still_runs(broker: Broker, job_id: str | None) -> bool:
    if job_id is None:
        return False
    (view,) = await look(broker, (job_id,))
    return view.status not in FINAL and view.status is not Status.UNKNOWN
