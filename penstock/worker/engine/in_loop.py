"""Slots that are coroutines, on an event loop of the user's own: whatever blocks it, the worker's loop goes on."""

import asyncio
import contextvars
import logging
import threading

from penstock.worker.engine.calling import Attempt, acall
from penstock.worker.engine.runners import Mailbox
from penstock.worker.loops import new_loop
from penstock.worker.outcomes import Outcome, Unfinished

log = logging.getLogger("penstock.worker")

PATIENCE_SECONDS = 5.0
"""How long after it was told to end a coroutine is told again."""

LAST_SECONDS = 1.0


class LoopRunner:
    """Runs async attempts on a loop in a thread of its own, started with the first of them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._home = asyncio.get_running_loop()
        self._running: dict[int, tuple[asyncio.Task[None], asyncio.Future[Outcome]]] = {}

    async def run(self, attempt: Attempt) -> Outcome:
        outcome: asyncio.Future[Outcome] = self._home.create_future()
        self._started().post(attempt, outcome)
        return await outcome

    def stop(self, attempt: Attempt) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop, attempt)

    async def aclose(self) -> None:
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        self._loop = self._thread = None

    def _started(self) -> Mailbox:
        if self._loop is None:
            self._loop = new_loop()
            self._inbox = Mailbox(self._loop, self._begin, self._home)
            self._returns = Mailbox(self._home, self._returned, self._loop)
            self._thread = threading.Thread(target=_serve, args=(self._loop,), name="penstock-async-slots", daemon=True)
            self._thread.start()
        return self._inbox

    def _returned(self, waiting: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
        if not waiting.done():
            waiting.set_result(outcome)

    # -- on the user's loop --------------------------------------------------------------------------------------------

    def _begin(self, attempt: Attempt, waiting: "asyncio.Future[Outcome]") -> None:
        assert self._loop is not None
        task = self._loop.create_task(self._perform(attempt, waiting), context=contextvars.Context())
        self._running[id(attempt)] = task, waiting
        limit = attempt.task.options.time_limit_seconds
        if limit is not None:
            self._insist_after(limit + PATIENCE_SECONDS, attempt, task)

    async def _perform(self, attempt: Attempt, waiting: "asyncio.Future[Outcome]") -> None:
        outcome = await acall(attempt)
        del self._running[id(attempt)]
        self._returns.post(waiting, outcome)

    def _stop(self, attempt: Attempt) -> None:
        running = self._running.get(id(attempt))
        if running is None:
            return
        task, waiting = running
        task.cancel()
        task.add_done_callback(lambda _: self._end_unbegun(attempt, waiting))
        self._insist_after(PATIENCE_SECONDS, attempt, task)

    def _end_unbegun(self, attempt: Attempt, waiting: "asyncio.Future[Outcome]") -> None:
        """Answer for a task that was cancelled before its first step; any other has answered."""
        if self._running.pop(id(attempt), None) is not None:
            self._returns.post(waiting, Unfinished())

    def _insist_after(self, seconds: float, attempt: Attempt, task: "asyncio.Task[None]") -> None:
        assert self._loop is not None
        insist = self._loop.call_later(seconds, self._insist, attempt, task)
        task.add_done_callback(lambda _: insist.cancel())

    def _insist(self, attempt: Attempt, task: "asyncio.Task[None]") -> None:
        log.warning(
            "job %s (%s) was told to end and goes on: it swallows CancelledError; it is told once more, and its "
            "lease is renewed until it ends",
            attempt.context.job_id,
            attempt.task.name,
        )
        task.cancel()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=LAST_SECONDS))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
