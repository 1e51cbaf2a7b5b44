"""One job in a worker's hands: prepared, run in a slot, settled."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct, structs

from penstock.broker.contract import Broker
from penstock.core.errors import PenstockError
from penstock.core.settlements import Settled, Settlement
from penstock.worker.app import App
from penstock.worker.engine.calling import Attempt
from penstock.worker.engine.ending import settlement_of
from penstock.worker.engine.frames import Start
from penstock.worker.engine.held import Held
from penstock.worker.engine.in_loop import LoopRunner
from penstock.worker.engine.in_processes import ProcessRunner
from penstock.worker.engine.in_threads import ThreadRunner
from penstock.worker.engine.limiting import Limiting
from penstock.worker.engine.lines import Lines
from penstock.worker.engine.options import WorkerOptions
from penstock.worker.engine.preparing import UNKNOWN_TASK, Preparing
from penstock.worker.engine.runners import Runner
from penstock.worker.engine.sessions import Session
from penstock.worker.engine.settling import Settling
from penstock.worker.engine.slots import Slots
from penstock.worker.job_logs import FAILED_KEPT_MS, JobLog
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
from penstock.worker.records import Failure
from penstock.worker.sessions import SessionTask
from penstock.worker.tasks import RunsIn
from penstock.worker.unique import let_go

log = logging.getLogger("penstock.worker")

MOST_REST_SECONDS = 60.0
SHORT_REST_SECONDS = 0.25
MOST_DENIED = 32

SMOOTHING = 0.05
"""How much the latest job counts in the running mean of how long jobs take."""

SUSPECT_SECONDS = 0.25


class NoProcesses(Exception):
    """This worker cannot run tasks in processes."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"task {task} runs in a process, and this worker does not know how to import its app there: start it with "
            "`penstock work module:app`, or give WorkerOptions an app_path"
        )


