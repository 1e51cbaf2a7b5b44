"""Unique jobs: while one is there, another like it is not sent.

A record ``unique/<task>/<hash>`` holds the id of the job; it is made in the step that sends the job, under a guard,
and forgotten in the step that ends it. A record whose job is gone is taken over, so nothing is locked for ever.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec
from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.effects import Effects, FollowUp, Guard, Record
from penstock.core.errors import GuardFailed, InvalidRequest, PenstockError
from penstock.core.operations import Apply, GetRecords
from penstock.worker.records import FINAL, Status
from penstock.worker.status import look

UNIQUE_PREFIX = "unique/"
MOST_TRIES = 50
STARTED_KEPT_MS = 30 * 86_400_000
"""How long a job that waits keeps others out; what it holds may outlive it when its worker dies as it begins."""

Until = Literal["started", "ended"]


class JobExists(PenstockError):
    """A job like it is there already; ``job_id`` is its id."""

    code = "job_exists"
    fault = "caller"

    def __init__(self, message: str, job_id: str) -> None:
        super().__init__(message, hint="Wait until it has ended, or take its result.")
        self.job_id = job_id


class Unique(Struct, frozen=True, kw_only=True):
    """Which jobs of a task are alike, and for how long one keeps others out.

    Attributes:
        until: ``started``: while it waits for its first attempt; ``ended``: until it has ended, retries included.
        for_seconds: instead of ``until``: so long from when it was sent, however soon it ends.
        by: the parameters that tell jobs apart; not given: all.
        if_there: what sending another one does: ``return`` the job that is there, or ``raise`` JobExists.
    """

    until: Until = "ended"
    for_seconds: float | None = None
    by: tuple[str, ...] | None = None
    if_there: Literal["return", "raise"] = "return"

    def __post_init__(self) -> None:
        if self.for_seconds is not None and self.for_seconds <= 0:
            raise InvalidRequest("for_seconds is more than 0.", field="for_seconds")

    @property
    def longest_ms(self) -> int | None:
        """How long a job keeps others out at most; ``None``: as long as it takes."""
        if self.for_seconds is not None:
            return round(self.for_seconds * 1000)
        return STARTED_KEPT_MS if self.until == "started" else None


class Claim(Struct, frozen=True):
    """What a unique job asks for when it is sent.

    Attributes:
        key: of the record that it holds.
        unique: the rule.
    """

    key: str
    unique: Unique


def unique_key(task: str, values: Sequence[Any]) -> str:
    """Return the key of the record that jobs hold which are alike.

    Args:
        task: name of the task.
        values: pairs of a parameter and its value.
    """
    alike = msgspec.json.encode(values, order="deterministic", enc_hook=str)
    return f"{UNIQUE_PREFIX}{task[:500]}/{hashlib.sha256(alike).hexdigest()[:32]}"


async def send_unique(broker: Broker, claim: Claim, message: FollowUp, now: int) -> str:
    """Send a job unless one like it is there.

    Returns:
        The id of the job that is there now.

    Raises:
        JobExists: there was one, and the rule is to raise.
        PenstockError: it could not be sent.
    """
    job_id = message.message.message_id
    assert job_id is not None
    expires_at = now + claim.unique.longest_ms if claim.unique.longest_ms is not None else None
    record = Record(claim.key, job_id.encode(), expires_at=expires_at)
    holder: bytes | None = None
    for _ in range(MOST_TRIES):
        try:
            await broker.perform(
                Apply(Effects(guards=(Guard(claim.key, holder),), sends=(message,), records=(record,)))
            )
            return job_id
        except GuardFailed:
            kept = (await broker.perform(GetRecords((claim.key,)))).records[0]
            holder = None if kept is None else kept.value
        if holder is None or holder == job_id.encode():
            if holder is not None:
                return job_id  # it was sent after all; the answer had been lost
            continue
        if await _is_there(broker, holder.decode(), claim.unique):
            if claim.unique.if_there == "raise":
                raise JobExists(f"Job {holder.decode()} is like it and has not ended.", holder.decode())
            return holder.decode()
    raise JobExists(f"Others like it come and go; the last one was {holder!r}.", (holder or b"").decode())


async def let_go(broker: Broker, key: str, job_id: str) -> None:
    """Forget that a job holds a record, if it still does."""
    with suppress(GuardFailed):
        await broker.perform(Apply(Effects(guards=(Guard(key, job_id.encode()),), forgets=(key,))))


async def _is_there(broker: Broker, job_id: str, unique: Unique) -> bool:
    """Return whether the job that holds a record still keeps others out."""
    if unique.for_seconds is not None:
        return True
    view = (await look(broker, (job_id,)))[0]
    if unique.until == "started":
        return view.status in (Status.WAITING, Status.DELAYED, Status.BLOCKED)
    is_blocking = view.message is not None and view.message.dead_letter_source is None
    return view.status is not Status.UNKNOWN and (view.status not in FINAL or is_blocking)
