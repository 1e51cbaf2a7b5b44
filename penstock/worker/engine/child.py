"""A process of a worker: imports the app and runs one attempt after the other.

It ends with its worker, and holds no broker: a task that sends opens one through its app.
"""

import asyncio
import atexit
import contextvars
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from queue import SimpleQueue
from typing import Any

from msgspec import Raw

from penstock.broker.parents import die_with
from penstock.worker.app import App
from penstock.worker.context import JobContext, running_job
from penstock.worker.engine.calling import Attempt, acall, call
from penstock.worker.engine.frames import (
    Broken,
    Ended,
    Logged,
    Ready,
    Run,
    Start,
    Stop,
    Told,
    framed,
    read_from_worker,
)
from penstock.worker.engine.machine import die_first
from penstock.worker.loading import load_app
from penstock.worker.loops import new_loop
from penstock.worker.outcomes import Cancelled, Interrupted, LeaseLost, Outcome, TimeLimitExceeded
from penstock.worker.records import Progress

PROGRESS_SECONDS = 0.1
"""Progress is told no more often than this; the latest always is."""

LOOK_SECONDS = 0.5
"""How long progress may wait that nobody else sends."""

EXIT_SECONDS = 5.0
"""How long what runs at exit may take."""

REASONS: dict[str, type[Interrupted]] = {each.__name__: each for each in (Cancelled, LeaseLost, TimeLimitExceeded)}


class Line:
    """The way to the worker, for all threads of this process."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._told_at = 0.0

    def say(self, said: Any) -> None:
        """Tell the worker something."""
        with self._lock:
            self._send(said)

    def tell(self, progress: Progress | None, checkpoint: Raw) -> None:
        """Tell of a job: a checkpoint at once, progress now or soon."""
        with self._lock:
            if progress is not None:
                self._progress = progress
            if checkpoint:
                self._send(Told(checkpoint=checkpoint))
            if time.monotonic() - self._told_at >= PROGRESS_SECONDS:
                self._flush()

    def end(self, outcome: Outcome) -> None:
        """Tell that the job has ended."""
        with self._lock:
            self._flush()
            self._send(Ended(outcome))

    @property
    def is_behind(self) -> bool:
        """Whether there is progress that was not told yet."""
        return self._progress is not None

    def flush(self) -> None:
        """Tell what was not told yet."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._progress is not None:
            progress, self._progress = self._progress, None
            self._told_at = time.monotonic()
            self._send(Told(progress))

    def _send(self, said: Any) -> None:
        try:
            self.connection.sendall(framed(said))
        except OSError:
            os._exit(1)


class Forwarding(logging.Handler):
    """Hands the log to the worker, which writes it."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            job = running_job()
            exception = self.formatException(record) if record.exc_info else None
            self._line.say(
                Logged(
                    record.name,
                    record.levelno,
                    record.getMessage(),
                    record.created,
                    job.job_id if job is not None else None,
                    job.task if job is not None else None,
                    job.attempt if job is not None else None,
                    exception,
                )
            )
        except Exception:
            self.handleError(record)

    def formatException(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the traceback of a record."""
        assert record.exc_info
        return logging.Formatter().formatException(record.exc_info)


class Process:
    """Runs what the worker says, on the main thread; another one listens."""

    def __init__(self, app: App, line: Line) -> None:
        self._app = app
        self._line = line
        self._work: SimpleQueue[Run] = SimpleQueue()
        self._context: JobContext | None = None
        self._runner = asyncio.Runner(loop_factory=new_loop)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[Outcome] | None = None

    def serve(self) -> None:
        """Run attempts until the worker is gone."""
        threading.Thread(target=self._listen, name="penstock-line", daemon=True).start()
        while True:
            asked = self._work.get()
            task = self._app.tasks[asked.task]
            context = JobContext(
                job_id=asked.job_id,
                task=asked.task,
                queue=asked.queue,
                attempt=asked.attempt,
                max_attempts=asked.max_attempts,
                key=asked.key,
                sent_at=asked.sent_at,
                deadline_at=asked.deadline_at,
                workflow_id=asked.workflow_id,
                trace=dict(asked.trace),
                checkpoint=asked.checkpoint,
                tell=self._line.tell,
            )
            attempt = Attempt(task, asked.args, context, self._app.middleware)
            self._context = context
            outcome = (
                self._runner.run(self._await(attempt)) if task.is_async else contextvars.Context().run(call, attempt)
            )
            self._context = None
            self._line.end(outcome)

    async def _await(self, attempt: Attempt) -> Outcome:
        self._loop = asyncio.get_running_loop()
        self._running = asyncio.create_task(acall(attempt))
        try:
            return await self._running
        finally:
            self._running = None

    def _listen(self) -> None:
        while True:
            seconds = PROGRESS_SECONDS if self._line.is_behind else LOOK_SECONDS
            readable, _, _ = select.select([self._line.connection], [], [], seconds)
            if self._line.is_behind:
                self._line.flush()
            if not readable:
                continue
            said = read_from_worker(self._line.connection)
            if said is None:
                end()
            if isinstance(said, Run):
                self._work.put(said)
            elif isinstance(said, Stop):
                self._stop(REASONS[said.reason])

    def _stop(self, reason: type[Interrupted]) -> None:
        if self._context is not None:
            self._context.stop(reason)
        running = self._running
        if running is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(running.cancel)


def end() -> None:
    """End this process from any thread, after what is registered to run at exit, such as sending the last spans."""
    insisting = threading.Timer(EXIT_SECONDS, os._exit, (0,))
    insisting.daemon = True
    insisting.start()
    atexit._run_exitfuncs()
    os._exit(0)


def main() -> None:
    """Serve the worker at the other end of a socket: ``child <file descriptor> <process id of the worker>``."""
    descriptor, parent_pid = int(sys.argv[1]), int(sys.argv[2])
    die_with(parent_pid, signal.SIGKILL)
    die_first()
    os.set_inheritable(descriptor, False)
    connection = socket.socket(fileno=descriptor)
    line = Line(connection)
    start = read_from_worker(connection)
    if not isinstance(start, Start):
        return
    logging.basicConfig(level=start.log_level, handlers=[Forwarding(line)], force=True)
    try:
        app = load_app(start.app_path)
        if start.url is not None:
            app.relocate(start.url, key=start.key)
    except BaseException as error:
        line.say(Broken(str(error)))
        return
    line.say(Ready())
    Process(app, line).serve()


if __name__ == "__main__":
    main()