class Handling:
    """Handles the jobs of a worker, each from its delivery to its settlement.

    Args:
        app: the tasks.
        broker: performs the operations.
        options: of the worker.
        held: the jobs in hand, by id; each is taken out when it has been settled.
        is_draining: set when nothing is to be begun any more.
        limiting: asked before a job begins.
        begin_trial: notes that a job which may have killed its workers begins; returns whether it may.
        rest: leaves a queue alone for so many seconds.
        runners: what runs attempts, by kind of slot; made when first needed where not given.

    Attributes:
        owner: who holds the jobs.
        lines, sessions: which jobs stand behind others, and so need no slot yet.
        logs: of the jobs that run, by id, where what they log is kept.
        slots: taken by attempts while they run.
        has_room, has_jobs: set when a job has ended; cleared when none is left.
        mean_seconds: how long an attempt takes, lately.
    """

    def __init__(
        self,
        app: App,
        broker: Broker,
        options: WorkerOptions,
        held: dict[str, Held],
        *,
        is_draining: asyncio.Event,
        limiting: Limiting,
        begin_trial: Callable[[Held], Awaitable[bool]],
        rest: Callable[[str, float], None],
        runners: Mapping[RunsIn, Runner] | None,
    ) -> None:
        self._app = app
        self._broker = broker
        self._options = options
        self._held = held
        self._is_draining = is_draining
        self._limiting = limiting
        self._begin_trial = begin_trial
        self._rest = rest
        self._preparing = Preparing(app, broker)
        self._settling = Settling(broker)
        self._suspects = asyncio.Lock()
        self._denied: dict[str, int] = {}
        self.owner = options.owner
        self.runners: dict[RunsIn, Runner] = dict(runners or {})
        self.lines = Lines()
        self.logs: dict[str, JobLog] = {}
        self.sessions: dict[Held, Session] = {}
        self.slots = Slots(options.slots)
        self.has_room = asyncio.Event()
        self.has_jobs = asyncio.Event()
        self.mean_seconds = 1.0

    async def handle(self, held: Held) -> None:
        """Handle a job. If no slot was taken for it, it waits for one when it can begin."""
        has_ended = False
        is_turn: bool | None = False
        try:
            is_turn = await self.lines.turn(held)
            if is_turn is None:
                return
            outcome = await self._outcome(held) if is_turn else Unfinished()
            if held.has_slot:
                self._leave_slot(held)  # it ended without being run
            has_ended = await self._settle(held, outcome)
        except asyncio.CancelledError:
            await self._settle(held, Unfinished())
        except PenstockError as error:
            log.warning("job %s could not be handled and comes back: %s: %s", held.job_id, error.code, error)
            await self._give_back(held)
        except Exception:
            log.exception("job %s could not be handled and comes back", held.job_id)
        finally:
            if held.has_slot:
                self._leave_slot(held)
            self.lines.leave(held, has_ended=has_ended)
            if (session := self.sessions.pop(held, None)) is not None:
                session.close()
            # it may have been given back and be here again
            if is_turn is not None and self._held.get(held.job_id) is held:
                del self._held[held.job_id]
            self.has_room.set()
            if not self._held:
                self.has_jobs.clear()

    async def _outcome(self, held: Held) -> Outcome:
        prepared = await self._preparing.prepare(held)
        if held.stop_reason is not None:
            return Stopped() if held.stop_reason is Cancelled else Unfinished()
        if isinstance(prepared, Struct):
            return prepared
        if isinstance(held.task, SessionTask):
            return await self._session(held, held.task)
        if not held.is_suspect:
            return await self._run(held, prepared)
        # it may have killed its workers: no two such jobs at once, so that none is given up for another
        if self._suspects.locked():
            return Deferred(SUSPECT_SECONDS)
        async with self._suspects:
            if not await self._begin_trial(held):
                return Unfinished()
            return await self._run(held, prepared)

    async def _run(self, held: Held, args: Mapping[str, Any]) -> Outcome:
        if not held.has_slot:
            await self.slots.take()
            held.has_slot = True
        try:
            return await self._run_in_slot(held, args)
        finally:
            self._leave_slot(held)

    def _leave_slot(self, held: Held) -> None:
        held.has_slot = False
        self.slots.give()

    async def _run_in_slot(self, held: Held, args: Mapping[str, Any]) -> Outcome:
        assert held.task is not None
        assert held.context is not None
        if held.context.reason is not None or self._is_draining.is_set():
            return Unfinished()
        kind = held.task.runs_in
        if kind == "process" and "process" not in self.runners and not self._options.app_path:
            return UNKNOWN_TASK.decide(NoProcesses(held.task.name), held.attempt, held.job_id)
        admitted = ()
        if held.task.options.limits or self._app.queue_named(held.queue).limits:
            admitted, denied_seconds = await self._admit(held, args)
            if denied_seconds is not None:
                return Deferred(denied_seconds)
            if held.context.reason is not None:
                self._limiting.release(admitted)
                return Unfinished()
        if held.attempt == 1 and held.envelope is not None and held.envelope.holds_until_started:
            # others like it may be sent: it is unique only until now
            for key in held.envelope.holds_until_started:
                await let_go(self._broker, key, held.job_id)
        runner = held.runner = self.runners.get(kind) or self._new_runner(kind)
        held.running = Attempt(held.task, args, held.context, self._app.middleware)
        if self._options.job_log_level is not None:
            held.log = self.logs[held.job_id] = JobLog()
        started = time.perf_counter()
        held.started_at = self._app.clock.now_ms()
        for each in self._app.middleware:
            each.started(held.context)
        try:
            return await runner.run(held.running)
        finally:
            if admitted:
                self._limiting.release(admitted)
            for each in self._app.middleware:
                each.ended(held.context)
            held.runner = held.running = None
            if held.log is not None:
                self.logs.pop(held.job_id, None)
            seconds = time.perf_counter() - started
            self.mean_seconds += SMOOTHING * (seconds - self.mean_seconds)

    async def _give_back(self, held: Held) -> None:
        try:
            await self._settle(held, Unfinished())
        except PenstockError as error:
            log.warning("job %s comes back when its lease ends: %s: %s", held.job_id, error.code, error)

    async def _session(self, held: Held, task: SessionTask[Any]) -> Outcome:
        session = self.sessions[held] = Session(
            task,
            held,
            self.lines.take_behind(held),
            self._held,
            self._broker,
            self._app.clock,
            self._is_draining,
            owner=self.owner,
            waits=not self._options.is_burst,
        )
        self.has_room.set()
        return session.outcome_of(await self._run(held, session.args()))

    async def _admit(self, held: Held, args: Mapping[str, Any]) -> tuple[Any, float | None]:
        """Ask the limits of a job's queue and task whether it may start; a queue that may start nothing rests."""
        assert held.task is not None
        queue_limits, task_limits = self._app.queue_named(held.queue).limits, held.task.options.limits
        of_queue = [(f"queue:{held.queue}", limit) for limit in queue_limits]
        of_task = [(held.task.name, limit) for limit in task_limits]
        admitted, seconds = await self._limiting.admit(of_queue, args)
        if seconds is not None:
            self._rest(held.queue, min(seconds, MOST_REST_SECONDS))
            return (), seconds
        more, seconds = await self._limiting.admit(of_task, args)
        if seconds is None:
            self._denied.pop(held.queue, None)
            return (*admitted, *more), None
        self._limiting.release(admitted, is_unused=True)
        # a queue that for a while has had nothing but what may not start is asked less often
        self._denied[held.queue] = self._denied.get(held.queue, 0) + 1
        if self._denied[held.queue] >= MOST_DENIED:
            self._rest(held.queue, SHORT_REST_SECONDS)
        return (), seconds

    async def _settle(self, held: Held, outcome: Outcome) -> bool:
        """Settle a job; return whether it has ended, so that the next of its key may run."""
        settlement = self._settlement(held, outcome)
        if (session := self.sessions.get(held)) is not None:
            settlement = await session.settlement_of(settlement, outcome, self._keep_ms(held))
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
        now = self._app.clock.now_ms()
        settlement = settlement_of(held, outcome, now, worker=self.owner, keep_ms=keep_ms)
        if held.log is None or held.log.is_empty:
            return settlement
        log_keep_ms = keep_ms if isinstance(outcome, Done) else max(keep_ms, FAILED_KEPT_MS)
        if not log_keep_ms:
            return settlement
        kept = held.log.to_record(held.job_id, held.attempt, now + log_keep_ms)
        effects = structs.replace(settlement.effects, records=(*settlement.effects.records, kept))
        return structs.replace(settlement, effects=effects)

    def _keep_ms(self, held: Held) -> int:
        """Return how long the end of a job is known."""
        seconds = held.task.options.result_seconds if held.task is not None else None
        keep_ms = self._app.result_ms if seconds is None else round(seconds * 1000)
        return keep_ms if held.envelope is None else held.envelope.kept_ms(keep_ms)

    def _tell(self, held: Held, outcome: Outcome) -> None:
        if isinstance(outcome, Deferred):
            return
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
                each.settled(held.context, outcome, seconds)

    def stop(self, held: Held, reason: type[Cancelled] | type[LeaseLost]) -> None:
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

    def _new_runner(self, kind: RunsIn) -> Runner:
        runner = self.runners[kind] = self._made_runner(kind)
        return runner

    def _made_runner(self, kind: RunsIn) -> Runner:
        options = self._options
        match kind:
            case "async":
                return LoopRunner()
            case "thread":
                return ThreadRunner(options.slots)
            case "process":
                level = logging.getLogger().getEffectiveLevel()
                return ProcessRunner(Start(options.app_path, options.app_url, options.app_key, level))
