"""Looking at all queues again and again: every two seconds while somebody watches, every two minutes for the history.

One look serves all who watch. It never takes more than a fortieth of the time: with very many queues it comes less
often.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct, structs

from penstock.broker.contract import Broker
from penstock.console.latencies import Times
from penstock.console.series import COARSE_MS, Point, Series, bare_point
from penstock.core.clock import Clock
from penstock.core.errors import PenstockError, Problem, StoreUnavailable
from penstock.core.operations import DescribeQueue, ListQueues, Operation
from penstock.core.queues import QueueDescription

Reply = TypeVar("Reply")

log = logging.getLogger("penstock.console")

LOOK_MS = 2000
PAGE = 500
REST_FACTOR = 40
QUICK_MS = 100
"""If a look takes longer, or took longer the last time, who comes is shown the last one until there is another."""

SLOW_MS = 3000
"""If the store does not answer for so long, who watches is told; a store may try for longer before it gives up."""

FEW_QUEUES = 5000
"""What is worked out of more of them is worked out in a thread, so that nobody else waits for it."""

MOST_SERIES = 1000
"""Of so many queues a history is kept, 100 kB each at most; those that come first."""


class Row(Struct, frozen=True, gc=False):
    """A queue in the overview; ``dead`` counts the queue that takes its dead letters; ``is_away``: its shard does not
    answer, and its figures are not known."""

    name: str
    ready: int
    delayed: int
    in_flight: int
    dead: int | None
    sent_per_second: float
    deleted_per_second: float
    oldest_sent_at: int | None
    is_paused: bool
    is_away: bool
    is_fifo: bool
    dead_letter_queue: str | None
    takes_dead_letters: bool


class Totals(Struct, frozen=True):
    """Sums over all queues; ``dead``: what waits in those that take dead letters."""

    queues: int = 0
    ready: int = 0
    delayed: int = 0
    in_flight: int = 0
    dead: int = 0
    sent_per_second: float = 0
    deleted_per_second: float = 0


class Look(Struct, frozen=True):
    """All queues at an instant; ``problem`` where they could not be seen, then the rows are those of before. One that
    is not whole has the first of very many, until the first look at all of them is done."""

    at: int = 0
    rows: tuple[Row, ...] = ()
    totals: Totals = Totals()
    is_whole: bool = True
    problem: Problem | None = None


class Sampler:
    """Looks at queues for all who watch.

    Args:
        broker: tells of queues.
        clock: tells when.
        take_times: tells how long messages of a queue took since it was last asked.
    """

    def __init__(self, broker: Broker, clock: Clock, take_times: Callable[[str], Times | None]) -> None:
        self._broker = broker
        self._clock = clock
        self._take_times = take_times
        self._series: dict[str, Series] = {}
        self._totals: dict[str, tuple[int, int, int]] = {}
        self._look = Look()
        self._cost_ms = 0
        self._watcher_count = 0
        self._is_asked = False
        self._nudged = asyncio.Event()
        self._looked = asyncio.Condition()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._pause()
            self._is_asked = False
            began = self._clock.now_ms()
            try:
                self._look = await self._all(began)
                self._cost_ms = self._clock.now_ms() - began
            except PenstockError as error:
                self._look = structs.replace(self._look, at=began, problem=error.problem)
            except Exception:
                log.exception("the queues could not be looked at")
                self._look = structs.replace(self._look, at=began)
            await self._tell()

    async def looks(self) -> AsyncGenerator[Look, None]:
        """Yield all queues, now and whenever they were looked at again."""
        with self._watching():
            seen = None
            if self._look.at + REST_FACTOR * self._cost_ms <= self._clock.now_ms():
                before = self._look
                self._is_asked = True
                self._nudged.set()
                if self._cost_ms <= QUICK_MS:  # who comes sees what is, not what was when nobody looked
                    await self._wait_for_another(before)
            while True:
                async with self._looked:
                    await self._looked.wait_for(lambda before=seen: self._look is not before)  # type: ignore[misc]
                seen = self._look
                yield seen

    async def _wait_for_another(self, look: Look) -> None:
        """Wait until there is another look, but not long if there is one to show."""
        late = self._clock.now_ms() + QUICK_MS
        telling: list[asyncio.Task[None]] = []
        cancel = self._clock.call_at(late, lambda: telling.append(asyncio.ensure_future(self._tell())))
        try:
            async with self._looked:
                await self._looked.wait_for(
                    lambda: self._look is not look or (look.at and self._clock.now_ms() >= late)
                )
        finally:
            cancel()

    async def points(self, queue: str) -> AsyncGenerator[tuple[QueueDescription, Point], None]:
        """Yield one queue, now and every two seconds. Raises PenstockError where it cannot be seen."""
        while True:
            described = (await self._ask(DescribeQueue(queue))).queue
            yield described, self._note(described, self._clock.now_ms())
            await self._sleep(LOOK_MS)

    def series(self, queue: str) -> Series | None:
        """Return the history of a queue, where there is one."""
        return self._series.get(queue)

    @property
    def _interval_ms(self) -> int:
        rest_ms = 0 if self._look.problem else REST_FACTOR * self._cost_ms
        if self._watcher_count and self._is_asked:
            return rest_ms
        return max(LOOK_MS if self._watcher_count else COARSE_MS, rest_ms)

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        self._watcher_count += 1
        self._nudged.set()
        try:
            yield
        finally:
            self._watcher_count -= 1

    async def _pause(self) -> None:
        """Wait until it is time for a look: soon if somebody watches."""
        while True:
            due = self._look.at + self._interval_ms
            if self._clock.now_ms() >= due:
                return
            self._nudged.clear()
            cancel = self._clock.call_at(due, self._nudged.set)
            try:
                await self._nudged.wait()
            finally:
                cancel()

    async def _ask(self, operation: Operation[Reply]) -> Reply:
        """Perform an operation. Raises PenstockError, StoreUnavailable too where there is no answer for a while."""
        asking = asyncio.ensure_future(self._broker.perform(operation))

        def give_up() -> None:
            asking.cancel()

        cancel = self._clock.call_at(self._clock.now_ms() + SLOW_MS, give_up)
        try:
            return await asking
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if this is not None and this.cancelling():
                raise
            raise StoreUnavailable(
                f"The store has not answered for {SLOW_MS // 1000} s.", hint="Trying again."
            ) from None
        finally:
            cancel()

    async def _tell(self) -> None:
        async with self._looked:
            self._looked.notify_all()

    async def _sleep(self, ms: int) -> None:
        rung = asyncio.Event()
        cancel = self._clock.call_at(self._clock.now_ms() + ms, rung.set)
        try:
            await rung.wait()
        finally:
            cancel()

    async def _all(self, now: int) -> Look:
        seen: list[tuple[QueueDescription, float, float]] = []
        after: str | None = ""
        while after is not None:
            reply = await self._ask(ListQueues(after=after, limit=PAGE))
            for queue in reply.queues:
                point = self._note(queue, now)
                seen.append((queue, point.sent_per_second, point.deleted_per_second))
            after = reply.next_after
            if after is not None and not self._look.at:
                self._look = structs.replace(_look(now, seen), is_whole=False)
                await self._tell()
        look = await asyncio.to_thread(_look, now, seen) if len(seen) > FEW_QUEUES else _look(now, seen)
        names = {row.name for row in look.rows}
        for kept in (self._series, self._totals):
            for gone in kept.keys() - names:
                del kept[gone]
        return look

    def _note(self, queue: QueueDescription, now: int) -> Point:
        series = self._series.get(queue.name)
        if series is None:
            if len(self._series) >= MOST_SERIES:
                point = bare_point(queue, now, self._totals.get(queue.name))
                self._totals[queue.name] = (now, queue.sent_total, queue.deleted_total)
                return point
            series = self._series[queue.name] = Series()
        latest = series.latest
        if latest is not None and now - latest.at < LOOK_MS // 2:
            return latest
        return series.note(queue, now, self._take_times(queue.name))


def _look(now: int, seen: list[tuple[QueueDescription, float, float]]) -> Look:
    held = {queue.name: queue.counts.ready + queue.counts.delayed + queue.counts.in_flight for queue, *_ in seen}
    targets = {queue.settings.redrive.dead_letter_queue for queue, *_ in seen if queue.settings.redrive}
    rows = tuple([_row(*each, held, targets) for each in seen])
    return Look(now, rows, totals_of(rows))


def totals_of(rows: Sequence[Row]) -> Totals:
    """Return the sums over some queues."""
    return Totals(
        queues=len(rows),
        ready=sum(row.ready for row in rows),
        delayed=sum(row.delayed for row in rows),
        in_flight=sum(row.in_flight for row in rows),
        dead=sum(row.ready + row.delayed for row in rows if row.takes_dead_letters),
        sent_per_second=sum(row.sent_per_second for row in rows),
        deleted_per_second=sum(row.deleted_per_second for row in rows),
    )


def _row(queue: QueueDescription, sent: float, deleted: float, held: dict[str, int], targets: set[str]) -> Row:
    redrive = queue.settings.redrive
    target = None if redrive is None else redrive.dead_letter_queue
    return Row(
        name=queue.name,
        ready=queue.counts.ready,
        delayed=queue.counts.delayed,
        in_flight=queue.counts.in_flight,
        dead=None if target is None else held.get(target, 0),
        sent_per_second=sent,
        deleted_per_second=deleted,
        oldest_sent_at=queue.oldest_sent_at,
        is_paused=queue.settings.is_paused,
        is_away=queue.is_away,
        is_fifo=queue.settings.is_fifo,
        dead_letter_queue=target,
        takes_dead_letters=queue.name in targets,
    )
