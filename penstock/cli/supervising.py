"""Several workers: started, watched, started again when they die, and ended together.

A worker that died is looked after by the others, and by the one that takes its place; this process speaks to no store
and loads no app. If it dies itself, its workers drain.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

import msgspec
from msgspec import structs

from penstock.cli import logs
from penstock.cli.work_settings import DRAINED, WorkSettings
from penstock.core.errors import PenstockError

log = logging.getLogger("penstock.work")

DONE = 0
FAILED = 1
WRONG_USE = 2
SECOND_SIGNAL = 130
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 2.0
"""A worker that lived for so long did not die of how it was started: another one starts at once."""

RELOAD_DRAIN_SECONDS = 3.0


class NoWatching(PenstockError):
    """``--reload`` needs a library."""

    code = "configuration_invalid"
    fault = "caller"


def supervise(settings: WorkSettings) -> int:
    """Have workers work until a signal comes; return the exit status."""
    logs.set_up(settings.log_format, settings.log_level)
    return asyncio.run(Supervisor(settings).run())


class Supervisor:
    """Watches workers.

    Args:
        settings: ``processes`` of them, each with the rest of it.
    """

    def __init__(self, settings: WorkSettings) -> None:
        self._settings = settings
        self._workers: dict[int, asyncio.subprocess.Process] = {}
        self._signal_count = 0
        self._status = DONE
        self._is_ending = asyncio.Event()
        self._has_changed = asyncio.Event()

    async def run(self) -> int:
        """Start workers and watch them until all have ended for good; return the exit status."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._ask)
        watching = asyncio.ensure_future(self._watch()) if self._settings.reloads else None
        try:
            await asyncio.gather(*(self._keep(index) for index in range(self._settings.processes)))
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
        return SECOND_SIGNAL if self._signal_count > 1 else self._status

    def _ask(self) -> None:
        self._signal_count += 1
        self._is_ending.set()
        if self._signal_count == 1:
            log.info("draining the workers; a second signal stops them at once")
        self._tell_workers()

    def _tell_workers(self) -> None:
        for worker in self._workers.values():
            if worker.returncode is None:
                worker.send_signal(signal.SIGTERM)

    async def _keep(self, index: int) -> None:
        """Have one worker, always."""
        pause = FIRST_PAUSE_SECONDS
        while not self._is_ending.is_set():
            self._has_changed.clear()
            started = time.monotonic()
            status = await self._one(index)
            if self._is_ending.is_set() or (self._settings.is_burst and status == DONE):
                return
            if status == DRAINED:
                log.info("worker %d was drained on request and is not replaced", index)
                return
            if self._settings.reloads and status in (FAILED, WRONG_USE):
                log.info("waiting for a change")
                await self._unless_ending(self._has_changed.wait())
            elif status == WRONG_USE:
                self._status = status  # it said why, and the next one would say the same
                self._is_ending.set()
                self._tell_workers()
            elif status != DONE:
                is_steady = time.monotonic() - started >= STEADY_SECONDS
                seconds = 0.0 if is_steady else pause
                log.error("worker %d %s; another one starts in %.1f s", index, _how(status), seconds)
                await self._unless_ending(asyncio.sleep(seconds))
                pause = FIRST_PAUSE_SECONDS if is_steady else min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _one(self, index: int) -> int:
        """Start a worker and wait until it has ended; return its exit status."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "penstock.cli.worker_process"),
            stdin=asyncio.subprocess.PIPE,
            # a Ctrl-C on the terminal goes to this process only, and from here to the workers
            start_new_session=True,
        )
        self._workers[index] = process
        assert process.stdin is not None
        process.stdin.write(
            msgspec.json.encode(
                structs.replace(self._settings, processes=1, reloads=False, parent_pid=os.getpid(), index=index)
            )
        )
        process.stdin.close()
        if self._is_ending.is_set():
            process.send_signal(signal.SIGTERM)
        return await process.wait()

    async def _watch(self) -> None:
        try:
            from watchfiles import PythonFilter, awatch
        except ModuleNotFoundError:
            raise NoWatching("--reload needs watchfiles.", hint="pip install watchfiles") from None
        async for changes in awatch(".", watch_filter=PythonFilter()):
            log.info("%s changed, the workers begin anew", ", ".join(sorted({path for _, path in changes})[:3]))
            self._has_changed.set()
            self._tell_workers()
            told = list(self._workers.values())
            await asyncio.sleep(RELOAD_DRAIN_SECONDS)
            for worker in told:
                if worker.returncode is None:
                    worker.send_signal(signal.SIGTERM)

    async def _unless_ending(self, wanted: Coroutine[Any, Any, Any]) -> None:
        waiting = asyncio.ensure_future(wanted)
        ending = asyncio.ensure_future(self._is_ending.wait())
        await asyncio.wait((waiting, ending), return_when=asyncio.FIRST_COMPLETED)
        for each in (waiting, ending):
            each.cancel()
        await asyncio.gather(waiting, ending, return_exceptions=True)


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"died of {signal.Signals(-status).name}"
    except ValueError:
        return f"died of signal {-status}"
