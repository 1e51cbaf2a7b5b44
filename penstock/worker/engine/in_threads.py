"""Slots that are threads, for functions that are not async."""

import asyncio
import contextvars
import threading
from queue import SimpleQueue

from penstock.worker.engine.calling import Attempt, call
from penstock.worker.engine.runners import Mailbox
from penstock.worker.outcomes import Outcome

Waiting = "asyncio.Future[Outcome]"


class ThreadRunner:
    """Runs attempts in threads, as many as there are slots, started as they are needed.

    Args:
        slots: how many attempts are run at once at most; who calls sees to it.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._idle = 0
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[tuple[Attempt, asyncio.Future[Outcome]] | None] = SimpleQueue()
        self._returns = Mailbox(asyncio.get_running_loop(), self._returned)

    async def run(self, attempt: Attempt) -> Outcome:
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if self._idle:
            self._idle -= 1
        elif len(self._threads) < self._slots:
            thread = threading.Thread(target=self._serve, name=f"penstock-slot-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._work.put((attempt, outcome))
        return await outcome

    def stop(self, attempt: Attempt) -> None:
        """A thread cannot be stopped; its context tells it."""

    async def aclose(self) -> None:
        for _ in self._threads:
            self._work.put(None)

    def _returned(self, waiting: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
        self._idle += 1
        if not waiting.done():
            waiting.set_result(outcome)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            attempt, waiting = work
            outcome = contextvars.Context().run(call, attempt)
            self._returns.post(waiting, outcome)
