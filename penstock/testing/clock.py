"""A clock that stands still until it is told to move."""

import heapq
import itertools
from collections.abc import Callable


class ManualClock:
    """A clock that obeys the test.

    Args:
        now_ms: where it starts, in ms since the epoch.
    """

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now = now_ms
        self._order = itertools.count()
        self._alarms: list[tuple[int, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()

    def now_ms(self) -> int:
        return self._now

    def call_at(self, at: int, callback: Callable[[], None]) -> Callable[[], None]:
        number = next(self._order)
        heapq.heappush(self._alarms, (at, number, callback))
        return lambda: self._cancelled.add(number)

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds, ringing every alarm on the way at its own instant."""
        until = self._now + round(seconds * 1000)
        while self._alarms and self._alarms[0][0] <= until:
            at, number, callback = heapq.heappop(self._alarms)
            self._now = max(self._now, at)
            if number not in self._cancelled:
                callback()
            self._cancelled.discard(number)
        self._now = until
