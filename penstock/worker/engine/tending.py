"""Tending what is held: leases are renewed, news of running jobs is written down, calls to stop are heard.

In bulk, on the worker's own loop, which no task can block. What is written down rides on the renewal of the job's
lease, so that nobody who lost a job can write about it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.clock import Clock
from penstock.core.effects import NO_EFFECTS, Effects, Record
from penstock.core.errors import PenstockError
from penstock.core.operations import FindRecords, Settle
from penstock.core.settlements import ChangeVisibility, Settled, Settlement
from penstock.worker.engine.held import Held
from penstock.worker.engine.machine import steady_clock
from penstock.worker.outcomes import Cancelled, LeaseLost
from penstock.worker.records import CANCEL_PREFIX, JobRecord, Status, to_record

log = logging.getLogger("penstock.worker")

TICK_MS = 1000
AT_ONCE = 500
YOUNG_MS = 400
"""Jobs younger than this are not looked after: most end before there is anything to do."""

CANCELS_AT_ONCE = 1000


class Tending:
    """Looks after the jobs a worker holds, once a second while it holds any.

    Args:
        broker: performs the operations.
        clock: tells when.
        held: the jobs, by id; watched, not changed.
        stop: makes a job end that should not go on.
        keep_ms: how long the record of a job is kept that is not renewed.
        also: done at the same beat.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        held: Mapping[str, Held],
        stop: Callable[[Held, type[Cancelled] | type[LeaseLost]], None],
        *,
        worker: str,
        keep_ms: int,
        also: Callable[[], Awaitable[None]],
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._steady_ms = steady_clock(clock)
        self._held = held
        self._stop = stop
        self.worker = worker
        self._keep_ms = keep_ms
        self._also = also

    async def run(self, has_jobs: asyncio.Event) -> None:
        """Go on until cancelled; ``has_jobs`` is set while there are any."""
        while True:
            await has_jobs.wait()
            await self._next_tick()
            try:
                await self.tend()
                await self._also()
            except PenstockError as error:
                log.warning("leases could not be renewed, trying again: %s: %s", error.code, error)
            except Exception:
                log.exception("leases could not be renewed, trying again")
            self._give_up_the_lost()

    async def tend(self) -> None:
        """Do once what is due now."""
        now = self._steady_ms()
        grown = [each for each in self._held.values() if now - each.received_at >= YOUNG_MS and not each.is_settling]
        if not grown:
            return
        due = [
            each
            for each in grown
            if each.has_news or (each.log and each.log.has_news) or now - each.renewed_at >= each.lease_ms / 3
        ]
        for start in range(0, len(due), AT_ONCE):
            await self._renew(due[start : start + AT_ONCE], now)
        if any(each.context is not None for each in grown):
            await self._hear()

    async def begin_trial(self, held: Held) -> bool:
        """Write down that a job runs on trial, before it does; return whether it still is ours."""
        known = held.record or JobRecord(held.envelope.task if held.envelope else "", held.queue)
        held.record = structs.replace(known, trial=held.delivery.receive_count)
        held.has_news = True
        await self._renew([held], self._steady_ms())
        return held.context is not None and held.context.reason is None

    async def _renew(self, due: list[Held], now: int) -> None:
        outcomes = (await self._broker.perform(Settle(tuple(self._renewal(each) for each in due)))).outcomes
        for each, outcome in zip(due, outcomes, strict=True):
            if outcome.result is Settled.DONE:
                each.renewed_at, each.lease_until = now, now + each.lease_ms
            elif outcome.result is not Settled.REFUSED and not each.is_settling:
                self._lose(each, outcome.result.value)

    def _renewal(self, each: Held) -> Settlement:
        records: tuple[Record, ...] = ()
        expires_at = self._clock.now_ms() + self._keep_ms
        if each.has_news:
            each.has_news = False
            records = (to_record(each.job_id, self._news(each), expires_at),)
        if each.log is not None and each.log.has_news:
            records = (*records, each.log.to_record(each.job_id, each.attempt, expires_at))
        return Settlement(
            each.queue,
            each.delivery.receipt_handle,
            ChangeVisibility(each.lease_ms / 1000),
            is_fenced=True,
            effects=Effects(records=records) if records else NO_EFFECTS,
        )

    def _news(self, each: Held) -> JobRecord:
        known = each.record or JobRecord(each.envelope.task if each.envelope else "", each.queue)
        return structs.replace(
            known,
            queue=each.queue,
            status=Status.RUNNING,
            # this delivery is not counted in: should the worker die, it was lost; those before are if it gets on
            receive_count=each.delivery.receive_count - 1 if each.checkpoint else known.receive_count,
            started_at=each.started_at,
            worker=self.worker,
            progress=each.progress or known.progress,
            checkpoint=each.checkpoint or known.checkpoint,
        )

    async def _hear(self) -> None:
        """Stop what somebody called off."""
        after = ""
        while True:
            page = await self._broker.perform(FindRecords(CANCEL_PREFIX, after=after, limit=CANCELS_AT_ONCE))
            for record in page.records:
                each = self._held.get(record.key.removeprefix(CANCEL_PREFIX))
                if each is not None and not each.is_settling:
                    self._stop(each, Cancelled)
            if page.next_after is None:
                return
            after = page.next_after

    def _give_up_the_lost(self) -> None:
        """Stop what could not be renewed in time: somebody else may have it by now."""
        now = self._steady_ms()
        for each in list(self._held.values()):
            if each.lease_until <= now and not each.is_settling:
                self._lose(each, "the store could not be reached in time")

    def _lose(self, each: Held, why: str) -> None:
        if each.context is None or not each.context.lease_lost:
            log.warning("job %s is no longer ours: %s", each.job_id, why)
        self._stop(each, LeaseLost)

    async def _next_tick(self) -> None:
        rung = asyncio.Event()
        cancel = self._clock.call_at(self._clock.now_ms() + TICK_MS, rung.set)
        try:
            await rung.wait()
        finally:
            cancel()
