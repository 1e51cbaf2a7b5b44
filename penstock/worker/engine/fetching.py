"""Fetching jobs: as many as there is room for, from the queue whose turn it is; waiting where all are empty.

Nothing here polls: it waits for room, then in long polls.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from penstock.broker.contract import Broker
from penstock.core.clock import Clock
from penstock.core.errors import InvalidRequest, PenstockError, QueueNotFound
from penstock.core.messages import Delivery
from penstock.core.operations import DescribeQueue, Receive, Settle
from penstock.core.partitions import is_partition, number_of, queue_of
from penstock.core.settlements import GiveBack, Settlement
from penstock.worker.engine.options import Turns, WorkerOptions

log = logging.getLogger("penstock.worker")

LONG_POLL_SECONDS = 20.0
MOST_AT_ONCE = 500
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

Fetched = list[tuple[str, Delivery]]


class Fetching:
    """Where a worker's jobs come from.

    Args:
        broker: performs the operations.
        options: which queues, and in which turns.
        make_queue: makes a queue that is not there.
        lease_seconds: says for how long a job of a queue is taken.
        clock: tells when a queue that rests is asked again.
    """

    def __init__(
        self,
        broker: Broker,
        options: WorkerOptions,
        make_queue: Callable[[str], Awaitable[None]],
        lease_seconds: Callable[[str], float],
        clock: Clock,
    ) -> None:
        self._lease_seconds = lease_seconds
        self._broker = broker
        self.owner = options.owner
        self._turns = Turns(options.queues, is_strict=options.is_strict)
        self._names = {share.name: deque(share.names) for share in options.queues}
        self._make_queue = make_queue
        self._pause = FIRST_PAUSE_SECONDS
        self.is_working = True
        self._clock = clock
        self._resting: dict[str, int] = {}

    def rest(self, queue: str, seconds: float) -> None:
        """Ask a queue for nothing for so long: what it has may not start."""
        until = self._clock.now_ms() + round(seconds * 1000)
        self._resting[queue] = max(until, self._resting.get(queue, 0))

    async def fetch(self, room: int, *, waits: bool = True) -> Fetched:
        """Return at most so many jobs; waits up to 20 s for the first one.

        A failure of the store is waited out, longer each time, and ``is_working`` is False meanwhile.
        """
        queues = [queue for queue in self._turns.order() if not self._rests(queue)]
        try:
            try:
                names = [name for queue in queues for name in self._in_turn(queue)]
                found = await self._fetch(names, min(room, MOST_AT_ONCE), waits=waits)
            except QueueNotFound:
                for queue in queues:
                    await self._make_queue(queue)
                    await self._check_partitions(queue)
                return []
        except PenstockError as error:
            if self.is_working:
                log.warning("no jobs can be fetched, trying again: %s: %s", error.code, error)
            self.is_working = False
            await asyncio.sleep(self._pause)
            self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2)
            return []
        if not self.is_working:
            log.info("jobs can be fetched again")
        self.is_working, self._pause = True, FIRST_PAUSE_SECONDS
        return found

    def _in_turn(self, queue: str) -> Sequence[str]:
        """Return what of a queue this worker receives from, each time beginning with the next."""
        names = self._names[queue]
        names.rotate(-1)
        return names

    async def _check_partitions(self, queue: str) -> None:
        """Prove that what this worker is pinned to is there. Raises InvalidRequest."""
        pinned = [number_of(name) or 0 for name in self._names[queue] if is_partition(name)]
        if not pinned:
            return
        count = (await self._broker.perform(DescribeQueue(queue))).queue.settings.partitions
        if count == 1 or max(pinned) >= count:
            raise InvalidRequest(
                f"Queue {queue!r} has {count} partitions, and this worker takes jobs from number {max(pinned)}.",
                hint="They are counted from 0. Say other partitions, or make the queue with as many.",
                field="partitions",
            )

    async def _fetch(self, queues: Sequence[str], room: int, *, waits: bool) -> Fetched:
        if not queues:
            if waits:
                await self._until_one_has_rested()
            return []
        if len(queues) == 1:
            return await self._receive(queues[0], room, self._poll_seconds() if waits else 0)
        found: Fetched = []
        for queue in queues:
            try:
                found += await self._receive(queue, room - len(found), 0)
            except (PenstockError, asyncio.CancelledError):
                await self._hand_back(found)
                raise
            if len(found) == room:
                return found
        if found or not waits:
            return found
        return await self._first_of(queues, room)

    async def _first_of(self, queues: Sequence[str], room: int) -> Fetched:
        """Wait for a job in any of several queues."""
        polls = [asyncio.ensure_future(self._receive(queue, 1, self._poll_seconds())) for queue in queues]
        is_cancelled = False
        try:
            await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            is_cancelled = True
        for poll in polls:
            poll.cancel()
        ended = await asyncio.gather(*polls, return_exceptions=True)
        found: Fetched = []
        problem: BaseException | None = None
        for outcome in ended:
            if isinstance(outcome, list):
                found += outcome
            elif not isinstance(outcome, asyncio.CancelledError):
                problem = outcome
        if is_cancelled:
            await self._hand_back(found)
            raise asyncio.CancelledError
        if not found and problem is not None:
            raise problem
        await self.give_back(found[room:])
        return found[:room]

    async def _receive(self, queue: str, room: int, wait_seconds: float) -> Fetched:
        whole = queue_of(queue)
        lease = self._lease_seconds(whole)
        reply = await self._broker.perform(
            Receive(queue, room, wait_seconds=wait_seconds, visibility_timeout_seconds=lease, owner=self.owner)
        )
        return [(whole, delivery) for delivery in reply.deliveries]

    async def _hand_back(self, jobs: Fetched) -> None:
        with suppress(PenstockError):  # then their leases end
            await self.give_back(jobs)

    def _rests(self, queue: str) -> bool:
        if self._resting.get(queue, 0) > self._clock.now_ms():
            return True
        self._resting.pop(queue, None)
        return False

    def _poll_seconds(self) -> float:
        """Return how long a long poll may be: not beyond the rest of another queue."""
        ends = (until - self._clock.now_ms() for until in self._resting.values())
        return min(LONG_POLL_SECONDS, max(0, min(ends, default=1 << 40)) / 1000)

    async def _until_one_has_rested(self) -> None:
        rung = asyncio.Event()
        cancel = self._clock.call_at(min(self._resting.values()), rung.set)
        try:
            await rung.wait()
        finally:
            cancel()

    async def give_back(self, jobs: Fetched) -> None:
        """Let go of jobs that were not begun."""
        if jobs:
            returned = (Settlement(queue, delivery.receipt_handle, GiveBack()) for queue, delivery in jobs)
            await self._broker.perform(Settle(tuple(returned)))
