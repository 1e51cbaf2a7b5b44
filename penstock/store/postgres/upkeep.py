"""The sweep: forgetting what has expired, a transaction for each queue, so that none is held for long."""

from collections.abc import Callable
from typing import Any

from penstock.core.errors import StoreDamaged
from penstock.store.contract import ENDED_MOVES_KEPT_MS, EVENTS_KEPT
from penstock.store.postgres.changes import Changes, Transaction
from penstock.store.postgres.moving import decode_move
from penstock.store.postgres.rows import decode_settings

_NAMES_REST_MS = 3_600_000
_DECODED: tuple[tuple[str, str, Callable[[bytes], Any]], ...] = (
    ("The queue", "every_settings", decode_settings),
    ("The move task", "every_running_move", decode_move),
    ("The oldest message of the queue", "oldest_bodies", bytes.decode),
)


async def sweep(changes: Changes, limit: int, now: int) -> int:
    """Forget up to about ``limit`` of each kind of what has expired; return how many. Counts are brought up to date."""
    expired = {row[0]: row[1] for row in await changes.read(lambda tx: tx.rows("expired_messages", now, limit))}
    names = [row[0] for row in await changes.read(lambda tx: tx.rows("queues_to_sweep"))]
    forgotten = 0
    for name in dict.fromkeys([*expired, *names]):
        forgotten += await changes.make(_sweeping(name, expired.get(name, []), limit, now))
    rest = (limit, now - ENDED_MOVES_KEPT_MS, now - _NAMES_REST_MS, EVENTS_KEPT, now)
    return forgotten + int(await changes.make(lambda tx: tx.value("sweep_rest", *rest)))


def _sweeping(name: str, keys: list[int], limit: int, now: int):  # type: ignore[no-untyped-def]
    async def work(tx: Transaction) -> int:
        return int(await tx.value("sweep_queue", name, keys, limit, now))

    return work


async def check(tx: Transaction) -> None:
    """Prove that the store can be written: a row goes in and out in one durable transaction."""
    await tx.rows("rest_name", "", 0)
    await tx.rows("unrest_name", "")


async def check_reading(tx: Transaction) -> None:
    """Read what every queue and every running move needs, and the oldest message of each queue.

    Raises:
        StoreDamaged: it cannot be understood. Damage to pages PostgreSQL finds itself, if it keeps checksums.
    """
    for kind, statement, decode in _DECODED:
        for name, kept in await tx.rows(statement):
            try:
                decode(kept)
            except ValueError as error:
                raise StoreDamaged(
                    f"{kind} {name!r} cannot be read: {error}.", hint="Nothing was replaced. Restore a backup."
                ) from error
