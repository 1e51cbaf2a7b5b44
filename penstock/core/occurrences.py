"""When a schedule has its occurrences: cron notation in a time zone, or an interval. Pure, in ms since the epoch."""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

from penstock.core.errors import InvalidRequest

HOUR_MS = 3_600_000
SHORTEST_INTERVAL_SECONDS = 1.0

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""As in crontab(5)."""

LOOKED_BACK_MS = (HOUR_MS, 24 * HOUR_MS, 40 * 24 * HOUR_MS, 400 * 24 * HOUR_MS, 4000 * 24 * HOUR_MS)


class Times(Protocol):
    """The occurrences of a schedule."""

    def after(self, at: int) -> int:
        """Return the first occurrence later than an instant."""
        ...

    def last_between(self, first: int, until: int) -> int:
        """Return the last occurrence not later than ``until``; ``first`` is one, the answer if no other is."""
        ...


class Cron:
    """Cron notation of five fields (or six, seconds first), read in a time zone.

    In local time that a clock change leaves out, an occurrence comes right after the change; in local time that comes
    twice, it comes the first time only. Rules with ``*`` for minutes or hours count real time all through (Debian's
    cron does the same).

    Raises:
        InvalidRequest: the notation or the zone is not understood, or there never is an occurrence.
    """

    def __init__(self, notation: str, zone: str = "UTC") -> None:
        self._notation = NICKNAMES.get(notation.strip().lower(), notation)
        self._zone = _zone(zone)
        list(zip(self._from(0), range(1), strict=False))

    def after(self, at: int) -> int:
        # an instant in an hour that comes twice has the local time of one before it
        return next(each for each in self._from(at) if each > at)

    def last_between(self, first: int, until: int) -> int:
        for looked_back in LOOKED_BACK_MS:
            start = max(first, until - looked_back)
            last = first if start == first else None
            for each in self._from(start - 1):
                if each > until:
                    break
                last = each
            if last is not None:
                return last
        return first

    def _from(self, at: int) -> Iterator[int]:
        try:
            from cronsim import CronSim, CronSimError
        except ModuleNotFoundError:
            raise InvalidRequest(
                "Cron notation needs the package cronsim.", hint="pip install cronsim.", field="cron"
            ) from None
        try:
            for each in CronSim(self._notation, datetime.fromtimestamp(at // 1000, self._zone)):
                yield round(each.timestamp() * 1000)
        except CronSimError as error:
            raise InvalidRequest(
                f"{self._notation!r} is no cron notation: {error}.",
                hint="Minute, hour, day of the month, month, day of the week: 30 3 * * 1-5.",
                field="cron",
            ) from None
        raise InvalidRequest(f"{self._notation!r} never comes.", field="cron")


class Every:
    """Each so many seconds, counted from an instant, however long a sending takes.

    Raises:
        InvalidRequest: the interval is too short.
    """

    def __init__(self, seconds: float, since: int) -> None:
        if not seconds >= SHORTEST_INTERVAL_SECONDS:
            raise InvalidRequest(
                f"A schedule of every {seconds:g} s is too close.",
                hint=f"At least {SHORTEST_INTERVAL_SECONDS:g} s.",
                field="every_seconds",
            )
        self._ms = round(seconds * 1000)
        self._since = since

    def after(self, at: int) -> int:
        return self._since + ((at - self._since) // self._ms + 1) * self._ms

    def last_between(self, first: int, until: int) -> int:
        return max(first, self.after(until) - self._ms)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidRequest(
            f"There is no time zone {name!r}.",
            hint="Like Europe/Berlin. Where the system has no zones, install the package tzdata.",
            field="zone",
        ) from None
