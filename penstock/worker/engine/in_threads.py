"""Slots that are threads, for functions that are not async.

A thread cannot be ended. What should end is told by its context and, a moment later or when its time is over, by an
exception. Until it really ends it keeps its slot, and its lease is renewed.
"""

import asyncio
import contextvars
import logging
import threading
from queue import SimpleQueue

from penstock.worker.engine.calling import Attempt, call
from penstock.worker.engine.interrupting import Interruptible
from penstock.worker.engine.runners import Mailbox
from penstock.worker.outcomes import Outcome, TimeLimitExceeded

log = logging.getLogger("penstock.worker")

GRACE_SECONDS = 0.5
"""What a task that watches its context has to end by itself."""

PATIENCE_SECONDS = 5.0
AGAIN_SECONDS = 0.05


class ThreadRunner:
    """Runs attempts in threads, as many as there are slots, started as they are needed.

    Args:
        slots: how many attempts are run at once at most; who calls sees to it.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._idle = 0
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[tuple[Attempt, Interruptible, asyncio.Future[Outcome]] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._returns = Mailbox(self._loop, self._returned)
        self._running: dict[int, Interruptible] = {}

    async def run(self, attempt: Attempt) -> Outcome:
        outcome: asyncio.Future[Outcome] = self._loop.create_future()
        if self._idle:
            self._idle -= 1
        elif len(self._threads) < self._slots:
            thread = threading.Thread(target=self._serve, name=f"penstock-slot-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()
        limit = attempt.task.options.time_limit_seconds
        timer = None if limit is None else self._loop.call_later(limit, self._end_time, attempt)
        call_of_it = self._running[id(attempt)] = Interruptible()
        self._work.put((attempt, call_of_it, outcome))
        try:
            return await outcome
        finally:
            del self._running[id(attempt)]
            if timer is not None:
                timer.cancel()

    def stop(self, attempt: Attempt) -> None:
        self._loop.call_later(GRACE_SECONDS, self._interrupt, attempt)

    async def aclose(self) -> None:
        for _ in self._threads:
            self._work.put(None)

    def _returned(self, waiting: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
        self._idle += 1
        if not waiting.done():
            waiting.set_result(outcome)

    def _end_time(self, attempt: Attempt) -> None:
        attempt.context.stop(TimeLimitExceeded)
        self._interrupt(attempt)

    def _interrupt(self, attempt: Attempt) -> None:
        running = self._running.get(id(attempt))
        if running is None or attempt.context.reason is None:
            return
        if running.interrupt(attempt.context.reason):
            self._loop.call_later(PATIENCE_SECONDS, self._complain, attempt, running)
        else:
            self._loop.call_later(AGAIN_SECONDS, self._interrupt, attempt)

    def _complain(self, attempt: Attempt, running: Interruptible) -> None:
        if self._running.get(id(attempt)) is running:
            log.warning(
                "job %s (%s) was told to end and goes on: it is inside a call that Python cannot interrupt, or takes "
                'no notice; its lease is renewed until it ends. A task with runs_in="process" can be ended for sure.',
                attempt.context.job_id,
                attempt.task.name,
            )

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            attempt, running, waiting = work
            outcome = contextvars.Context().run(call, attempt, running.run)
            self._returns.post(waiting, outcome)
