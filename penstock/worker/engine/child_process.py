"""The worker's end of one process: starting it, talking with it, and ending it when its attempt must end.

It is started afresh, never forked from this process, whose threads a fork would leave behind in the middle of things.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.worker.context import JobContext
from penstock.worker.engine.calling import Attempt, outcome_of
from penstock.worker.engine.frames import (
    LENGTH_BYTES,
    Broken,
    Ended,
    Logged,
    Ready,
    Run,
    Start,
    Stop,
    Told,
    framed,
    said_by_process,
)
from penstock.worker.engine.machine import on_death, rss_bytes
from penstock.worker.outcomes import (
    Interrupted,
    MemoryLimitExceeded,
    Outcome,
    ProcessDied,
    TimeLimitExceeded,
)

log = logging.getLogger("penstock.worker")

GRACE_SECONDS = 0.5
"""What an attempt that is called off has to end by itself before its process is killed."""

LOOK_SECONDS = 0.05
LAST_WORDS_SECONDS = 0.1
MEBIBYTE = 1 << 20


class ChildProcess:
    """One process.

    Attributes:
        ended: set when it has ended.
        is_usable: whether it can run another attempt.
        idle_since: on the loop's clock.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self.ended = asyncio.Event()
        self.is_usable = True
        self.idle_since = 0.0
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "penstock.worker.engine.child", str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._connection = ours
        self._writer: asyncio.StreamWriter | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._attempt: Attempt | None = None
        self._outcome: asyncio.Future[Outcome] | None = None
        self._killed_for: BaseException | None = None
        self._talking: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def rss_bytes(self) -> int:
        """How much memory it has; 0 where that is not known."""
        return rss_bytes(self._process.pid) or 0

    def watch(self, ended: Callable[[], None]) -> None:
        """Begin to talk with it, and call back when it has ended."""
        self._talking = asyncio.get_running_loop().create_task(self._talk())
        self._talking.add_done_callback(lambda _: ended())

    async def get_ready(self) -> None:
        """Wait until it has imported the app. Raises ProcessDied."""
        await self._ready

    async def run(self, attempt: Attempt) -> Outcome:
        """Run an attempt; if it must end, end the process."""
        loop = asyncio.get_running_loop()
        self._attempt = attempt
        self._outcome = loop.create_future()
        self._say(_run(attempt))
        options = attempt.task.options
        watching = None
        if options.time_limit_seconds is not None:
            # a coroutine is cancelled at its limit by itself, and says where it was
            grace = GRACE_SECONDS if attempt.task.is_async else 0
            watching = loop.call_later(options.time_limit_seconds + grace, self.kill, TimeLimitExceeded())
        if options.memory_limit_mb is not None:
            self._watch_memory(self._outcome, options.memory_limit_mb)
        try:
            return await self._outcome
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            if watching is not None:
                watching.cancel()
            self._attempt = self._outcome = None

    def stop(self, reason: type[Interrupted]) -> None:
        """Tell what runs to end; a moment later, kill it."""
        outcome = self._outcome
        self._say(Stop(reason.__name__))

        def insist() -> None:
            if outcome is not None and not outcome.done() and outcome is self._outcome:
                self.kill(reason())

        asyncio.get_running_loop().call_later(GRACE_SECONDS, insist)

    def close(self) -> None:
        """Let it end; it has nothing to do."""
        if self._outcome is not None:
            self.kill()
        self.is_usable = False
        if self._writer is not None:
            self._writer.close()
        else:
            self.kill()

    def kill(self, error: BaseException | None = None) -> None:
        """Kill it and what it started."""
        self.is_usable = False
        if self._process.returncode is not None:
            return
        self._killed_for = self._killed_for or error
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    # -- talking -------------------------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        """Hear what it says until it has ended."""
        dead = asyncio.Event()
        unwatch = on_death(self._process.pid, dead.set)
        reader, self._writer = await asyncio.open_unix_connection(sock=self._connection)
        self._say(self._start)
        hearing = asyncio.ensure_future(self._hear(reader))
        dying = asyncio.ensure_future(dead.wait())
        try:
            await asyncio.wait((hearing, dying), return_when=asyncio.FIRST_COMPLETED)
            self.is_usable = False
            # its last words may still be on their way; and who closes its end is as good as dead
            await asyncio.wait((hearing, dying), timeout=LAST_WORDS_SECONDS)
            self.kill()
            await asyncio.to_thread(self._process.wait)
        finally:
            unwatch()
            hearing.cancel()
            dying.cancel()
            self._writer.close()
            self.kill()
            self._bury(self._process.wait())
            await asyncio.gather(hearing, dying, return_exceptions=True)

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
                said = said_by_process(await reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            except msgspec.MsgspecError:
                log.exception("process %d says what is not understood; it is killed", self._process.pid)
                return
            self._take(said)

    def _take(self, said: Any) -> None:
        match said:
            case Ready():
                self._resolve_ready(None)
            case Broken():
                self._resolve_ready(ProcessDied(f"a process could not import the app: {said.message}"))
            case Told() if self._attempt is not None:
                self._attempt.context.tell(said.progress, said.checkpoint)
            case Logged():
                _log(said)
            case Ended() if self._outcome is not None and not self._outcome.done():
                self._outcome.set_result(said.outcome)

    def _bury(self, status: int) -> None:
        self.is_usable = False
        self.ended.set()
        death = ProcessDied(f"its process {_how(status)}")
        self._resolve_ready(death)
        if self._outcome is not None and not self._outcome.done() and self._attempt is not None:
            self._outcome.set_result(outcome_of(self._attempt, self._killed_for or death))

    def _resolve_ready(self, error: ProcessDied | None) -> None:
        if self._ready.done():
            return
        if error is None:
            self._ready.set_result(None)
        else:
            self._ready.set_exception(error)
            self._ready.exception()  # whoever waited may be gone

    def _say(self, said: Any) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(framed(said))

    def _watch_memory(self, outcome: "asyncio.Future[Outcome]", limit_mb: int) -> None:
        if outcome.done() or outcome is not self._outcome:
            return
        used = self.rss_bytes
        if used > limit_mb * MEBIBYTE:
            self.kill(MemoryLimitExceeded(f"it used {used / MEBIBYTE:.0f} MiB, and {limit_mb} are allowed"))
            return
        asyncio.get_running_loop().call_later(LOOK_SECONDS, self._watch_memory, outcome, limit_mb)


def _run(attempt: Attempt) -> Run:
    context: JobContext = attempt.context
    return Run(
        job_id=context.job_id,
        task=context.task,
        queue=context.queue,
        attempt=context.attempt,
        max_attempts=context.max_attempts,
        args=attempt.args,
        key=context.key,
        sent_at=context.sent_at,
        deadline_at=context.deadline_at,
        workflow_id=context.workflow_id,
        trace=context.trace,
        checkpoint=context.saved,
    )


def _log(said: Logged) -> None:
    logger = logging.getLogger(said.logger)
    if not logger.isEnabledFor(said.level):
        return
    message = said.message if said.exception is None else f"{said.message}\n{said.exception}"
    fields = {"job_id": said.job_id, "task": said.task, "attempt": said.attempt}
    record = logger.makeRecord(said.logger, said.level, "", 0, message, (), None, extra=fields)
    record.created = said.created
    record.msecs = said.created % 1 * 1000
    logger.handle(record)


def _how(status: int) -> str:
    if status >= 0:
        return f"ended by itself with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = "; the system may have run out of memory" if -status == signal.SIGKILL else ""
    return f"died of {name}{hint}"
