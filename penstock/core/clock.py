"""What a clock is. Time enters Penstock at the broker only; below it every function is told the instant."""

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Tells the time. ``SystemClock`` asks the machine, ``ManualClock`` (penstock.testing) obeys the test."""

    def now_ms(self) -> int:
        """Return the present instant in milliseconds since the Unix epoch."""
        ...

    def call_at(self, at: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once on the event loop at an instant, or soon if it is past; return how to cancel that."""
        ...


def to_ms(seconds: float) -> int:
    """Return a duration given in seconds as whole milliseconds, rounded to the nearest."""
    return round(seconds * 1000)
