"""Messages by id and by owner: cancel, delete, reschedule, release."""

from collections.abc import Sequence

from penstock.core.operations import IdOutcome
from penstock.store.postgres.changes import Transaction

_CANCEL, _DELETE, _RESCHEDULE = 0, 1, 2
_OUTCOMES = (IdOutcome.DONE, IdOutcome.IN_FLIGHT, IdOutcome.GONE)


def is_uuid(text: str) -> bool:
    """Return whether a text can be a message's id."""
    try:
        return len(bytes.fromhex(text.replace("-", ""))) == 16
    except ValueError:
        return False


async def cancel(tx: Transaction, message_ids: Sequence[str], queue: str | None, now: int) -> tuple[IdOutcome, ...]:
    """Forget messages nobody holds."""
    return await _each(tx, _CANCEL, message_ids, False, queue, 0, now)


async def delete(
    tx: Transaction, message_ids: Sequence[str], only_in_flight: bool, queue: str | None, now: int
) -> tuple[IdOutcome, ...]:
    """Forget messages, whoever holds them."""
    return await _each(tx, _DELETE, message_ids, only_in_flight, queue, 0, now)


async def reschedule(
    tx: Transaction, message_ids: Sequence[str], deliver_at: int, queue: str | None, now: int
) -> tuple[IdOutcome, ...]:
    """Set when messages nobody holds may be received."""
    return await _each(tx, _RESCHEDULE, message_ids, False, queue, deliver_at, now)


async def release_leases(tx: Transaction, owner: str, now: int) -> int:
    """Give back what an owner holds; return how many."""
    rows = await tx.rows("release_leases", owner.encode(), now)
    return sum(row["number"] for row in rows if row["kind"] == b"n")


async def _each(
    tx: Transaction,
    action: int,
    message_ids: Sequence[str],
    only_in_flight: bool,
    queue: str | None,
    deliver_at: int,
    now: int,
) -> tuple[IdOutcome, ...]:
    outcomes = [IdOutcome.GONE] * len(message_ids)
    known = [at for at, each in enumerate(message_ids) if is_uuid(each)]
    wanted = [message_ids[at] for at in known]
    for row in await tx.rows("by_id", action, wanted, only_in_flight, queue, deliver_at, now):
        if row["kind"] == b"i":
            outcomes[known[row["owner"]]] = _OUTCOMES[row["code"]]
    return tuple(outcomes)
