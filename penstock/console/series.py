"""How a queue did over time, in memory: the last minutes finely, the last day coarsely. A restart forgets it."""

from array import array
from collections.abc import Iterator

from msgspec import Struct

from penstock.core.queues import QueueDescription

FINE_POINTS = 300
COARSE_MS = 120_000
COARSE_POINTS = 720
"""A day."""

_WIDTH = 6


class Point(Struct, frozen=True, array_like=True):
    """A queue at an instant.

    Attributes:
        at: ms since the epoch.
        ready, delayed, in_flight: how many messages were in each state.
        sent_per_second, deleted_per_second: since the point before.
        age_seconds: of the oldest message; 0 in an empty queue.
    """

    at: int
    ready: int
    delayed: int
    in_flight: int
    sent_per_second: float
    deleted_per_second: float
    age_seconds: float


class Ring:
    """The last points of a kind, 32 bytes each.

    Args:
        most: how many are kept.
    """

    __slots__ = ("_at", "_most", "_oldest", "_values")

    def __init__(self, most: int) -> None:
        self._most = most
        self._oldest = 0
        self._at = array("q")
        self._values = array("f")

    def add(self, point: Point) -> None:
        """Keep a point, in place of the oldest if there are as many as may be."""
        values = (
            point.ready,
            point.delayed,
            point.in_flight,
            point.sent_per_second,
            point.deleted_per_second,
            point.age_seconds,
        )
        if len(self._at) < self._most:
            self._at.append(point.at)
            self._values.extend(values)
        else:
            here = self._oldest
            self._at[here] = point.at
            self._values[here * _WIDTH : (here + 1) * _WIDTH] = array("f", values)
            self._oldest = (here + 1) % self._most

    def last(self, count: int) -> Iterator[Point]:
        """Yield the latest points, oldest first."""
        size = len(self._at)
        for place in range(max(0, size - count), size):
            here = (self._oldest + place) % size
            ready, delayed, in_flight, *rates = self._values[here * _WIDTH : (here + 1) * _WIDTH]
            yield Point(self._at[here], int(ready), int(delayed), int(in_flight), *(round(rate, 3) for rate in rates))


class Series:
    """What is kept of one queue."""

    __slots__ = ("_coarse", "_coarse_totals", "_fine", "_totals", "latest")

    def __init__(self) -> None:
        self._fine = Ring(FINE_POINTS)
        self._coarse = Ring(COARSE_POINTS)
        self._totals: tuple[int, int, int] | None = None
        self._coarse_totals: tuple[int, int, int] | None = None
        self.latest: Point | None = None

    def note(self, queue: QueueDescription, now: int) -> Point:
        """Keep how a queue is at an instant and return it."""
        totals = (now, queue.sent_total, queue.deleted_total)
        point = _point(queue, now, self._totals, totals)
        if self._totals is not None:  # the first has no rates
            self._fine.add(point)
        self._totals = totals
        self.latest = point
        if self._coarse_totals is None or now - self._coarse_totals[0] >= COARSE_MS:
            if self._coarse_totals is not None:
                self._coarse.add(_point(queue, now, self._coarse_totals, totals))
            self._coarse_totals = totals
        return point

    def fine(self, count: int = FINE_POINTS) -> list[Point]:
        """Return the latest points, as near to each other as somebody watched."""
        return list(self._fine.last(count))

    def coarse(self) -> list[Point]:
        """Return the points of the last day."""
        return list(self._coarse.last(COARSE_POINTS))


def _point(
    queue: QueueDescription, now: int, before: tuple[int, int, int] | None, totals: tuple[int, int, int]
) -> Point:
    sent = deleted = 0.0
    if before is not None and now > before[0]:
        seconds = (now - before[0]) / 1000
        sent = max(0, totals[1] - before[1]) / seconds
        deleted = max(0, totals[2] - before[2]) / seconds
    age = 0.0 if queue.oldest_sent_at is None else max(0, now - queue.oldest_sent_at) / 1000
    counts = queue.counts
    return Point(now, counts.ready, counts.delayed, counts.in_flight, sent, deleted, age)
