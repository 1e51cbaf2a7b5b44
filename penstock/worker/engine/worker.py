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
from penstock.core.clock import to_ms
from penstock.core.errors import PenstockError
from penstock.core.messages import Delivery
from penstock.core.settlements import Settled, Settlement
from penstock.worker.app import App
from penstock.worker.engine.calling import Attempt
from penstock.worker.engine.draining import finish
from penstock.worker.engine.duties import Duties
from penstock.worker.engine.ending import settlement_of
from penstock.worker.engine.fetching import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Fetching
from penstock.worker.engine.frames import Start
from penstock.worker.engine.held import Held
from penstock.worker.engine.in_loop import LoopRunner
from penstock.worker.engine.in_processes import ProcessRunner
from penstock.worker.engine.in_threads import ThreadRunner
from penstock.worker.engine.limiting import Limiting
from penstock.worker.engine.lines import Lines
from penstock.worker.engine.machine import steady_clock
from penstock.worker.engine.options import WorkerOptions
from penstock.worker.engine.preparing import UNKNOWN_TASK, Preparing
from penstock.worker.engine.presence import Presence
from penstock.worker.engine.runners import Runner
from penstock.worker.engine.sessions import Session
from penstock.worker.engine.settling import Settling
from penstock.worker.engine.tending import Tending
from penstock.worker.outcomes import (
    Cancelled,
    Deferred,
    Done,
    Failed,
    LeaseLost,
    Outcome,
    RetryLater,
    Stopped,
    Unfinished,
)
from penstock.worker.queues import ensure
from penstock.worker.records import Failure
from penstock.worker.sessions import MOST_EVENTS, SessionTask
from penstock.worker.tasks import RunsIn
from penstock.worker.unique import let_go

log = logging.getLogger("penstock.worker")

MOST_REST_SECONDS = 60.0
SHORT_REST_SECONDS = 0.25
MOST_DENIED = 32

SMOOTHING = 0.05
"""How much the latest job counts in the running mean of how long jobs take."""

SUSPECT_SECONDS = 0.25
LEAVE_SECONDS = 2.0


