"""Slots: how many attempts may run at once."""

import asyncio
from collections import deque
from collections.abc import Callable

Taker = Callable[[], bool]
"""Takes the slot it is given, or returns False: nobody is there any more."""


class Slots:
    """Slots that are taken and given back; who comes when all are taken gets one in order of arrival.

    A semaphore of asyncio does the same for several times the time, for every job.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[Taker] = deque()
        self._loop = asyncio.get_running_loop()

    async def take(self) -> None:
        """Take a slot; wait for one if need be."""
        given = self._loop.create_future()

        def take() -> bool:
            if given.done():
                return False
            given.set_result(None)
            return True

        self.take_then(take)
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():
                self.give()  # it came in the same turn
            raise

    def take_then(self, taker: Taker) -> None:
        """Take a slot for somebody who need not wait: now, or when it is given."""
        if self._free:
            self._free -= 1
            taker()
        else:
            self._waiting.append(taker)

    def give(self) -> None:
        """Give a slot back, or one more."""
        while self._waiting:
            if self._waiting.popleft()():
                return
        self._free += 1
