"""A worker: fetches jobs, runs them in its slots, settles them, and drains when asked to.

Everything here is on one event loop, the worker's own; the functions of tasks run elsewhere (see the runners), so
nothing a task does keeps leases from being renewed or other jobs from being run.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.errors import PenstockError
from penstock.core.messages import Delivery
from penstock.core.settlements import Settled, Settlement
from penstock.worker.app import App
from penstock.worker.engine.calling import Attempt
from penstock.worker.engine.duties import Duties
from penstock.worker.engine.ending import settlement_of
from penstock.worker.engine.fetching import Fetching
from penstock.worker.engine.held import Held
from penstock.worker.engine.in_loop import LoopRunner
from penstock.worker.engine.in_threads import ThreadRunner
from penstock.worker.engine.lines import Lines
from penstock.worker.engine.options import WorkerOptions
from penstock.worker.engine.preparing import Preparing
from penstock.worker.engine.runners import Runner
from penstock.worker.engine.settling import Settling
from penstock.worker.engine.tending import Tending
from penstock.worker.outcomes import Cancelled, Done, Failed, LeaseLost, Outcome, RetryLater, Stopped, Unfinished
from penstock.worker.queues import ensure
from penstock.worker.records import Failure
from penstock.worker.tasks import RunsIn

log = logging.getLogger("penstock.worker")

SMOOTHING = 0.05
"""How much the latest job counts in the running mean of how long jobs take."""


class Worker:
    """One worker of an app.

    Args:
        app: the tasks, and what sends their jobs.
        broker: performs the operations; lives on the running loop and is closed by the caller.
        options: how to work.
        runners: what runs attempts, by kind of slot; made when first needed where not given.
    """

    def __init__(
        self, app: App, broker: Broker, options: WorkerOptions, runners: Mapping[RunsIn, Runner] | None = None
    ) -> None:
        self._app = app
        self._broker = broker
        self._options = options if options.owner else structs.replace(options, owner=new_owner(app))
        self._runners: dict[RunsIn, Runner] = dict(runners or {})
        self._held: dict[str, Held] = {}
        self._free_slots = asyncio.Semaphore(self._options.slots)
        self._suspects = asyncio.Lock()
        self._has_room = asyncio.Event()
        self._has_jobs = asyncio.Event()
        self._is_draining = asyncio.Event()
        self._mean_seconds = 1.0
        self._lines = Lines()
        self._settling = Settling(broker)
        self._fetching = Fetching(broker, self._options, self._make_queue)
        self._preparing = Preparing(app, broker)
        self._tending = Tending(
            broker, app.clock, self._held, self._stop, worker=self._options.owner, keep_ms=app.result_ms
        )
        self._duties = Duties(app, broker)
        self._jobs: set[asyncio.Task[None]] = set()

    @property
    def owner(self) -> str:
        """Names this worker in the store."""
        return self._options.owner

    @property
    def held(self) -> Mapping[str, Held]:
        """The jobs in hand, by id."""
        return self._held

    @property
    def is_ready(self) -> bool:
        """Whether it gets jobs from the store, as far as it knows."""
        return self._fetching.is_working and not self._is_draining.is_set()

    async def run(self) -> None:
        """Work until drained, or in a burst until the queues are empty."""
        tending = asyncio.create_task(self._tending.run(self._has_jobs))
        duties = asyncio.create_task(self._duties.once() if self._options.is_burst else self._duties.run())
        if self._options.is_burst:
            await duties
        try:
            await self._until_drained(self._fetch_and_start())
            await self._finish()
        finally:
            tending.cancel()
            duties.cancel()
            await asyncio.gather(tending, duties, return_exceptions=True)
            for runner in self._runners.values():
                await runner.aclose()

    def drain(self) -> None:
        """Fetch nothing more; ``run`` returns when what runs has ended, or its time is over."""
        self._is_draining.set()

    # -- fetching ------------------------------------------------------------------------------------------------------

    async def _until_drained(self, work: Any) -> None:
        """Do some work until it ends or the worker is drained."""
        working = asyncio.ensure_future(work)
        draining = asyncio.ensure_future(self._is_draining.wait())
        try:
            await asyncio.wait((working, draining), return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            draining.cancel()
            ended = await asyncio.gather(working, draining, return_exceptions=True)
        if isinstance(ended[0], Exception):
            raise ended[0]

    async def _fetch_and_start(self) -> None:
        while True:
            room = self._room()
            while room <= 0:
                self._has_room.clear()
                await self._has_room.wait()
                room = self._room()
            is_idle = not self._held
            found = await self._fetching.fetch(room, waits=not self._options.is_burst)
            for queue, delivery in found:
                self._start(queue, delivery)
            if self._options.is_burst and not found and self._fetching.is_working:
                if is_idle:
                    return
                self._has_room.clear()
                await self._has_room.wait()

    def _room(self) -> int:
        """Return how many more jobs can be started soon."""
        options = self._options
        ahead = options.slots * options.lookahead_seconds / max(self._mean_seconds, 1e-5)
        most = options.slots + min(int(ahead), 20 * options.slots)
        # those behind others of their key need no slot yet; other keys may have work for it
        busy = len(self._held) - min(self._lines.behind_count, 20 * options.slots)
        room = most - busy
        # a few free places are not worth an operation while the slots are busy
        return room if room * 4 >= most or busy < options.slots else 0

    def _start(self, queue: str, delivery: Delivery) -> None:
        held = Held(queue, delivery, self._app.clock.now_ms())
        self._held[held.job_id] = held
        if delivery.group_id is not None and self._app.queue_named(queue).keys == "ordered":
            self._lines.join(held)
        self._has_jobs.set()
        job = asyncio.get_running_loop().create_task(self._handle(held))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _make_queue(self, queue: str) -> None:
        await ensure(self._broker, self._app.queue_named(queue))

    # -- one job -------------------------------------------------------------------------------------------------------

    async def _handle(self, held: Held) -> None:
        has_ended = False
        try:
            outcome = await self._outcome(held) if await self._lines.turn(held) else Unfinished()
            has_ended = await self._settle(held, outcome)
        except asyncio.CancelledError:
            await self._settle(held, Unfinished())
        except PenstockError as error:
            log.warning("job %s could not be handled and comes back: %s: %s", held.job_id, error.code, error)
        except Exception:
            log.exception("job %s could not be handled and comes back", held.job_id)
        finally:
            self._lines.leave(held, has_ended=has_ended)
            if self._held.get(held.job_id) is held:  # it may have been given back and be here again
                del self._held[held.job_id]
            self._has_room.set()
            if not self._held:
                self._has_jobs.clear()

    async def _outcome(self, held: Held) -> Outcome:
        prepared = await self._preparing.prepare(held)
        if held.stop_reason is not None:
            return Stopped() if held.stop_reason is Cancelled else Unfinished()
        if not isinstance(prepared, Mapping):
            return prepared
        if held.attempt > 1 and held.record is None:
            # it may have killed its worker: no two such jobs at once, so that one does not take the other along
            async with self._suspects:
                return await self._run(held, prepared)
        return await self._run(held, prepared)

    async def _run(self, held: Held, args: Mapping[str, Any]) -> Outcome:
        assert held.task is not None
        assert held.context is not None
        async with self._free_slots:
            if held.context.reason is not None or self._is_draining.is_set():
                return Unfinished()
            runner = held.runner = self._runner(held.task.runs_in)
            held.running = Attempt(held.task, args, held.context, self._app.middleware)
            started = time.perf_counter()
            held.started_at = self._app.clock.now_ms()
            for each in self._app.middleware:
                each.started(held.context)
            try:
                return await runner.run(held.running)
            finally:
                for each in self._app.middleware:
                    each.ended(held.context)
                held.runner = held.running = None
                seconds = time.perf_counter() - started
                self._mean_seconds += SMOOTHING * (seconds - self._mean_seconds)

    async def _settle(self, held: Held, outcome: Outcome) -> bool:
        """Settle a job; return whether it has ended, so that the next of its key may run."""
        held.is_settling = True
        settlement = self._settlement(held, outcome)
        settled = await self._settling.settle(settlement)
        if settled.result is Settled.REFUSED and settled.problem is not None:
            log.error("job %s: its end was refused: %s", held.job_id, settled.problem.message)
            outcome = Failed(Failure("EndRefused", settled.problem.message))
            settlement = self._settlement(held, outcome)
            settled = await self._settling.settle(settlement)
        if settled.result is not Settled.DONE:
            log.warning("job %s ended, but was no longer ours: %s", held.job_id, settled.result.value)
            return False
        self._tell(held, outcome)
        return not settlement.parks_group and isinstance(outcome, Done | Failed | Stopped)

    def _settlement(self, held: Held, outcome: Outcome) -> Settlement:
        seconds = held.task.options.result_seconds if held.task is not None else None
        keep_ms = self._app.result_ms if seconds is None else round(seconds * 1000)
        if held.envelope is not None:
            keep_ms = held.envelope.kept_ms(keep_ms)
        return settlement_of(held, outcome, self._app.clock.now_ms(), worker=self.owner, keep_ms=keep_ms)

    def _tell(self, held: Held, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            log.error("job %s failed: %s", held.job_id, outcome.failure)
        elif isinstance(outcome, RetryLater):
            log.warning(
                "job %s: attempt %d failed, next in %.1f s: %s",
                held.job_id,
                held.attempt,
                outcome.after_seconds,
                outcome.failure,
            )
        if held.context is not None:
            seconds = (self._app.clock.now_ms() - held.started_at) / 1000
            for each in self._app.middleware:
                each.settled(held.context, held.task, outcome, seconds)

    def _stop(self, held: Held, reason: type[Cancelled] | type[LeaseLost]) -> None:
        if held.context is None:
            held.stop_reason = held.stop_reason or reason
            return
        if held.context.reason is not None:
            return
        held.context.stop(reason)
        if reason is LeaseLost:
            for each in self._app.middleware:
                each.lease_lost(held.context)
        if held.runner is not None and held.running is not None:
            held.runner.stop(held.running)

    def _runner(self, kind: RunsIn) -> Runner:
        if kind not in self._runners:
            self._runners[kind] = LoopRunner() if kind == "async" else ThreadRunner(self._options.slots)
        return self._runners[kind]

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Wait for what runs, at most as long as a drain may take; give back the rest."""
        self._lines.dissolve()
        for held in list(self._held.values()):
            if held.runner is None and not held.is_settling:
                self._free_slots.release()  # those that wait for a slot get one, see the drain and let go
        if self._jobs and not self._options.is_burst:
            await asyncio.wait(self._jobs, timeout=self._options.drain_seconds)
        elif self._jobs:
            await asyncio.wait(self._jobs)
        left = list(self._jobs)
        if left:
            log.warning("%d jobs did not end in time and are given back", len(left))
        for job in left:
            job.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def new_owner(app: App) -> str:
    """Return a name for a worker: where it runs, and what no other one has."""
    return f"{socket.gethostname()}/{os.getpid()}/{app.new_id()[-12:]}"
