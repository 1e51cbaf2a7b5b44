"""Server-sent events: what a page that is open sees change. Each stream ends after a while, so that the page asks again
and whether it may is decided anew."""

from asyncio import to_thread
from collections.abc import AsyncGenerator, Sequence
from enum import StrEnum
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from penstock.console.pages import GUARDS
from penstock.console.sampling import FEW_QUEUES, Look, Row, Sampler, totals_of
from penstock.console.series import SPANS
from penstock.core.clock import Clock
from penstock.core.errors import PenstockError
from penstock.core.rights import FULL, Right, Rights
from penstock.wire.http import Response

STREAM_SECONDS = 120
SPARK_POINTS = 60

_encode = msgspec.json.Encoder().encode
_HEADERS = (*GUARDS, (b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"))


class Sorting(StrEnum):
    """What an overview is sorted by."""

    NAME = "name"
    READY = "ready"
    DELAYED = "delayed"
    IN_FLIGHT = "in_flight"
    DEAD = "dead"
    SENT = "sent"
    DELETED = "deleted"
    AGE = "age"
    DRAIN = "drain"


class Overview(Struct, frozen=True):
    """Which queues a page shows.

    Attributes:
        text: occurs in their names.
        sort, is_descending: in which order.
        offset, limit: which part of them.
        kind: only those that take dead letters, or only others.
    """

    text: str = ""
    sort: Sorting = Sorting.NAME
    is_descending: bool = False
    offset: int = 0
    limit: int = 50
    kind: str = ""


class LiveQueue(Struct, frozen=True):
    """Which queue a page shows."""

    queue: str


def event(kind: str, data: Any) -> bytes:
    """Return an event as it goes over the wire; JSON has no line ends of its own."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(data))


def overview(sampler: Sampler, asked: Overview, clock: Clock, rights: Rights = FULL) -> Response:
    """Return a stream of the overview, of the queues that rights let see."""

    async def body() -> AsyncGenerator[bytes, None]:
        until = clock.now_ms() + STREAM_SECONDS * 1000
        async for look in sampler.looks():
            is_small = len(look.rows) <= FEW_QUEUES
            parts = (sampler, asked, look, rights)
            yield event("overview", summary(*parts) if is_small else await to_thread(summary, *parts))
            if look.problem is not None:
                yield event("problem", look.problem)
            if clock.now_ms() >= until:
                return

    return Response(200, _HEADERS, body())


def live_queue(sampler: Sampler, asked: LiveQueue, clock: Clock) -> Response:
    """Return a stream of one queue: first its history, then how it is."""

    async def body() -> AsyncGenerator[bytes, None]:
        until = clock.now_ms() + STREAM_SECONDS * 1000
        series = sampler.series(asked.queue)
        yield event("history", series.history() if series else [[]] * len(SPANS))
        try:
            async for queue, point in sampler.points(asked.queue):
                yield event("queue", {"queue": queue, "point": point})
                if clock.now_ms() >= until:
                    return
        except PenstockError as error:
            yield event("problem", error.problem)

    return Response(200, _HEADERS, body())


def summary(sampler: Sampler, asked: Overview, look: Look, rights: Rights = FULL) -> dict[str, Any]:
    """Return what the overview shows of a look."""
    visible = look.rows if rights.is_full else [row for row in look.rows if rights.allows(Right.DESCRIBE, row.name)]
    rows: Sequence[Row] = visible
    if asked.kind:
        rows = [row for row in rows if row.takes_dead_letters == (asked.kind == "dead")]
    if asked.text:
        wanted = asked.text.lower()
        rows = [row for row in rows if wanted in row.name.lower()]
    if asked.sort is not Sorting.NAME:
        rows = sorted(
            rows, key=_KEYS[asked.sort], reverse=asked.is_descending
        )  # equal ones stay in order of their names
    elif asked.is_descending:
        rows = rows[::-1]
    offset, limit = max(0, asked.offset), max(1, min(200, asked.limit))
    return {
        "at": look.at,
        "totals": look.totals if len(visible) == len(look.rows) else totals_of(visible),
        "is_whole": look.is_whole,
        "matching": len(rows),
        "rows": [{"queue": row, "spark": _spark(sampler, row.name)} for row in rows[offset : offset + limit]],
    }


def _spark(sampler: Sampler, queue: str) -> list[int]:
    series = sampler.series(queue)
    return [] if series is None else [point.ready + point.delayed for point in series.points(0, SPARK_POINTS)]


def _drain(row: Row) -> float:
    faster = row.deleted_per_second - row.sent_per_second
    if not row.ready:
        return 0
    return row.ready / faster if faster > 0 else float("inf")


_KEYS: dict[Sorting, Any] = {
    Sorting.READY: attrgetter("ready"),
    Sorting.DELAYED: attrgetter("delayed"),
    Sorting.IN_FLIGHT: attrgetter("in_flight"),
    Sorting.DEAD: lambda row: -1 if row.dead is None else row.dead,
    Sorting.SENT: attrgetter("sent_per_second"),
    Sorting.DELETED: attrgetter("deleted_per_second"),
    Sorting.AGE: lambda row: -(row.oldest_sent_at or 1 << 62),
    Sorting.DRAIN: _drain,
}
