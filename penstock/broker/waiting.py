"""Long polls: who waits for which queue, and who is woken when something may be there. Nothing here polls.

A wake-up goes to one waiter. One that finds something hands the wake-up on, so that a batch of messages wakes as many
waiters as it feeds, and a message nobody gets wakes none twice.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable

from penstock.core.clock import Clock


class Waiting:
    """The waiters of all queues in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiters: defaultdict[str, OrderedDict[asyncio.Future[None], None]] = defaultdict(OrderedDict)
        self._alarms: dict[str, tuple[int, Callable[[], None]]] = {}
        self._versions: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return sum(len(waiters) for waiters in self._waiters.values())

    def version(self, queue: str) -> int:
        """Return a number that changes with every wake-up of the queue: read it before you look, pass it to wait."""
        return self._versions.setdefault(queue, 0)

    def forget(self, queue: str) -> None:
        """Keep nothing of a queue that is not there."""
        if queue not in self._waiters:
            self._versions.pop(queue, None)

    def wake(self, queue: str, at: int) -> None:
        """Something may be receivable in ``queue`` from the instant ``at`` on."""
        if queue not in self._versions:
            return
        if at > self._clock.now_ms():
            self._set_alarm(queue, at)
            return
        self._versions[queue] += 1
        waiters = self._waiters.get(queue)
        while waiters:
            waiter, _ = waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                break

    async def wait(self, queue: str, version: int, look_again_at: int | None, until: int) -> bool:
        """Wait for a wake-up later than ``version``, or until an instant; return whether there was a wake-up."""
        if self._versions.get(queue) != version or (
            look_again_at is not None and look_again_at <= self._clock.now_ms()
        ):
            return True
        if look_again_at is not None and look_again_at < until:
            self._set_alarm(queue, look_again_at)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        cancel_timer = self._clock.call_at(until, lambda: _give_up(waiter))
        self._waiters[queue][waiter] = None
        try:
            await asyncio.wait((waiter,))
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.wake(queue, 0)
            raise
        finally:
            cancel_timer()
            waiter.cancel()
            self._leave(queue, waiter)
        return not waiter.cancelled()

    def _leave(self, queue: str, waiter: "asyncio.Future[None]") -> None:
        waiters = self._waiters[queue]
        waiters.pop(waiter, None)
        if not waiters:
            del self._waiters[queue]

    def _set_alarm(self, queue: str, at: int) -> None:
        if queue in self._alarms:
            earlier, cancel = self._alarms[queue]
            if earlier <= at:
                return
            cancel()
        self._alarms[queue] = (at, self._clock.call_at(at, lambda: self._ring(queue)))

    def _ring(self, queue: str) -> None:
        del self._alarms[queue]
        self.wake(queue, 0)


def _give_up(waiter: "asyncio.Future[None]") -> None:
    waiter.cancel()
