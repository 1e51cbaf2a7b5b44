"""Several workers under a supervisor, begun anew with ``--reload`` when Python files change.

A worker that died is looked after by the others, and by the one that takes its place; the supervisor loads no app.
"""

import asyncio
import logging
import signal

import msgspec
from msgspec import structs

from penstock.cli import logs
from penstock.cli.supervising import DONE, FAILED, WRONG_USE, Supervisor
from penstock.cli.work_settings import DRAINED, WorkSettings
from penstock.core.errors import PenstockError

log = logging.getLogger("penstock.work")

RELOAD_DRAIN_SECONDS = 3.0


class NoWatching(PenstockError):
    """``--reload`` needs a library."""

    code = "configuration_invalid"
    fault = "caller"


def supervise(settings: WorkSettings) -> int:
    """Have workers work until a signal comes; return the exit status."""
    logs.set_up(settings.log_format, settings.log_level)
    return asyncio.run(_run(settings))


async def _run(settings: WorkSettings) -> int:
    return await WorkerProcesses(settings).run()


class WorkerProcesses(Supervisor):
    """Watches workers.

    Args:
        settings: ``processes`` of them, each with the rest of it.
    """

    def __init__(self, settings: WorkSettings) -> None:
        super().__init__("worker", "penstock.cli.worker_process", settings.processes, log)
        self._settings = settings
        self._has_changed = asyncio.Event()

    async def run(self) -> int:
        watching = asyncio.ensure_future(self._watch()) if self._settings.reloads else None
        try:
            return await super().run()
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    def settings_of(self, index: int, parent_pid: int) -> bytes:
        self._has_changed.clear()
        return msgspec.json.encode(
            structs.replace(self._settings, processes=1, reloads=False, parent_pid=parent_pid, index=index)
        )

    async def ended(self, index: int, status: int) -> bool | None:
        if self._settings.is_burst and status == DONE:
            return True
        if status == DRAINED:
            log.info("worker %d was drained on request and is not replaced", index)
            return True
        if self._settings.reloads and status in (FAILED, WRONG_USE):
            log.info("waiting for a change")
            await self.unless_ending(self._has_changed.wait())
            return False
        return None

    async def _watch(self) -> None:
        try:
            from watchfiles import PythonFilter, awatch
        except ModuleNotFoundError:
            raise NoWatching("--reload needs watchfiles.", hint="pip install watchfiles") from None
        async for changes in awatch(".", watch_filter=PythonFilter()):
            log.info("%s changed, the workers begin anew", ", ".join(sorted({path for _, path in changes})[:3]))
            self._has_changed.set()
            self.tell()
            told = list(self.processes.values())
            await asyncio.sleep(RELOAD_DRAIN_SECONDS)
            for worker in told:
                if worker.returncode is None:
                    worker.send_signal(signal.SIGTERM)
