"""Several processes of one kind: started, watched, started again when they die, and ended together.

The supervisor speaks to no store. If it dies itself, its processes drain: each has its settings as JSON on standard
input, with the supervisor's number to look out for.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

DONE = 0
FAILED = 1
WRONG_USE = 2
SECOND_SIGNAL = 130
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 2.0
"""A process that lived for so long did not die of how it was started: another one starts at once."""


class Supervisor:
    """Watches processes.

    Args:
        noun: what a process is called in the log.
        module: run with ``python -m``.
        count: how many processes.
        log: where it is said what becomes of them.
        reads_output: their standard output is for the supervisor.
    """

    def __init__(self, noun: str, module: str, count: int, log: logging.Logger, *, reads_output: bool = False) -> None:
        self.status = DONE
        self.processes: dict[int, asyncio.subprocess.Process] = {}
        self.is_ending = asyncio.Event()
        self._noun, self._module, self._count, self._log = noun, module, count, log
        self._output = asyncio.subprocess.PIPE if reads_output else None
        self._signal_count = 0
        self._parent_pid = os.getpid()

    async def run(self) -> int:
        """Start the processes and watch them until all have ended for good; return the exit status."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._ask)
        await asyncio.gather(*(self._keep(index) for index in range(self._count)))
        return SECOND_SIGNAL if self._signal_count > 1 else self.status

    # -- what differs between kinds of processes ---------------------------------------------------------------------

    def settings_of(self, index: int, parent_pid: int) -> bytes:
        """Return what a process reads from its standard input."""
        raise NotImplementedError

    def files_of(self, index: int) -> tuple[int, ...]:
        """Return the open files a process inherits."""
        return ()

    async def started(self, index: int, process: asyncio.subprocess.Process) -> None:
        """Called when a process was started."""

    async def ended(self, index: int, status: int) -> bool | None:
        """Called when a process has ended. Return whether that is for good, or another one starts at once; ``None``:
        as its exit status says."""
        return None

    def pausing(self, index: int) -> None:
        """Called when a process has ended and another one is not started at once."""

    def ending(self) -> None:
        """Called when the first signal came."""

    # -- watching ----------------------------------------------------------------------------------------------------

    def end(self, status: int) -> None:
        """Let all processes drain, and end with a status."""
        self.status = status
        self.is_ending.set()
        self.tell()

    def tell(self) -> None:
        """Ask the processes that run to drain; asked once more, they stop at once."""
        for process in self.processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)

    async def unless_ending(self, wanted: Coroutine[Any, Any, Any]) -> None:
        """Wait for something, or for a signal."""
        waiting = asyncio.ensure_future(wanted)
        ending = asyncio.ensure_future(self.is_ending.wait())
        await asyncio.wait((waiting, ending), return_when=asyncio.FIRST_COMPLETED)
        for each in (waiting, ending):
            each.cancel()
        await asyncio.gather(waiting, ending, return_exceptions=True)

    def _ask(self) -> None:
        self._signal_count += 1
        self.is_ending.set()
        if self._signal_count == 1:
            self._log.info("draining; a second signal stops at once")
            self.ending()
        self.tell()

    async def _keep(self, index: int) -> None:
        """Have one process, always."""
        pause = FIRST_PAUSE_SECONDS
        while not self.is_ending.is_set():
            started = time.monotonic()
            status = await self._one(index)
            if self.is_ending.is_set():
                return
            is_for_good = await self.ended(index, status)
            if is_for_good:
                return
            if is_for_good is False:
                continue
            if status == WRONG_USE:
                self.end(status)  # it said why, and the next one would say the same
            elif status != DONE:
                is_steady = time.monotonic() - started >= STEADY_SECONDS
                seconds = 0.0 if is_steady else pause
                self._log.error("%s %d %s; another one starts in %.1f s", self._noun, index, _how(status), seconds)
                if seconds:
                    self.pausing(index)
                await self.unless_ending(asyncio.sleep(seconds))
                pause = FIRST_PAUSE_SECONDS if is_steady else min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _one(self, index: int) -> int:
        """Start a process and wait until it has ended; return its exit status."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self._module),
            stdin=asyncio.subprocess.PIPE,
            stdout=self._output,
            pass_fds=self.files_of(index),
            # a Ctrl-C on the terminal goes to this process only, and from here to the others
            start_new_session=True,
        )
        self.processes[index] = process
        assert process.stdin is not None
        process.stdin.write(self.settings_of(index, self._parent_pid))
        process.stdin.close()
        if self.is_ending.is_set():
            process.send_signal(signal.SIGTERM)
        await self.started(index, process)
        return await process.wait()


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"died of {signal.Signals(-status).name}"
    except ValueError:
        return f"died of signal {-status}"