class NoProcesses(Exception):
    """This worker cannot run tasks in processes."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"task {task} runs in a process, and this worker does not know how to import its app there: start it with "
            "`penstock work module:app`, or give WorkerOptions an app_path"
        )


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
        self._denied: dict[str, int] = {}
        self._steady_ms = steady_clock(app.clock)
        self._lines = Lines()
        self._sessions: set[Session] = set()
        self._settling = Settling(broker)
        self._fetching = Fetching(broker, self._options, self._make_queue, self._lease_seconds, app.clock)
        self._preparing = Preparing(app, broker)
        self._limiting = Limiting(broker, app.clock, self._options.owner)
        self._tending = Tending(
            broker,
            app.clock,
            self._held,
            self._stop,
            worker=self._options.owner,
            keep_ms=app.result_ms,
            also=self._limiting.tend,
        )
        self._duties = Duties(app, broker)
        self._jobs: set[asyncio.Task[None]] = set()
        self._is_stopping = asyncio.Event()
        self._presence = Presence(
            broker,
            app.clock,
            self._options,
            self._held,
            is_draining=self._is_draining.is_set,
            rename=self._rename,
        )

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
        caring = [asyncio.create_task(self._tending.run(self._has_jobs))]
        if self._options.is_present:
            caring.append(asyncio.create_task(self._presence.run()))
        if self._options.is_burst:
            await self._duties.once()
        else:
            caring.append(asyncio.create_task(self._duties.run()))
        try:
            await self._until_drained(self._fetch_and_start())
            await self._finish()
        finally:
            for each in caring:
                each.cancel()
            await asyncio.gather(*caring, return_exceptions=True)
            await self._limiting.aclose()
            for runner in self._runners.values():
                await runner.aclose()
            if self._options.is_present:
                await self._take_leave()

    def drain(self) -> None:
        """Fetch nothing more; ``run`` returns when what runs has ended, or its time is over."""
        self._is_draining.set()

    def stop(self) -> None:
        """Fetch nothing more and wait for nothing: ``run`` returns as soon as all jobs are given back."""
        self._is_draining.set()
        self._is_stopping.set()

    # -- presence ------------------------------------------------------------------------------------------------------

    async def _appear(self) -> None:
        """Say that this worker lives before it takes any job: who dies unknown leaves nobody to look after its jobs."""
        pause = FIRST_PAUSE_SECONDS
        while self._options.is_present:
            try:
                await self._presence.begin()
                break
            except PenstockError as error:
                if self._fetching.is_working:
                    log.warning("the store is away, waiting for it: %s: %s", error.code, error)
                self._fetching.is_working = False
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _take_leave(self) -> None:
        try:
            await asyncio.wait_for(self._presence.end(), LEAVE_SECONDS)
        except (PenstockError, TimeoutError) as error:
            log.warning("could not take leave; leases that are left end by themselves: %s", error)

    def _rename(self) -> str:
        owner = new_owner(self._app)
        self._options = structs.replace(self._options, owner=owner)
        self._fetching.owner = self._tending.worker = self._limiting.owner = owner
        return owner

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
        await self._appear()
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
                if self._held:  # otherwise they have ended meanwhile, and may have let others go
                    self._has_room.clear()
                    await self._has_room.wait()

    def _room(self) -> int:
        """Return how many more jobs can be started soon."""
        options = self._options
        ahead = options.slots * options.lookahead_seconds / max(self._mean_seconds, 1e-5)
        most = options.slots + min(int(ahead), 20 * options.slots)
        # those behind others of their key need no slot yet; other keys may have work for it
        behind = self._lines.behind_count + sum(session.more_count for session in self._sessions)
        busy = len(self._held) - min(behind, len(self._sessions) * MOST_EVENTS + 20 * options.slots)
        room = most - busy
        # a few free places are not worth an operation while the slots are busy
        return room if room * 4 >= most or busy < options.slots else 0

    def _start(self, queue: str, delivery: Delivery) -> None:
        held = Held(queue, delivery, to_ms(self._lease_seconds(queue)), self._steady_ms())
        held.started_at = self._app.clock.now_ms()
        self._held[held.job_id] = held
        if delivery.group_id is not None and self._app.queue_named(queue).keys == "ordered":
            self._lines.join(held)
        self._has_jobs.set()
        job = asyncio.get_running_loop().create_task(self._handle(held))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    def _lease_seconds(self, queue: str) -> float:
        return self._app.queue_named(queue).lease_seconds

    async def _make_queue(self, queue: str) -> None:
        await ensure(self._broker, self._app.queue_named(queue))

    # -- one job -------------------------------------------------------------------------------------------------------

    async def _handle(self, held: Held) -> None:
        has_ended = False
        is_turn: bool | None = False
        try:
            is_turn = await self._lines.turn(held)
            if is_turn is None:
                return
            outcome = await self._outcome(held) if is_turn else Unfinished()
            has_ended = await self._settle(held, outcome)
        except asyncio.CancelledError:
            await self._settle(held, Unfinished())
        except PenstockError as error:
            log.warning("job %s could not be handled and comes back: %s: %s", held.job_id, error.code, error)
            await self._give_back(held)
        except Exception:
            log.exception("job %s could not be handled and comes back", held.job_id)
        finally:
            self._lines.leave(held, has_ended=has_ended)
            if held.session is not None:
                held.session.close()
                self._sessions.discard(held.session)
            if (
                is_turn is not None and self._held.get(held.job_id) is held
            ):  # it may have been given back and be here again
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
        if isinstance(held.task, SessionTask):
            return await self._session(held, held.task)
        if not held.is_suspect:
            return await self._run(held, prepared)
        # it may have killed its workers: no two such jobs at once, so that none is given up for another
        if self._suspects.locked():
            return Unfinished(SUSPECT_SECONDS)
        async with self._suspects:
            if not await self._tending.begin_trial(held):
                return Unfinished()
            return await self._run(held, prepared)

    async def _run(self, held: Held, args: Mapping[str, Any]) -> Outcome:
        assert held.task is not None
        assert held.context is not None
        async with self._free_slots:
            if held.context.reason is not None or self._is_draining.is_set():
                return Unfinished()
            if held.task.runs_in == "process" and "process" not in self._runners and not self._options.app_path:
                return UNKNOWN_TASK.decide(NoProcesses(held.task.name), held.attempt, held.job_id)
            admitted, denied_seconds = await self._admit(held, args)
            if denied_seconds is not None:
                return Deferred(denied_seconds)
            if held.context.reason is not None:
                self._limiting.release(admitted)
                return Unfinished()
            await self._begin(held)
            runner = held.runner = self._runner(held.task.runs_in)
            held.running = Attempt(held.task, args, held.context, self._app.middleware)
            started = time.perf_counter()
            held.started_at = self._app.clock.now_ms()
            for each in self._app.middleware:
                each.started(held.context)
            try:
                return await runner.run(held.running)
            finally:
                self._limiting.release(admitted)
                for each in self._app.middleware:
                    each.ended(held.context)
                held.runner = held.running = None
                seconds = time.perf_counter() - started
                self._mean_seconds += SMOOTHING * (seconds - self._mean_seconds)

    async def _give_back(self, held: Held) -> None:
        try:
            await self._settle(held, Unfinished())
        except PenstockError as error:
            log.warning("job %s comes back when its lease ends: %s: %s", held.job_id, error.code, error)

    async def _session(self, held: Held, task: SessionTask[Any]) -> Outcome:
        session = held.session = Session(
            task,
            held,
            self._lines.take_behind(held),
            self._held,
            self._broker,
            self._app.clock,
            self._is_draining,
            owner=self.owner,
            waits=not self._options.is_burst,
        )
        self._sessions.add(session)
        self._has_room.set()
        return session.outcome_of(await self._run(held, session.args()))

    async def _admit(self, held: Held, args: Mapping[str, Any]) -> tuple[Any, float | None]:
        """Ask the limits of a job's queue and task whether it may start; a queue that may start nothing rests."""
        assert held.task is not None
        of_queue = [(f"queue:{held.queue}", limit) for limit in self._app.queue_named(held.queue).limits]
        of_task = [(held.task.name, limit) for limit in held.task.options.limits]
        if not of_queue and not of_task:
            return (), None
        admitted, seconds = await self._limiting.admit(of_queue, args)
        if seconds is not None:
            self._fetching.rest(held.queue, min(seconds, MOST_REST_SECONDS))
            return (), seconds
        more, seconds = await self._limiting.admit(of_task, args)
        if seconds is None:
            self._denied.pop(held.queue, None)
            return (*admitted, *more), None
        self._limiting.release(admitted, is_unused=True)
        # a queue that for a while has had nothing but what may not start is asked less often
        self._denied[held.queue] = self._denied.get(held.queue, 0) + 1
        if self._denied[held.queue] >= MOST_DENIED:
            self._fetching.rest(held.queue, SHORT_REST_SECONDS)
        return (), seconds

    async def _begin(self, held: Held) -> None:
        """Let others like a job be sent that is unique only until now."""
        assert held.envelope is not None
        if held.attempt == 1:
            for key in held.envelope.holds_until_started:
                await let_go(self._broker, key, held.job_id)

    async def _settle(self, held: Held, outcome: Outcome) -> bool:
        """Settle a job; return whether it has ended, so that the next of its key may run."""
        settlement = self._settlement(held, outcome)
        if held.session is not None:
            settlement = await held.session.settlement_of(settlement, outcome, self._keep_ms(held))
        held.is_settling = True
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
        keep_ms = self._keep_ms(held)
        return settlement_of(held, outcome, self._app.clock.now_ms(), worker=self.owner, keep_ms=keep_ms)

    def _keep_ms(self, held: Held) -> int:
        """Return how long the end of a job is known."""
        seconds = held.task.options.result_seconds if held.task is not None else None
        keep_ms = self._app.result_ms if seconds is None else round(seconds * 1000)
        return keep_ms if held.envelope is None else held.envelope.kept_ms(keep_ms)

    def _tell(self, held: Held, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            log.error("job %s failed: %s", held.job_id, outcome.failure)
        elif isinstance(outcome, Deferred):
            return
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
            self._runners[kind] = self._new_runner(kind)
        return self._runners[kind]

    def _new_runner(self, kind: RunsIn) -> Runner:
        options = self._options
        match kind:
            case "async":
                return LoopRunner()
            case "thread":
                return ThreadRunner(options.slots)
            case "process":
                level = logging.getLogger().getEffectiveLevel()
                return ProcessRunner(Start(options.app_path, options.app_url, options.app_key, level))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Wait for what runs, at most as long as a drain may take; give back the rest."""
        self._lines.dissolve()
        for held in list(self._held.values()):
            if held.runner is None and not held.is_settling:
                self._free_slots.release()  # those that wait for a slot get one, see the drain and let go
        limit = None if self._options.is_burst and not self._is_draining.is_set() else self._options.drain_seconds
        await finish(self._jobs, self._stop_all, limit, self._is_stopping)

    def _stop_all(self) -> None:
        for held in list(self._held.values()):
            self._stop(held, LeaseLost)


def new_owner(app: App) -> str:
    """Return a name for a worker: where it runs, and what no other one has."""
    return f"{socket.gethostname()}/{os.getpid()}/{app.new_id()[-12:]}"
