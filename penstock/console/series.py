"""How a queue did over time, in memory: the last minutes finely, days coarsely. A restart forgets it."""

from array import array
from collections.abc import Iterator
from math import isnan, nan

from msgspec import Struct

from penstock.console.latencies import MOST_TIMES, Times
from penstock.core.queues import QueueDescription

FINE_POINTS = 300
COARSE_MS = 120_000
SPANS = ((0, FINE_POINTS), (COARSE_MS, 720), (900_000, 672))
"""Ten minutes, a day and a week: how far the points are from each other, and how many are kept."""

SLOWER_PART = 0.05
"""Of durations, that is told which so many take longer than."""

_WIDTH = 8


class Point(Struct, frozen=True, array_like=True):
    """A queue at an instant.

    Attributes:
        at: ms since the epoch.
        ready, delayed, in_flight: how many messages were in each state.
        sent_per_second, deleted_per_second: since the point before.
        age_seconds: of the oldest message; 0 in an empty queue.
        waited_seconds, held_seconds: from sent to first received, and from received to deleted: 95 of 100 took no
            longer. ``None`` where nothing was measured since the point before.
    """

    at: int
    ready: int
    delayed: int
    in_flight: int
    sent_per_second: float
    deleted_per_second: float
    age_seconds: float
    waited_seconds: float | None = None
    held_seconds: float | None = None


class Ring:
    """The last points of a kind, 40 bytes each.

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
            nan if point.waited_seconds is None else point.waited_seconds,
            nan if point.held_seconds is None else point.held_seconds,
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
            told = (None if isnan(rate) else round(rate, 3) for rate in rates)
            yield Point(self._at[here], int(ready), int(delayed), int(in_flight), *told)  # type: ignore[arg-type]


class Span:
    """A part of the past: points so far from each other, and what is noted for the next one.

    Args:
        interval_ms: 0: as near to each other as they come.
        most: how many are kept.
    """

    __slots__ = ("_interval_ms", "_times", "_totals", "ring")

    def __init__(self, interval_ms: int, most: int) -> None:
        self.ring = Ring(most)
        self._interval_ms = interval_ms
        self._totals: tuple[int, int, int] | None = None
        self._times = Times()

    def note(self, queue: QueueDescription, now: int, times: Times | None) -> Point | None:
        """Keep a point if it is time for one and return it; the first has no rates, and is not kept."""
        if times is not None:
            for kept, more in ((self._times.waited, times.waited), (self._times.held, times.held)):
                kept += more
                if len(kept) > 2 * MOST_TIMES:
                    del kept[::2]
        if self._totals is not None and now - self._totals[0] < self._interval_ms:
            return None
        totals = (now, queue.sent_total, queue.deleted_total)
        point = _point(queue, now, self._totals, totals, self._times)
        if self._totals is not None:
            self.ring.add(point)
        self._totals, self._times = totals, Times()
        return point


class Series:
    """What is kept of one queue."""

    __slots__ = ("_spans", "latest")

    def __init__(self) -> None:
        self._spans = tuple(Span(interval_ms, most) for interval_ms, most in SPANS)
        self.latest: Point | None = None

    def note(self, queue: QueueDescription, now: int, times: Times | None = None) -> Point:
        """Keep how a queue is at an instant, and how long its messages took since the last one; return it."""
        point, *_ = [span.note(queue, now, times) for span in self._spans]
        assert point is not None
        self.latest = point
        return point

    def points(self, span: int, count: int) -> list[Point]:
        """Return the latest points of a span, oldest first; the first span is the finest."""
        return list(self._spans[span].ring.last(count))

    def history(self) -> list[list[Point]]:
        """Return all points of all spans."""
        return [self.points(span, most) for span, (_, most) in enumerate(SPANS)]


def _point(
    queue: QueueDescription,
    now: int,
    before: tuple[int, int, int] | None,
    totals: tuple[int, int, int],
    times: Times,
) -> Point:
    sent = deleted = 0.0
    if before is not None and now > before[0]:
        seconds = (now - before[0]) / 1000
        sent = max(0, totals[1] - before[1]) / seconds
        deleted = max(0, totals[2] - before[2]) / seconds
    age = 0.0 if queue.oldest_sent_at is None else max(0, now - queue.oldest_sent_at) / 1000
    counts = queue.counts
    waited, held = _slow(times.waited), _slow(times.held)
    return Point(now, counts.ready, counts.delayed, counts.in_flight, sent, deleted, age, waited, held)


def _slow(times: list[int]) -> float | None:
    return sorted(times)[int(len(times) * (1 - SLOWER_PART))] / 1000 if times else None
