"""A worker: fetches jobs, runs them in its slots, settles them, and drains when asked to.

Everything here is on one event loop, the worker's own; the functions of tasks run elsewhere (see the runners), so
nothing a task does keeps leases from being renewed or other jobs from being run.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.clock import to_ms
from penstock.core.errors import PenstockError
from penstock.core.messages import Delivery
from penstock.worker.app import App
from penstock.worker.engine.draining import finish
from penstock.worker.engine.duties import Duties
from penstock.worker.engine.fetching import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Fetching
from penstock.worker.engine.handling import Handling
from penstock.worker.engine.held import Held
from penstock.worker.engine.limiting import Limiting
from penstock.worker.engine.machine import steady_clock
from penstock.worker.engine.options import WorkerOptions
from penstock.worker.engine.presence import Presence
from penstock.worker.engine.runners import Runner
from penstock.worker.engine.tending import Tending
from penstock.worker.job_logs import JobLogs
from penstock.worker.outcomes import (
    LeaseLost,
)
from penstock.worker.queues import ensure
from penstock.worker.sessions import MOST_EVENTS
from penstock.worker.tasks import RunsIn

log = logging.getLogger("penstock.worker")

MOST_AHEAD = 64
"""How many jobs for each slot are held beyond it at most, however fast they end."""

LEAVE_SECONDS = 2.0


class Worker:
    """One worker of an app.

    Args:
        app: the tasks, and what sends their jobs.
        broker: performs the operations; lives on the running loop and is closed by the caller.
        options: how to work.
        runners: what runs attempts, by kind of slot; made when first needed where not given.
    """

    def __init__(
        self, app: App, broker: Broker, options: WorkerOptions, runners: Mapping[RunsIn, Runner] | None = None
    ) -> None:
        self._app = app
        self._broker = broker
        self._options = options if options.owner else structs.replace(options, owner=new_owner(app))
        self._loop = asyncio.get_running_loop()
        self._held: dict[str, Held] = {}
        self._is_draining = asyncio.Event()
        self._steady_ms = steady_clock(app.clock)
        self._fetching = Fetching(broker, self._options, self._make_queue, self._lease_seconds, app.clock)
        self._limiting = Limiting(broker, app.clock, self._options.owner)
        self._handling = Handling(
            app,
            broker,
            self._options,
            self._held,
            is_draining=self._is_draining,
            limiting=self._limiting,
            begin_trial=self._begin_trial,
            rest=self._fetching.rest,
            runners=runners,
        )
        self._tending = Tending(
            broker,
            app.clock,
            self._held,
            self._handling.stop,
            worker=self._options.owner,
            keep_ms=app.result_ms,
            also=self._limiting.tend,
        )
        self._duties = Duties(app, broker)
        self._jobs: set[asyncio.Task[None]] = set()
        self._is_stopping = asyncio.Event()
        self._is_dismissed = False
        self._presence = Presence(
            broker,
            app.clock,
            self._options,
            self._held,
            is_draining=self._is_draining.is_set,
            drain=self._dismiss,
            rename=self._rename,
        )

    @property
    def owner(self) -> str:
        """Names this worker in the store."""
        return self._options.owner

    @property
    def held(self) -> Mapping[str, Held]:
        """The jobs in hand, by id."""
        return self._held

    @property
    def is_ready(self) -> bool:
        """Whether it gets jobs from the store, as far as it knows."""
        return self._fetching.is_working and not self._is_draining.is_set()

    @property
    def is_dismissed(self) -> bool:
        """Whether it drains because somebody asked for it in the store: whoever looks after it need not replace it."""
        return self._is_dismissed

    async def run(self) -> None:
        """Work until drained, or in a burst until the queues are empty."""
        caring = [asyncio.create_task(self._tending.run(self._handling.has_jobs))]
        if self._options.is_present:
            caring.append(asyncio.create_task(self._presence.run()))
        if self._options.is_burst:
            await self._duties.once()
        else:
            caring.append(asyncio.create_task(self._duties.run()))
        taking_down = None
        if self._options.job_log_level is not None:
            taking_down = JobLogs(self._handling.logs, self._options.job_log_level)
            logging.getLogger().addHandler(taking_down)
        try:
            await self._until_drained(self._fetch_and_start())
            await self._finish()
        finally:
            if taking_down is not None:
                logging.getLogger().removeHandler(taking_down)
            for each in caring:
                each.cancel()
            await asyncio.gather(*caring, return_exceptions=True)
            await self._limiting.aclose()
            for runner in self._handling.runners.values():
                await runner.aclose()
            if self._options.is_present:
                await self._take_leave()

    async def _begin_trial(self, held: Held) -> bool:
        return await self._tending.begin_trial(held)

    def drain(self) -> None:
        """Fetch nothing more; ``run`` returns when what runs has ended, or its time is over."""
        self._is_draining.set()

    def _dismiss(self) -> None:
        log.info("draining, as somebody asked in the store")
        self._is_dismissed = True
        self.drain()

    def stop(self) -> None:
        """Fetch nothing more and wait for nothing: ``run`` returns as soon as all jobs are given back."""
        self._is_draining.set()
        self._is_stopping.set()

    # -- presence ------------------------------------------------------------------------------------------------------

    async def _appear(self) -> None:
        """Say that this worker lives before it takes any job: who dies unknown leaves nobody to look after its jobs."""
        pause = FIRST_PAUSE_SECONDS
        while self._options.is_present:
            try:
                await self._presence.begin()
                break
            except PenstockError as error:
                if self._fetching.is_working:
                    log.warning("the store is away, waiting for it: %s: %s", error.code, error)
                self._fetching.is_working = False
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _take_leave(self) -> None:
        try:
            await asyncio.wait_for(self._presence.end(), LEAVE_SECONDS)
        except (PenstockError, TimeoutError) as error:
            log.warning("could not take leave; leases that are left end by themselves: %s", error)

    def _rename(self) -> str:
        owner = new_owner(self._app)
        self._options = structs.replace(self._options, owner=owner)
        self._fetching.owner = self._tending.worker = self._limiting.owner = self._handling.owner = owner
        return owner

    # -- fetching ------------------------------------------------------------------------------------------------------

    async def _until_drained(self, work: Any) -> None:
        """Do some work until it ends or the worker is drained."""
        working = asyncio.ensure_future(work)
        draining = asyncio.ensure_future(self._is_draining.wait())
        try:
            await asyncio.wait((working, draining), return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            draining.cancel()
            ended = await asyncio.gather(working, draining, return_exceptions=True)
        if isinstance(ended[0], Exception):
            raise ended[0]

    async def _fetch_and_start(self) -> None:
        await self._appear()
        while True:
            room = self._room()
            while room <= 0:
                self._handling.has_room.clear()
                await self._handling.has_room.wait()
                room = self._room()
            is_idle = not self._held
            found = await self._fetching.fetch(room, waits=not self._options.is_burst)
            now, steady_now = self._app.clock.now_ms(), self._steady_ms()
            for queue, delivery in found:
                self._start(queue, delivery, now, steady_now)
            if found:
                self._handling.has_jobs.set()
            if self._options.is_burst and not found and self._fetching.is_working:
                if is_idle:
                    return
                if self._held:  # otherwise they have ended meanwhile, and may have let others go
                    self._handling.has_room.clear()
                    await self._handling.has_room.wait()

    def _room(self) -> int:
        """Return how many more jobs can be started soon."""
        options = self._options
        ahead = options.slots * options.lookahead_seconds / max(self._handling.mean_seconds, 1e-5)
        most = options.slots + min(int(ahead), MOST_AHEAD * options.slots)
        # those behind others of their key need no slot yet; other keys may have work for it
        sessions = self._handling.sessions.values()
        behind = self._handling.lines.behind_count + sum(session.more_count for session in sessions)
        busy = len(self._held) - min(behind, len(sessions) * MOST_EVENTS + MOST_AHEAD * options.slots)
        room = most - busy
        # a few free places are not worth an operation while the slots are busy
        return room if room * 4 >= most or busy < options.slots else 0

    def _start(self, queue: str, delivery: Delivery, now: int, steady_now: int) -> None:
        definition = self._app.queue_named(queue)
        held = Held(queue, delivery, to_ms(definition.lease_seconds), steady_now, now)
        self._held[held.job_id] = held
        if delivery.group_id is not None and definition.keys == "ordered" and self._handling.lines.join(held):
            self._handle(held)
        else:
            self._handling.slots.take_then(partial(self._handle_in_slot, held))

    def _handle_in_slot(self, held: Held) -> bool:
        held.has_slot = True
        self._handle(held)
        return True

    def _handle(self, held: Held) -> None:
        job = self._loop.create_task(self._handling.handle(held))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    def _lease_seconds(self, queue: str) -> float:
        return self._app.queue_named(queue).lease_seconds

    async def _make_queue(self, queue: str) -> None:
        await ensure(self._broker, self._app.queue_named(queue))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Wait for what runs, at most as long as a drain may take; give back the rest."""
        self._handling.lines.dissolve()
        for held in list(self._held.values()):
            if held.runner is None and not held.is_settling:
                self._handling.slots.give()  # those that wait for a slot get one, see the drain and let go
        limit = None if self._options.is_burst and not self._is_draining.is_set() else self._options.drain_seconds
        await finish(self._jobs, self._stop_all, limit, self._is_stopping)

    def _stop_all(self) -> None:
        for held in list(self._held.values()):
            self._handling.stop(held, LeaseLost)


def new_owner(app: App) -> str:
    """Return a name for a worker: where it runs, and what no other one has."""
    return f"{socket.gethostname()}/{os.getpid()}/{app.new_id()[-12:]}"
