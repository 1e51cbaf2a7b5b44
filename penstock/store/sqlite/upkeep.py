"""The sweep: forgetting what has expired, a bounded number of rows at a time."""

from penstock.core.clock import to_ms
from penstock.core.events import EventKind
from penstock.core.message_ids import to_text
from penstock.store.contract import ENDED_MOVES_KEPT_MS, EVENTS_KEPT
from penstock.store.sqlite.connection import DAMAGE
from penstock.store.sqlite.effects import close_join
from penstock.store.sqlite.ids import KEY_SHIFT
from penstock.store.sqlite.keeping import forget, group_of
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.records import delete_records
from penstock.store.sqlite.rows import message_of
from penstock.store.sqlite.transaction import QueueState, Transaction

_NAMES_REST_MS = 3_600_000


def sweep(tx: Transaction, limit: int, now: int) -> int:
    """Forget up to about ``limit`` of each kind of what has expired; return how many. Counts are brought up to date."""
    forgotten = _sweep_messages(tx, limit, now)
    before = tx.change_count
    tx.execute(SQL["sweep_duplicates"], (now, limit))
    tx.execute(SQL["sweep_attempts"], (now, limit))
    tx.execute(SQL["sweep_moves"], (now - ENDED_MOVES_KEPT_MS,))
    tx.execute(SQL["sweep_events"], (EVENTS_KEPT,))
    forgotten += tx.change_count - before
    for (join_id,) in tx.execute(SQL["expired_joins"], (now, limit)).fetchall():
        close_join(tx, join_id)
        forgotten += 1
    keys = [key for (key,) in tx.execute(SQL["expired_records"], (now, limit)).fetchall()]
    delete_records(tx, keys)
    forgotten += len(keys)
    tx.execute(SQL["sweep_deleted_queues"], (now - _NAMES_REST_MS,))
    return forgotten + _sweep_orphans(tx, limit)


def check(tx: Transaction) -> None:
    """Prove that the store can be written: a row goes in and out in one durable transaction."""
    tx.execute(SQL["rest_name"], ("", 0))
    tx.execute(SQL["unrest_name"], ("",))


def _sweep_messages(tx: Transaction, limit: int, now: int) -> int:
    forgotten = 0
    for message_key, number in tx.execute(SQL["expired_messages"], (now, limit)).fetchall():
        name = tx.execute(SQL["queue_by_number"], (number,)).fetchone()
        if name is not None:
            _expire(tx, tx.queue(name[0]), message_key, now)
            forgotten += 1
    for (name,) in tx.execute(SQL["queues_with_messages"]).fetchall():
        queue = tx.queue(name)
        tx.advance(queue, now)
        retention_ms = to_ms(queue.settings.retention_seconds)
        for message_key, sent_at in tx.execute(SQL["sent_before"], (*queue.key_range, limit)).fetchall():
            if sent_at + retention_ms > now:
                break
            _expire(tx, queue, message_key, now)
            forgotten += 1
    return forgotten


def _expire(tx: Transaction, queue: QueueState, message_key: int, now: int) -> None:
    row = tx.execute(SQL["message_by_key"], (message_key,)).fetchone()
    try:
        message = message_of(row)
        group = group_of(tx, message)
    except DAMAGE:
        # what cannot be read stays, and what can be is forgotten
        return
    forget(tx, queue, group, message, now)
    tx.note(queue, EventKind.EXPIRED, to_text(message.message_id), now)
    tx.wake(queue.name, now)


def _sweep_orphans(tx: Transaction, limit: int) -> int:
    """Forget what lies under the numbers of purged and deleted queues."""
    row = tx.execute(SQL["next_orphan"]).fetchone()
    if row is None:
        return 0
    number = row[0]
    span = (number << KEY_SHIFT, (number + 1) << KEY_SHIFT, limit)
    before = tx.change_count
    tx.execute(SQL["sweep_orphan_messages"], span)
    tx.execute(SQL["sweep_orphan_bodies"], span)
    tx.execute(SQL["sweep_orphan_groups"], (number, limit))
    tx.execute(SQL["sweep_orphan_duplicates"], (number, number, limit))
    tx.execute(SQL["sweep_orphan_attempts"], (number,))
    forgotten = tx.change_count - before
    if forgotten == 0:
        tx.execute(SQL["delete_orphan"], (number,))
        return 1
    return forgotten
