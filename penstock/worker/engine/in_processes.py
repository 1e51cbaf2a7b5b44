"""Slots that are processes: for work that must be ended for sure, or would hold up everything else.

Each process runs one attempt at a time, and only it is killed when that attempt must end; the next one gets another.
They are started when they are needed and used again.
"""

import asyncio

from penstock.worker.engine.calling import Attempt, outcome_of
from penstock.worker.engine.child_process import MEBIBYTE, ChildProcess
from penstock.worker.engine.frames import Start
from penstock.worker.outcomes import Outcome, ProcessDied

START_SECONDS = 60.0
"""How long starting and importing the app may take."""

IDLE_SECONDS = 60.0
"""How long a process without work is kept."""


class ProcessRunner:
    """Runs attempts in processes, one for each, that are used again.

    Args:
        start: what a process is told first. Without an ``app_path`` there are none.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._idle: list[ChildProcess] = []
        self._all: set[ChildProcess] = set()
        self._running: dict[int, ChildProcess] = {}
        self._expiry: asyncio.TimerHandle | None = None

    async def run(self, attempt: Attempt) -> Outcome:
        try:
            child = await self._child(attempt)
        except ProcessDied as error:
            return outcome_of(attempt, error)
        if attempt.context.reason is not None:
            self._keep(child)
            return outcome_of(attempt, attempt.context.reason())
        self._running[id(attempt)] = child
        try:
            return await child.run(attempt)
        finally:
            del self._running[id(attempt)]
            self._keep(child)

    def stop(self, attempt: Attempt) -> None:
        child = self._running.get(id(attempt))
        if child is not None and attempt.context.reason is not None:
            child.stop(attempt.context.reason)

    async def aclose(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        for child in list(self._all):
            child.close()
        await asyncio.gather(*(child.ended.wait() for child in list(self._all)))

    async def _child(self, attempt: Attempt) -> ChildProcess:
        """Return a process that is free. Raises ProcessDied: none can be had."""
        limit = attempt.task.options.memory_limit_mb
        while self._idle:
            child = self._idle.pop()
            if child.is_usable and (limit is None or child.rss_bytes * 2 <= limit * MEBIBYTE):
                return child
            child.close()  # what an earlier job left in its memory is not held against this one
        child = ChildProcess(self._start)
        self._all.add(child)
        child.watch(lambda: self._all.discard(child))
        try:
            async with asyncio.timeout(START_SECONDS):
                await child.get_ready()
        except TimeoutError:
            child.kill()
            raise ProcessDied(f"a process did not import {self._start.app_path} within {START_SECONDS:g} s") from None
        except BaseException:
            child.kill()
            raise
        return child

    def _keep(self, child: ChildProcess) -> None:
        if not child.is_usable:
            return
        self._idle.append(child)
        child.idle_since = asyncio.get_running_loop().time()
        if self._expiry is None:
            self._expiry = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire)

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._idle and now - self._idle[0].idle_since >= IDLE_SECONDS:
            self._idle.pop(0).close()
        self._expiry = None
        if self._idle:
            seconds = IDLE_SECONDS - (now - self._idle[0].idle_since)
            self._expiry = asyncio.get_running_loop().call_later(seconds, self._expire)
