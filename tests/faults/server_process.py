"""A real `penstock serve` in a process of its own: started, killed without warning, or asked to stop."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_PATIENCE_SECONDS = 20
_ADDRESS = re.compile(rb"http://127\.0\.0\.1:(\d+)")


class ServerProcess:
    """Runs the installed command on a store. One object may start many processes, one after the other.

    Args:
        store: the URL of the store.
        log: where standard error goes, one process after the other.
        prepare: called in the new process before the command, to set its limits.
    """

    def __init__(self, store: str, log: Path, prepare: Callable[[], None] | None = None) -> None:
        self.port = 0
        self._store = store
        self._log = log
        self._prepare = prepare
        self._process: asyncio.subprocess.Process | None = None

    async def launch(self) -> None:
        """Start a process without waiting until it serves."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                Path(sys.executable).with_name("penstock"),
                *("serve", "--port", "0", "--store", self._store),
                cwd=self._log.parent,
                env=environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                preexec_fn=self._prepare,
            )

    async def start(self) -> None:
        """Start a process and wait until it serves. Raises AssertionError, with its log, when it ends instead."""
        await self.launch()
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE_SECONDS):
            async for line in self._process.stdout:
                address = _ADDRESS.search(line)
                if address is not None:
                    self.port = int(address.group(1))
                    return
        raise AssertionError(f"exit status {await self._ended()} instead of serving; its log:\n{self.log_text}")

    async def kill(self) -> None:
        """End the process at once, with nothing it could do about it."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        await self._ended()

    async def stop(self) -> int:
        """Ask the process to stop; return its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await self._ended()

    async def exit_status(self) -> int:
        """Return how a process ends that does not serve."""
        return await self._ended()

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def log_text(self) -> str:
        """What all processes wrote to standard error."""
        return self._log.read_text(errors="replace")

    async def _ended(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE_SECONDS):
            # whatever is left in the pipe is read, so that its transport is closed with the process
            await self._process.stdout.read()
            return await self._process.wait()


def environment() -> dict[str, str]:
    """Return this process's environment without what would configure Penstock."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_") and name != "PORT"}
