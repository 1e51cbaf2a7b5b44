"""What is kept of a schedule, under ``schedule/<name>``: its rule, what it sends, and how far it is."""

import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from penstock.core.effects import Record
from penstock.core.errors import InvalidRequest
from penstock.core.occurrences import Cron, Every, Times

SCHEDULE_PREFIX = "schedule/"
MOST_NAME_CHARACTERS = 200

CatchUp = Literal["skip", "last", "all"]


class Rule(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What somebody wants to happen again and again; nothing in it changes by itself.

    Attributes:
        task, args, queue, priority, key: of the jobs.
        cron: the notation of ``Cron``, with ``zone``; or else
        every_seconds: the interval.
        catch_up: which of the occurrences that came while no worker ran are sent. ``last``: one job for all of them.
            ``all``: each. ``skip``: none that is older than a minute.
        allows_overlap: a job is sent though the one before it has not ended. If not, the occurrence is left out.
    """

    task: str
    args: Mapping[str, Raw] = {}
    queue: str = "default"
    priority: int = 0
    key: str | None = None
    cron: str | None = None
    zone: str = "UTC"
    every_seconds: float | None = None
    catch_up: CatchUp = "last"
    allows_overlap: bool = True

    @property
    def timing(self) -> tuple[str | None, str, float | None]:
        """What the occurrences depend on."""
        return self.cron, self.zone, self.every_seconds


class ScheduleRecord(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A schedule. Instants are ms since the epoch.

    Attributes:
        name: names it in the store.
        rule: when, and what.
        next_at: its next occurrence.
        since: from when intervals are counted.
        checked_at: the clock when this was written.
        is_paused: nothing is sent.
        home: the app that declares it in its code; ``None``: it was added at run time.
        last_at: the latest occurrence that was sent.
        last_job_id: its job.
    """

    name: str
    rule: Rule
    next_at: int
    since: int
    checked_at: int
    is_paused: bool = False
    home: str | None = None
    last_at: int | None = None
    last_job_id: str | None = None

    @property
    def times(self) -> Times:
        """Its occurrences."""
        return times_of(self.rule, self.since)

    def upcoming(self, count: int) -> tuple[int, ...]:
        """Return its next occurrences, as long as it is not paused."""
        found: list[int] = []
        for _ in range(count):
            found.append(self.times.after(found[-1]) if found else self.next_at)
        return tuple(found)


def times_of(rule: Rule, since: int) -> Times:
    """Return the occurrences of a rule.

    Raises:
        InvalidRequest: the rule says neither or both of cron and interval, or something that is not understood.
    """
    if (rule.cron is None) == (rule.every_seconds is None):
        raise InvalidRequest("A schedule has a cron notation or an interval.", hint='Like cron="0 3 * * *".')
    if rule.cron is not None:
        return Cron(rule.cron, rule.zone)
    assert rule.every_seconds is not None
    return Every(rule.every_seconds, since)


def schedule_key(name: str) -> str:
    """Return the key of a schedule's record.

    Raises:
        InvalidRequest: it is no name.
    """
    if not name or len(name) > MOST_NAME_CHARACTERS or not name.isprintable():
        raise InvalidRequest(
            f"{name!r} is no name for a schedule.",
            hint=f"Use 1 to {MOST_NAME_CHARACTERS} printable characters.",
            field="name",
        )
    return SCHEDULE_PREFIX + name


def occurrence_id(name: str, at: int) -> str:
    """Return the id of the job of an occurrence: the same, whoever sends it. A UUID of version 8 that begins with the
    instant, so that ids of one time lie together."""
    digits = at.to_bytes(6, "big").hex()
    tail = hashlib.sha256(f"{name}\n{at}".encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:]}-8{tail[:3]}-{'89ab'[int(tail[3], 16) & 3]}{tail[4:7]}-{tail[7:19]}"


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(ScheduleRecord)


def to_record(schedule: ScheduleRecord) -> Record:
    """Return what the store keeps."""
    return Record(schedule_key(schedule.name), _encoder.encode(schedule))


def from_record(record: Record) -> ScheduleRecord:
    """Return what a record says."""
    return _decoder.decode(record.value)
