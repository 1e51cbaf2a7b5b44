"""Presence: each worker says in the store that it lives, hears there that it shall drain, and looks after the leases of
those that died.

On one machine a death is seen at once. Elsewhere a worker is dead when its beat has not changed for a while, by the
clock of whoever looks; clocks of different machines are never compared. Whoever notices releases the leases of the
dead and forgets its record; when several do, nothing is different.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping

from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.clock import Clock
from penstock.core.effects import Record
from penstock.core.errors import PenstockError
from penstock.core.operations import DeleteRecords, GetRecords, PutRecords, ReleaseLeases
from penstock.worker.engine.held import Held
from penstock.worker.engine.machine import machine_id, on_death, start_of
from penstock.worker.engine.options import WorkerOptions
from penstock.worker.presence import RunningJob, WorkerRecord, drain_key, encode_worker, present_workers, worker_key

log = logging.getLogger("penstock.worker")

BEAT_MS = 2000
DEAD_MS = 10_000
"""A worker whose beat has not changed for so long is dead."""

KEPT_MS = 7 * 86_400_000
"""How long it may take until somebody looks after a worker that died alone."""

MOST_JOBS_TOLD = 100


async def bury(broker: Broker, owner: str) -> int:
    """Let go of all that a dead worker held, and forget it; return how many jobs that were."""
    released = (await broker.perform(ReleaseLeases(owner))).released_count
    await broker.perform(DeleteRecords((worker_key(owner), drain_key(owner))))
    return released


class Presence:
    """One worker's presence.

    Args:
        broker: performs the operations.
        clock: tells when.
        options: what to tell, and the first ``owner``.
        held: the jobs in hand.
        is_draining: asks the worker.
        drain: called when somebody asked in the store that it drain.
        rename: called when others took this worker for dead: from then on it needs another name, which this returns.
        machine: ``machine_id()`` if not given.

    Attributes:
        burials: those of other workers that are under way.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        options: WorkerOptions,
        held: Mapping[str, Held],
        *,
        is_draining: Callable[[], bool],
        drain: Callable[[], None],
        rename: Callable[[], str],
        machine: str | None = None,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._options = options
        self._held = held
        self._is_draining = is_draining
        self._drain = drain
        self._rename = rename
        self._machine = machine or machine_id()
        self._owner = options.owner
        self._started_at = clock.now_ms()
        self._pid_start = start_of(os.getpid())
        self._beat = 0
        self._is_known = False
        self._neighbours: dict[str, Neighbour] = {}
        self.burials: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Beat and look around until cancelled."""
        while True:
            await self._next_tick()
            try:
                await self.tick()
            except PenstockError as error:
                log.debug("presence could not be told: %s: %s", error.code, error)
            except Exception:
                log.exception("presence could not be told")

    async def begin(self) -> None:
        """Say for the first time that it lives; without this nobody looks after its jobs. Raises PenstockError."""
        if not self._is_known:
            await self.tick()

    async def tick(self) -> None:
        """Look around and beat, once. Raises PenstockError."""
        others = await present_workers(self._broker)
        if self._is_known and all(each.owner != self._owner for each in others):
            old, self._owner, self._is_known = self._owner, self._rename(), False
            log.warning("this worker was taken for dead and goes on as %s, no longer %s", self._owner, old)
            await self._broker.perform(ReleaseLeases(old))
        self._look_around(others)
        if not self._is_draining() and (await self._broker.perform(GetRecords((drain_key(self._owner),)))).records[0]:
            self._drain()
        self._beat += 1
        record = Record(
            worker_key(self._owner),
            encode_worker(self._said()),
            {"machine": self._machine},
            self._clock.now_ms() + KEPT_MS,
        )
        await self._broker.perform(PutRecords((record,)))
        self._is_known = True

    async def end(self) -> None:
        """Take leave: nobody need look after this worker. Raises PenstockError."""
        for neighbour in self._neighbours.values():
            neighbour.unwatch()
        self._neighbours.clear()
        for burial in self.burials:
            burial.cancel()
        await bury(self._broker, self._owner)

    def _said(self) -> WorkerRecord:
        options = self._options
        running = [each for each in self._held.values() if each.running is not None and each.task is not None]
        return WorkerRecord(
            owner=self._owner,
            machine=self._machine,
            pid=os.getpid(),
            pid_start=self._pid_start,
            started_at=self._started_at,
            queues=tuple(name for share in options.queues for name in share.names),
            slots=options.slots,
            beat=self._beat,
            is_draining=self._is_draining(),
            held_count=len(self._held),
            jobs=tuple(
                RunningJob(each.job_id, each.task.name if each.task else "", each.started_at, each.progress)
                for each in running[:MOST_JOBS_TOLD]
            ),
        )

    # -- the others ----------------------------------------------------------------------------------------------------

    def _look_around(self, others: list[WorkerRecord]) -> None:
        # looks are counted, not time: neither a pause of this process, nor the store's absence, nor a clock that was
        # set makes others look dead
        seen = {each.owner: each for each in others if each.owner != self._owner}
        for owner in self._neighbours.keys() - seen.keys():
            self._neighbours.pop(owner).unwatch()
        for owner, said in seen.items():
            neighbour = self._neighbours.get(owner)
            if neighbour is None:
                neighbour = self._neighbours[owner] = Neighbour(said)
                if said.machine == self._machine:
                    self._watch(neighbour)
            elif neighbour.silent_ms(said.beat) >= DEAD_MS:
                self._note_death(neighbour, "has not been heard of")

    def _watch(self, neighbour: "Neighbour") -> None:
        said = neighbour.said
        neighbour.unwatch = on_death(said.pid, lambda: self._note_death(neighbour, "died"))
        # asked when it is watched already: a process of the same number that started later is another one
        started = start_of(said.pid)
        if started is not None and said.pid_start is not None and started != said.pid_start:
            self._note_death(neighbour, "died")

    def _note_death(self, neighbour: "Neighbour", how: str) -> None:
        if not neighbour.is_dead:
            neighbour.is_dead = True
            neighbour.unwatch()
            burial = asyncio.get_running_loop().create_task(self._bury(neighbour, how))
            self.burials.add(burial)
            burial.add_done_callback(self.burials.discard)

    async def _bury(self, neighbour: "Neighbour", how: str) -> None:
        owner = neighbour.said.owner
        try:
            released = await bury(self._broker, owner)
        except PenstockError as error:
            log.warning("worker %s %s, and its jobs cannot be released yet: %s", owner, how, error)
        else:
            level = logging.WARNING if released else logging.INFO  # who took leave was done, and ends too
            log.log(level, "worker %s %s; %d jobs of it are released", owner, how, released)
        self._neighbours.pop(owner, None)  # if it is still there at the next look, it is looked at afresh

    async def _next_tick(self) -> None:
        rung = asyncio.Event()
        cancel = self._clock.call_at(self._clock.now_ms() + BEAT_MS, rung.set)
        try:
            await rung.wait()
        finally:
            cancel()


class Neighbour:
    """Another worker, as seen from here."""

    __slots__ = ("_silent_ms", "is_dead", "said", "unwatch")

    def __init__(self, said: WorkerRecord) -> None:
        self.said = said
        self.is_dead = False
        self.unwatch: Callable[[], object] = _nothing
        self._silent_ms = 0

    def silent_ms(self, beat: int) -> int:
        """Return for how long its beat has been the same: that many looks, two seconds apart."""
        if beat == self.said.beat:
            self._silent_ms += BEAT_MS
        else:
            self._silent_ms = 0
            self.said = structs.replace(self.said, beat=beat)
        return self._silent_ms


def _nothing() -> None:
    pass
