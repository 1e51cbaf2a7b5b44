"""A real `penstock work` in a process of its own, and the app it works for, written to a directory with its store."""

import asyncio
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.app import Penstock

PATIENCE_SECONDS = 30
COMMAND = (sys.executable, "-c", "from penstock.cli.main import main; main()")

TASKS = '''
import logging, os, signal, time
from pathlib import Path
from penstock import Penstock, current_job

app = Penstock({url!r})

def note(what):
    """Leave a line behind: what happened, in which process, to which attempt of which job."""
    job = current_job()
    with open({notes!r}, "a") as notes:
        notes.write(f"{{what}} {{os.getpid()}} {{job.attempt}} {{job.job_id}} {{time.time()}}\\n")

@app.task
def quick(x: int = 0) -> int:
    logging.getLogger("shop").info("quick one")
    note("quick")
    return x

@app.task
def held(seconds: float = 60) -> str:
    """Runs until its time is over, the gate is open or it is told to stop."""
    note("begun")
    until = time.monotonic() + seconds
    while time.monotonic() < until and not os.path.exists({gate!r}):
        current_job().wait_for_stop(0.01)
        current_job().raise_if_stopped()
    return "again" if current_job().attempt > 1 else "first"

@app.task(runs_in="process")
def apart() -> None:
    note("apart")
    time.sleep(60)

@app.task
def poison() -> None:
    note("poison")
    os.kill(os.getpid(), signal.SIGKILL)

@app.task
def stubborn() -> None:
    note("stubborn")
    while not os.path.exists({gate!r}):
        try:
            time.sleep(60)
        except BaseException:
            pass
'''


class Shop:
    """An app in a directory, and the workers that run its jobs.

    Args:
        directory: where module ``shop`` is written, and its store kept.
        url: of another store or server.
    """

    def __init__(self, directory: Path, url: str | None = None) -> None:
        self.directory = directory
        self.url = url or f"sqlite:///{directory}/jobs.db"
        self.gate = directory / "gate"
        self._notes = directory / "notes"
        self.module = directory / "shop.py"
        self.module.write_text(TASKS.format(url=self.url, notes=str(self._notes), gate=str(self.gate)))
        self.workers: list[Command] = []
        self.app = self._imported()

    def task(self, name: str) -> Any:
        """Return a task, to send its jobs from here."""
        return self.app.tasks[f"shop.{name}"]

    def notes(self, what: str = "") -> list[tuple[str, int, int, str, float]]:
        """Return what tasks left behind: (what, process id, attempt, job id, when)."""
        if not self._notes.exists():
            return []
        lines = [line.split() for line in self._notes.read_text().splitlines()]
        found = [(one, int(pid), int(attempt), job, float(at)) for one, pid, attempt, job, at in lines]
        return [each for each in found if what in ("", each[0])]

    async def noted(self, what: str, count: int = 1) -> list[tuple[str, int, int, str, float]]:
        """Return the notes of one kind when there are so many."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := self.notes(what)) < count:  # noqa: ASYNC110  (another process writes them)
                await asyncio.sleep(0.01)
        return found

    async def work(self, *arguments: str, ready: str = " runs ") -> "Command":
        """Start a worker and return it when it has said that it runs."""
        worker = Command(self.directory, ("work", "shop:app", *arguments))
        self.workers.append(worker)
        await worker.start()
        if ready:
            await worker.said(ready)
        return worker

    async def close(self) -> None:
        """End everything."""
        for worker in self.workers:
            await worker.kill()
        self.app.close()

    def _imported(self) -> Penstock:
        spec = importlib.util.spec_from_file_location("shop", self.module)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        app: Penstock = module.app
        return app


class Command:
    """One `penstock` command and what it logs."""

    def __init__(self, directory: Path, arguments: Sequence[str]) -> None:
        self._directory = directory
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._has_said = asyncio.Event()
        self.lines: list[str] = []

    async def start(self) -> None:
        """Start it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        self._process = await asyncio.create_subprocess_exec(
            *(*COMMAND, *self._arguments),
            cwd=self._directory,
            env=kept,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def text(self) -> str:
        """All it has logged."""
        return "".join(self.lines)

    def records(self) -> list[dict[str, Any]]:
        """Return what it has logged, as objects."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    async def said(self, what: str, count: int = 1) -> None:
        """Return when a text has been logged so often."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self.text.count(what) < count:
                    self._has_said.clear()
                    await self._has_said.wait()
        except TimeoutError:
            raise AssertionError(f"it did not say {what!r}, but:\n{self.text}") from None

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Return its exit status when it has ended."""
        assert self._process is not None
        assert self._reading is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            status = await self._process.wait()
            await self._reading
        return status

    async def kill(self) -> None:
        """End it and what it started, at once."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.lines.append(line.decode())
            self._has_said.set()
        self._has_said.set()
