"""Schedules as the pages show them: what workers wrote down of each, with its next runs, and those of a rule that
somebody is writing."""

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.console.messages import answered
from penstock.console.walking import Walk
from penstock.core.effects import Record
from penstock.core.errors import InvalidRequest, PenstockError
from penstock.core.occurrences import Cron, Every, Times
from penstock.core.operations import FindRecords, ListQueues

SCHEDULE_PREFIX = "schedule/"
PAGE = 200
UPCOMING = 3
MOST_UPCOMING = 10


class WantedSchedules(Struct, frozen=True):
    """Which schedules: those behind ``after``, by name."""

    after: str = ""


class Rule(Struct, frozen=True):
    """When: in cron notation, or each so many seconds counted from ``since`` (ms since the epoch).

    Attributes:
        at: runs later than this instant (ms since the epoch); ``None``: than now.
        count: how many.
    """

    cron: str | None = None
    zone: str = "UTC"
    every_seconds: float | None = None
    since: int | None = None
    at: int | None = None
    count: int = 5


class _Timing(Struct, frozen=True):
    cron: str | None = None
    zone: str = "UTC"
    every_seconds: float | None = None


class _Kept(Struct, frozen=True):
    next_at: int
    rule: _Timing
    since: int = 0


_read = msgspec.json.Decoder(_Kept).decode


def list_schedules(asked: WantedSchedules) -> Walk:
    """Answer a page of schedules: ``schedules``, each with what is kept of it and ``upcoming``, and ``next_after``."""
    page = yield FindRecords(SCHEDULE_PREFIX, after=asked.after, limit=PAGE)
    found = [each for each in map(_shown, page.records) if each is not None]
    return answered({"schedules": found, "next_after": page.next_after})


def show_occurrences(asked: Rule, now: int) -> Walk:
    """Answer the next runs of a rule: ``upcoming``, and ``now``, which an interval is counted from if nothing is said.

    Raises:
        InvalidRequest: the rule cannot be understood.
    """
    yield ListQueues(limit=1)  # may they ask anything?
    if (asked.cron is None) == (asked.every_seconds is None):
        raise InvalidRequest("A schedule has a cron notation or an interval.", hint='Like "0 3 * * *".', field="cron")
    since = now if asked.since is None else asked.since
    last = now if asked.at is None else asked.at
    count = max(1, min(MOST_UPCOMING, asked.count))
    try:
        upcoming = _behind(asked.cron, asked.zone, asked.every_seconds, since, last, count)
    except (OverflowError, ValueError, OSError):
        raise InvalidRequest("That is beyond what calendars can say.", field="at") from None
    return answered({"now": now, "upcoming": upcoming})


def _shown(record: Record) -> dict[str, Any] | None:
    try:
        kept = _read(record.value)
        raw = msgspec.json.decode(record.value, type=Raw)
    except (msgspec.MsgspecError, RecursionError):
        return None
    said = {"key": record.key, "kept": raw, "upcoming": [kept.next_at]}
    timing = kept.rule
    try:
        said["upcoming"] = [
            kept.next_at,
            *_behind(timing.cron, timing.zone, timing.every_seconds, kept.since, kept.next_at, UPCOMING - 1),
        ]
    except (PenstockError, OverflowError, ValueError, OSError):
        said["upcoming"] = [kept.next_at]  # its worker knows more, or nobody does
    return said


@lru_cache(maxsize=2000)
def _behind(
    cron: str | None, zone: str, every_seconds: float | None, since: int, last: int, count: int
) -> tuple[int, ...]:
    times: Times = Cron(cron, zone) if cron is not None else Every(every_seconds or 0, since)
    found: list[int] = []
    for _ in range(count):
        last = times.after(last)
        found.append(last)
    return tuple(found)
