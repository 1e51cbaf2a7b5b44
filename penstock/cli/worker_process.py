"""A worker process: the app is loaded, its broker opened on the worker's loop, and jobs are run until a signal.

The first SIGTERM or SIGINT drains; the second gives everything back at once; a third ends the process as it is. SIGHUP
drains, however often it comes. Started by a supervisor as ``python -m penstock.cli.worker_process``, with its settings
as JSON on standard input.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from urllib.parse import urlsplit

import msgspec

from penstock.broker.contract import Broker
from penstock.broker.parents import die_with
from penstock.cli import logs
from penstock.cli.output import print_error
from penstock.cli.work_settings import DRAINED, WorkSettings
from penstock.cli.worker_health import WorkerHealth
from penstock.core.errors import PenstockError, StoreUnavailable
from penstock.worker.app import App
from penstock.worker.engine.options import QueueShare, WorkerOptions, parse_partitions, parse_queues, pinned
from penstock.worker.engine.worker import Worker
from penstock.worker.loading import load_app
from penstock.worker.logs import JobFields

log = logging.getLogger("penstock.work")

DONE = 0
FAILED = 1
WRONG_USE = 2
SECOND_SIGNAL = 130
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0


def run(settings: WorkSettings) -> int:
    """Work until a signal comes, or in a burst until nothing is ready; return the exit status.

    Raises:
        PenstockError: it could not start.
    """
    logs.set_up(settings.log_format, settings.log_level, JobFields())
    app = load_app(settings.app)
    if settings.url is not None:
        app.relocate(settings.url, key=settings.key)
    process = WorkerProcess(app, settings)
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.run(process.run())
    return uvloop.run(process.run())


class WorkerProcess:
    """One worker and what is around it.

    Args:
        app: whose jobs it runs.
        settings: how.
    """

    def __init__(self, app: App, settings: WorkSettings) -> None:
        self._app = app
        self._settings = settings
        self._worker: Worker | None = None
        self._signal_count = 0
        self._is_draining = False
        self._asked = asyncio.Event()

    async def run(self) -> int:
        """Work; return the exit status."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._ask)
        loop.add_signal_handler(signal.SIGHUP, self._drain)
        health = await self._open_health()
        broker = await self._opened()
        if broker is None:
            return DONE
        self._app.portal.attach(broker)
        try:
            worker = self._worker = Worker(self._app, broker, self._options())
            if health is not None:
                health.is_ready = lambda: worker.is_ready
            gc.collect()
            gc.freeze()  # what is loaded now lives as long as the process; the collector need not look at it again
            gc.set_threshold(10_000, 20, 20)  # jobs make few cycles: looking for them rarely is enough
            self._announce(worker)
            if self._asked.is_set():
                self._drain()
            await worker.run()
        finally:
            self._app.portal.detach()
            await broker.aclose()
            if health is not None:
                health.close()
        log.info("the worker has ended")
        if self._signal_count > 1:
            return SECOND_SIGNAL
        return DRAINED if worker.is_dismissed and self._settings.parent_pid else DONE

    def _ask(self) -> None:
        self._signal_count += 1
        if self._signal_count > 2:
            sys.stderr.flush()
            os._exit(SECOND_SIGNAL)
        if self._signal_count == 1:
            self._drain()
        elif self._worker is not None:
            log.info("stopping at once")
            self._worker.stop()

    def _drain(self) -> None:
        self._asked.set()
        if self._worker is not None and not self._is_draining:
            self._is_draining = True
            log.info("draining: jobs that run may end; a second signal gives them back at once")
            self._worker.drain()

    async def _opened(self) -> Broker | None:
        """Open the broker; a store that is away is waited for. ``None``: asked to stop meanwhile."""
        pause = FIRST_PAUSE_SECONDS
        while not self._asked.is_set():
            try:
                return await self._app.connect()
            except StoreUnavailable as error:
                log.warning("the store is away, waiting for it: %s %s", error, error.problem.hint or "")
            try:
                await asyncio.wait_for(self._asked.wait(), pause)
            except TimeoutError:
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
        return None

    async def _open_health(self) -> WorkerHealth | None:
        port = self._settings.health_port
        if port is None:
            return None
        health = WorkerHealth(self._app.middleware)
        await health.open(port + self._settings.index)
        return health

    def _options(self) -> WorkerOptions:
        settings, level = self._settings, self._settings.job_log_level
        shares = parse_queues(settings.queues) if settings.queues is not None else self._all_queues()
        return WorkerOptions(
            queues=pinned(shares, parse_partitions(settings.partitions)),
            is_strict=settings.is_strict,
            slots=settings.slots,
            drain_seconds=settings.drain_seconds,
            is_burst=settings.is_burst,
            job_log_level=None if level is None else logging.getLevelNamesMapping()[level.upper()],
            app_path=settings.app,
            app_url=settings.url,
            app_key=settings.key,
        )

    def _all_queues(self) -> tuple[QueueShare, ...]:
        names = self._app.queues.keys() | {task.options.queue for task in self._app.tasks.values()}
        return tuple(map(QueueShare, sorted(names or {"default"})))

    def _announce(self, worker: Worker) -> None:
        settings, options = self._settings, self._options()
        if not self._app.tasks:
            log.warning("%s has no tasks; are the modules imported that define them?", settings.app)
        if urlsplit(getattr(self._app, "url", "")).scheme == "memory":
            log.warning("the app's store is in memory: nobody outside this process can send it jobs")
        log.info(
            "worker %s runs %d tasks of %s in %d slots, from %s",
            worker.owner,
            len(self._app.tasks),
            settings.app,
            options.slots,
            ", ".join(f"{name}:{share.weight}" for share in options.queues for name in share.names),
        )


def main() -> int:
    """Be a supervisor's worker; return the exit status."""
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=WorkSettings)
    # not SIGTERM: the system sends this once for each thread of the supervisor that dies, and two mean something else
    die_with(settings.parent_pid, signal.SIGHUP)
    try:
        return run(settings)
    except PenstockError as error:
        print_error(error)
        return WRONG_USE if error.fault == "caller" else FAILED


if __name__ == "__main__":
    sys.exit(main())
