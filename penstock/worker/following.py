"""Following jobs live: a change for each new status, of some jobs or of all.

The store is looked at in bulk, often while things change and more rarely while nothing does.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable

from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.operations import FindRecords
from penstock.worker.overview import JobState, in_short, queues_of_jobs, running
from penstock.worker.records import FINAL, JOB_PREFIX, Status, from_record
from penstock.worker.runtime import Runtime
from penstock.worker.status import JobView, look

AT_ONCE = 500
SHORTEST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5
UNKNOWN_SECONDS = 1.0
MOST_WATCHED = 5000
MOST_REMEMBERED = 20_000
LATEST = 200


class Change(Struct, frozen=True):
    """A job has another status than before.

    Attributes:
        job: the job as it is now.
        before: its status when it was looked at before; ``None``: this is the first time.
        at: when it was seen (ms since the epoch).
    """

    job: JobState
    before: Status | None
    at: int

    @property
    def status(self) -> Status:
        """Its status now."""
        return self.job.status


async def follow(app: Runtime, job_ids: Iterable[str]) -> AsyncIterator[Change]:
    """Yield each change of some jobs until all of them have ended, beginning with their present status.

    A job that nobody knows is told as ``unknown`` after a second, and not followed any more.
    """
    open_ids = dict.fromkeys(job_ids)
    seen: dict[str, Status] = {}
    unknown_since: dict[str, float] = {}
    clock = asyncio.get_running_loop().time
    pause = SHORTEST_PAUSE_SECONDS
    while open_ids:
        has_changed = False
        for view in await _look(app, list(open_ids)):
            job_id, status = view.job_id, view.status
            if status is Status.UNKNOWN:
                if clock() - unknown_since.setdefault(job_id, clock()) < UNKNOWN_SECONDS:
                    continue
            else:
                unknown_since.pop(job_id, None)
            if status in FINAL or status is Status.UNKNOWN:
                del open_ids[job_id]
            if seen.get(job_id) is not status:
                has_changed = True
                yield Change(in_short(view), seen.get(job_id), app.clock.now_ms())
                seen[job_id] = status
        if open_ids:
            pause = SHORTEST_PAUSE_SECONDS if has_changed else min(LONGEST_PAUSE_SECONDS, pause * 1.5)
            await asyncio.sleep(pause)


async def follow_all(app: Runtime) -> AsyncIterator[Change]:
    """Yield changes of all jobs, for ever: beginnings and ends of those that run when the store is looked at, and ends
    among the latest sent. A sample where hundreds end in a second; nothing that takes longer is missed."""
    feed = _Feed(app.clock.now_ms())
    pause = SHORTEST_PAUSE_SECONDS
    while True:
        changes = await app.portal.arun(feed.look)
        for view, before in changes:
            yield Change(in_short(view), before, app.clock.now_ms())
        pause = SHORTEST_PAUSE_SECONDS if changes else min(LONGEST_PAUSE_SECONDS, pause * 1.5)
        await asyncio.sleep(pause)


class _Feed:
    """What is known of all jobs.

    Args:
        since: what ended before is not told (ms since the epoch).
    """

    def __init__(self, since: int) -> None:
        self._since = since
        self._watched: OrderedDict[str, Status] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    async def look(self, broker: Broker) -> list[tuple[JobView, Status | None]]:
        """Return the jobs that have another status than at the last look, with that."""
        changes: list[tuple[JobView, Status | None]] = []
        now_running = await running(broker, [each.name for each in await queues_of_jobs(broker) if each.running])
        for view in now_running:
            self._note(view, changes)
        missing = self._watched.keys() - {view.job_id for view in now_running}
        for view in await _look_in_parts(broker, list(missing)):
            self._note(view, changes)
        for record in (await broker.perform(FindRecords(JOB_PREFIX, limit=LATEST, is_descending=True))).records:
            job = from_record(record)
            job_id = record.key.removeprefix(JOB_PREFIX)
            if job is not None and job.finished_at is not None and job.finished_at >= self._since:
                self._note(JobView(job_id, job.status, None, job), changes)
        return changes

    def _note(self, view: JobView, changes: list[tuple[JobView, Status | None]]) -> None:
        job_id, before = view.job_id, self._watched.get(view.job_id)
        if view.status in FINAL or view.status is Status.UNKNOWN:
            self._watched.pop(job_id, None)
            if job_id not in self._ended:
                self._ended[job_id] = None
                changes.append((view, before))
        elif before is not view.status:
            self._ended.pop(job_id, None)  # it runs again
            self._watched[job_id] = view.status
            changes.append((view, before))
        for kept, most in ((self._watched, MOST_WATCHED), (self._ended, MOST_REMEMBERED)):
            while len(kept) > most:
                kept.popitem(last=False)


async def _look(app: Runtime, job_ids: list[str]) -> list[JobView]:
    return await app.portal.arun(lambda broker: _look_in_parts(broker, job_ids))


async def _look_in_parts(broker: Broker, job_ids: list[str]) -> list[JobView]:
    found: list[JobView] = []
    for start in range(0, len(job_ids), AT_ONCE):
        found += await look(broker, job_ids[start : start + AT_ONCE])
    return found
