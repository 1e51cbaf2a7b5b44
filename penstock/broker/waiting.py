"""Long polls: who waits under which name of wake-ups, and who is woken when something may be there. Nothing here polls.

A wake-up of a queue goes to one waiter. One that finds something hands the wake-up on, so that a batch of messages
wakes as many waiters as it feeds, and a message nobody gets wakes none twice. Who follows in a group waits for what
others there may not receive, so a wake-up of a group goes to all its followers.
"""

import asyncio
import itertools
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable

from penstock.core.clock import Clock
from penstock.store.contract import EVERY_GROUP, wakeup_name


class Waiting:
    """The waiters of all queues in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiters: defaultdict[str, OrderedDict[asyncio.Future[None], None]] = defaultdict(OrderedDict)
        self._alarms: dict[str, tuple[int, Callable[[], None]]] = {}
        self._versions: dict[str, int] = {}
        self._next_version = itertools.count(1).__next__
        self._follower_counts: Counter[str] = Counter()
        self._followed: defaultdict[str, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        """Return how many wait."""
        return sum(len(waiters) for waiters in self._waiters.values())

    def version(self, name: str) -> int:
        """Return a number that changes with every wake-up of that name: read it before you look, pass it to wait."""
        version = self._versions.get(name)
        if version is None:
            version = self._versions[name] = self._next_version()
        return version

    def follow(self, queue: str, group_id: str) -> str:
        """Listen to the wake-ups of a group until ``unfollow``; return their name."""
        name = wakeup_name(queue, group_id)
        self._follower_counts[name] += 1
        self._followed[wakeup_name(queue, EVERY_GROUP)].add(name)
        self.version(name)
        return name

    def unfollow(self, queue: str, name: str) -> None:
        """Stop listening to the wake-ups of a group; the last who does leaves nothing of it behind."""
        self._follower_counts[name] -= 1
        if self._follower_counts[name]:
            return
        del self._follower_counts[name], self._versions[name]
        every_group = wakeup_name(queue, EVERY_GROUP)
        self._followed[every_group].discard(name)
        if not self._followed[every_group]:
            del self._followed[every_group]
        if name in self._alarms:
            self._alarms.pop(name)[1]()

    def forget(self, queue: str) -> None:
        """Keep nothing of a queue that is not there."""
        if queue not in self._waiters:
            self._versions.pop(queue, None)

    def wake(self, name: str, at: int) -> None:
        """Something may be receivable under ``name`` from the instant ``at`` on."""
        if name not in self._versions:
            for each in tuple(self._followed.get(name, ())):
                self.wake(each, at)
            return
        if at > self._clock.now_ms():
            self._set_alarm(name, at)
            return
        self._versions[name] = self._next_version()
        waiters = self._waiters.get(name)
        while waiters:
            waiter, _ = waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                if name not in self._follower_counts:
                    break

    async def wait(self, name: str, version: int | None, look_again_at: int | None, until: int) -> bool:
        """Wait for a wake-up later than ``version``, or until an instant; return whether there was a wake-up. Without a
        version there was one already."""
        if self._versions.get(name) != version or (look_again_at is not None and look_again_at <= self._clock.now_ms()):
            return True
        if look_again_at is not None and look_again_at < until:
            self._set_alarm(name, look_again_at)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        cancel_timer = self._clock.call_at(until, lambda: _give_up(waiter))
        self._waiters[name][waiter] = None
        try:
            await asyncio.wait((waiter,))
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.wake(name, 0)
            raise
        finally:
            cancel_timer()
            waiter.cancel()
            self._leave(name, waiter)
        return not waiter.cancelled()

    def _leave(self, name: str, waiter: "asyncio.Future[None]") -> None:
        waiters = self._waiters[name]
        waiters.pop(waiter, None)
        if not waiters:
            del self._waiters[name]

    def _set_alarm(self, name: str, at: int) -> None:
        if name in self._alarms:
            earlier, cancel = self._alarms[name]
            if earlier <= at:
                return
            cancel()
        self._alarms[name] = (at, self._clock.call_at(at, lambda: self._ring(name)))

    def _ring(self, name: str) -> None:
        del self._alarms[name]
        self.wake(name, 0)


def _give_up(waiter: "asyncio.Future[None]") -> None:
    waiter.cancel()
