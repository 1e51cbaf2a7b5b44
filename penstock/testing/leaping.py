"""A clock that runs, and can be told to leap."""

import asyncio
import itertools
import time
from collections.abc import Callable


class LeapingClock:
    """The machine's clock, and a lead over it. For one event loop, and called on it."""

    def __init__(self) -> None:
        self._lead_ms = 0
        self._order = itertools.count()
        self._alarms: dict[int, tuple[int, Callable[[], None], asyncio.TimerHandle]] = {}

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._lead_ms

    def call_at(self, at: int, callback: Callable[[], None]) -> Callable[[], None]:
        number = next(self._order)
        self._set(number, at, callback)
        return lambda: self._cancel(number)

    def leap(self, seconds: float) -> None:
        """Be so many seconds further ahead; alarms that are due by then ring soon, in the order of their instants."""
        self._lead_ms += round(seconds * 1000)
        alarms, self._alarms = self._alarms, {}
        for number, (at, callback, handle) in sorted(alarms.items(), key=lambda item: (item[1][0], item[0])):
            handle.cancel()
            self._set(number, at, callback)

    def _set(self, number: int, at: int, callback: Callable[[], None]) -> None:
        # half a millisecond late rather than early: who is woken early looks and finds nothing
        delay_seconds = max(0.0, (at - self.now_ms()) / 1000 + 0.0005)
        handle = asyncio.get_running_loop().call_later(delay_seconds, self._ring, number)
        self._alarms[number] = (at, callback, handle)

    def _ring(self, number: int) -> None:
        _, callback, _ = self._alarms.pop(number)
        callback()

    def _cancel(self, number: int) -> None:
        alarm = self._alarms.pop(number, None)
        if alarm is not None:
            alarm[2].cancel()
