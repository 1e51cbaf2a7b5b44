"""Limits that hold over all workers together: how many jobs start in a time, how many run at once.

What is left of a limit is in a record ``limit/<name>``, changed under a guard: a pure function of what it was and now.
"""

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import InvalidRequest

LIMIT_PREFIX = "limit/"
SLOTS_OF_A_WINDOW = 30
PERMIT_MS = 15_000
"""A permit of a worker that is not heard of comes back after so long."""


class Rate(Struct, frozen=True, tag="rate"):
    """At most so many jobs start within any time of this length.

    Workers take tokens for about a second of work at once and use each within a second, so within any window there may
    be as many starts more as are taken in one second; never more than that.

    Attributes:
        count: how many.
        per_seconds: in which time.
        name: limits of one name are one limit; the task's or the queue's name if not given.
        by: a parameter: every value it is given has a limit of its own.
    """

    count: int
    per_seconds: float = 1.0
    name: str | None = None
    by: str | None = None

    def __post_init__(self) -> None:
        if self.count < 1 or self.per_seconds < 0.01:
            raise InvalidRequest("A rate is at least 1 job, in at least 0.01 s.", field="limits")


class Concurrency(Struct, frozen=True, tag="concurrency"):
    """At most so many jobs run at once.

    The permits of a worker that dies come back after 15 s. A worker that is cut off from the store for longer runs what
    it has begun to the end, beside those that got its permits.

    Attributes:
        count: how many.
        name, by: as for ``Rate``.
    """

    count: int
    name: str | None = None
    by: str | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InvalidRequest("At least 1 job runs at once.", field="limits")


Limit = Rate | Concurrency


def limit_key(limit: Limit, owner: str, args: Mapping[str, Raw]) -> str:
    """Return the key of the record of a limit.

    Args:
        limit: which.
        owner: name of the task or the queue that has it.
        args: of the job.
    """
    key = f"{LIMIT_PREFIX}{limit.name or owner}"[:900]
    if limit.by is None:
        return key
    value = bytes(args.get(limit.by) or b"")
    return f"{key}/{hashlib.sha256(value).hexdigest()[:32]}"


# -- tokens of a rate --------------------------------------------------------------------------------------------------


class Window(Struct, frozen=True, array_like=True):
    """How many tokens were taken lately: pairs of the beginning of a part of the window (ms) and a count."""

    taken: tuple[tuple[int, int], ...] = ()


class Taken(Struct, frozen=True):
    """What was got: so many, and where that is none, when there may be some (ms); and what is then kept until when."""

    count: int
    due_at: int
    value: bytes
    expires_at: int


_windows = msgspec.json.Decoder(Window)
_permits = msgspec.json.Decoder(dict[str, tuple[int, int]])
_encode = msgspec.json.Encoder().encode


def take_tokens(value: bytes | None, rate: Rate, wanted: int, now: int) -> Taken:
    """Take tokens of a rate."""
    per_ms = round(rate.per_seconds * 1000)
    slot_ms = max(1, per_ms // SLOTS_OF_A_WINDOW)
    window = Window() if value is None else _windows.decode(value)
    # a part counts until the last instant in it is a whole window ago
    taken = [(at, count) for at, count in window.taken if at + slot_ms + per_ms > now]
    left = rate.count - sum(count for _, count in taken)
    count = max(0, min(wanted, left))
    due_at = now
    if count:
        here = now - now % slot_ms
        if taken and taken[-1][0] == here:
            taken[-1] = (here, taken[-1][1] + count)
        else:
            taken.append((here, count))
    elif taken:
        due_at = taken[0][0] + slot_ms + per_ms
    return Taken(count, due_at, _encode(Window(tuple(taken))), now + per_ms + slot_ms)


# -- permits of a concurrency ------------------------------------------------------------------------------------------


def change_permits(value: bytes | None, limit: Concurrency, owner: str, wanted: int, now: int) -> Taken:
    """Hold so many permits from now on, or as many of them as there are.

    Returns:
        How many the owner holds now.
    """
    holders = {} if value is None else _permits.decode(value)
    holders = {name: held for name, held in holders.items() if held[1] > now and name != owner}
    count = max(0, min(wanted, limit.count - sum(count for count, _ in holders.values())))
    if count:
        holders[owner] = (count, now + PERMIT_MS)
    due_at = min((until for _, until in holders.values()), default=now)
    return Taken(count, due_at, _encode(holders), now + PERMIT_MS)
