"""What a worker does beside running jobs, each in a loop of its own: sending what schedules say, relaying outboxes."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from penstock.broker.contract import Broker
from penstock.core.errors import PenstockError
from penstock.worker.app import App
from penstock.worker.schedules.sending import send_due

log = logging.getLogger("penstock.worker")

LOOK_MS = 5000
"""How long it takes at most until what others changed is noticed, and a clock that was set."""

PAUSE_MS = 2000
"""After a failure of the store."""


class Duty(Protocol):
    """Something to do again and again."""

    wake: Callable[[], None] | None
    """Set while it is done: has the next step done now; from any thread."""

    async def step(self, broker: Broker) -> int | None:
        """Do what is due now and return when the next step is due (ms since the epoch); ``None``: not known."""
        ...

    async def aclose(self) -> None:
        """Let go of what it holds. It may be done again."""
        ...


class Scheduling:
    """Sends the occurrences of schedules, and writes down at first those that the app's code declares."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._is_declared = False
        self.wake: Callable[[], None] | None = None

    async def step(self, broker: Broker) -> int | None:
        if not self._is_declared:
            await self._app.async_schedules.write_declared(broker)
            self._is_declared = True
        now = self._app.clock.now_ms()
        while (next_at := await send_due(self._app, broker, now)) is not None and next_at <= now:
            pass
        return next_at

    async def aclose(self) -> None:
        pass


class Duties:
    """All duties of a worker, or some.

    Args:
        app: whose schedules and outboxes they are.
        broker: performs the operations.
        duties: which; all if not given.
    """

    def __init__(self, app: App, broker: Broker, duties: Sequence[Duty] | None = None) -> None:
        self._app = app
        self._broker = broker
        self._duties: Sequence[Duty] = (Scheduling(app), *app.relays) if duties is None else duties

    async def once(self) -> None:
        """Do once what is due now."""
        for duty in self._duties:
            await self._step(duty)
            await duty.aclose()

    async def run(self) -> None:
        """Go on until cancelled."""
        await asyncio.gather(*map(self._run, self._duties))

    async def _run(self, duty: Duty) -> None:
        rung, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(rung.set)

        duty.wake = wake
        try:
            while True:
                rung.clear()
                await self._rest(rung, await self._step(duty))
        finally:
            duty.wake = None
            await duty.aclose()

    async def _step(self, duty: Duty) -> int | None:
        now = self._app.clock.now_ms()
        try:
            return await duty.step(self._broker)
        except PenstockError as error:
            log.warning("%s failed and is tried again: %s: %s", type(duty).__name__, error.code, error)
        except Exception:
            log.exception("%s failed and is tried again", type(duty).__name__)
        return now + PAUSE_MS

    async def _rest(self, rung: asyncio.Event, until: int | None) -> None:
        now = self._app.clock.now_ms()
        cancel = self._app.clock.call_at(min(until or now + LOOK_MS, now + LOOK_MS), rung.set)
        try:
            await rung.wait()
        finally:
            cancel()
