"""Queues: made, changed, purged and deleted; a purge or a delete takes the queue's number away and costs the same
however many messages lie under it."""

from typing import Any

import msgspec

from penstock.core.queues import (
    FIXED_AT_CREATION,
    QueueChanges,
    QueueDescription,
    QueueSettings,
    changed,
    first_difference,
    new_settings,
)
from penstock.core.refusals import purge_in_progress, queue_conflict, queue_deleted_recently, setting_is_fixed
from penstock.store.contract import EVERY_GROUP, wakeup_name
from penstock.store.sqlite.groups import group_by_id, save_and_reseat
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import group_from
from penstock.store.sqlite.transaction import QueueState, Transaction

_encode_settings = msgspec.json.Encoder().encode


def create_queue(
    tx: Transaction, name: str, changes: QueueChanges, name_rest_ms: int, now: int
) -> tuple[QueueDescription, bool]:
    """Make a queue, or find it as it is wanted."""
    queue = tx.find_queue(name)
    if queue is not None:
        different = first_difference(queue.settings, changes)
        if different is not None:
            raise queue_conflict(name, different)
        return queue.describe(tx.execute, now), False
    deleted = tx.execute(SQL["name_deleted_at"], (name,)).fetchone()
    if deleted is not None and deleted[0] + name_rest_ms > now:
        raise queue_deleted_recently(name)
    tx.execute(SQL["unrest_name"], (name,))
    settings = new_settings(changes)
    _insert(tx, name, settings, (now, now, None, 0, 0, now, 0, 0, 0))
    return tx.queue(name).describe(tx.execute, now), True


def update_queue(tx: Transaction, name: str, changes: QueueChanges, now: int) -> QueueDescription:
    """Change the named settings of a queue."""
    queue = tx.queue(name)
    settings = changed(queue.settings, changes)
    for fixed in FIXED_AT_CREATION:
        if getattr(settings, fixed) != getattr(queue.settings, fixed):
            raise setting_is_fixed(fixed)
    tx.execute(SQL["update_queue_settings"], (*_settings_row(settings), now, queue.number))
    limits_groups_anew = settings.group_max_in_flight != queue.settings.group_max_in_flight
    queue.use(settings)
    queue.modified_at = now
    if limits_groups_anew:
        for row in tx.execute(SQL["groups_of"], (queue.number,)).fetchall():
            save_and_reseat(tx, queue, group_from(row), now)
    _wake_all(tx, name, now)
    return queue.describe(tx.execute, now)


def delete_queue(tx: Transaction, name: str, now: int) -> None:
    """Forget a queue and all its messages."""
    _take_number_away(tx, tx.queue(name))
    tx.execute(SQL["rest_name"], (name, now))
    _wake_all(tx, name, now)


def purge_queue(tx: Transaction, name: str, rest_ms: int, now: int) -> int:
    """Forget all messages of a queue."""
    queue = tx.queue(name)
    if queue.purged_at is not None and queue.purged_at + rest_ms > now:
        raise purge_in_progress(name)
    _take_number_away(tx, queue)
    kept = (queue.created_at, queue.modified_at, now, queue.last_sequence, queue.last_turn, now)
    _insert(tx, name, queue.settings, (*kept, queue.sent_total, queue.received_total, queue.deleted_total))
    _wake_all(tx, name, now)
    return queue.message_count


def update_group(tx: Transaction, name: str, group_id: str, is_parked: bool, now: int) -> None:
    """Park or unpark a message group."""
    queue = tx.queue(name)
    group = group_by_id(tx, queue, group_id)
    group.is_parked = int(is_parked)
    save_and_reseat(tx, queue, group, now)
    tx.wake(name, now)
    tx.wake(wakeup_name(name, group_id), now)


def _wake_all(tx: Transaction, name: str, now: int) -> None:
    """Wake who receives from a queue and who follows in any of its groups."""
    tx.wake(name, now)
    tx.wake(wakeup_name(name, EVERY_GROUP), now)


def _insert(tx: Transaction, name: str, settings: QueueSettings, rest: tuple[Any, ...]) -> None:
    tx.execute(SQL["insert_queue"], (name, *_settings_row(settings), *rest))


def _take_number_away(tx: Transaction, queue: QueueState) -> None:
    tx.execute(SQL["delete_queue"], (queue.number,))
    tx.execute(SQL["insert_orphan"], (queue.number,))
    tx.forget_queue(queue.name)


def _settings_row(settings: QueueSettings) -> tuple[bytes, str | None]:
    policy = settings.redrive
    return _encode_settings(settings), None if policy is None else policy.dead_letter_queue
