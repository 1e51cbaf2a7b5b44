"""Queues: made, changed, purged and deleted; a purge or a delete takes the queue's number away and costs the same
however many messages lie under it."""

from typing import Any

from penstock.core.clock import to_ms
from penstock.core.queues import (
    FIXED_AT_CREATION,
    QueueChanges,
    QueueDescription,
    QueueSettings,
    changed,
    first_difference,
    new_settings,
)
from penstock.core.refusals import (
    purge_in_progress,
    queue_conflict,
    queue_deleted_recently,
    queue_not_found,
    setting_is_fixed,
)
from penstock.store.postgres.changes import Transaction
from penstock.store.postgres.rows import decode_settings, description, encode_settings

_HISTORY = {"off": 0, "errors": 1, "all": 2}


async def create_queue(
    tx: Transaction, name: str, changes: QueueChanges, name_rest_ms: int, now: int
) -> tuple[QueueDescription, bool]:
    """Make a queue, or find it as it is wanted."""
    await tx.value("hold_all", [name])
    row = await tx.row("queue_by_name", name)
    if row is not None:
        different = first_difference(decode_settings(row["settings"]), changes)
        if different is not None:
            raise queue_conflict(name, different)
        return await describe(tx, name, now), False
    deleted_at = await tx.value("name_deleted_at", name)
    if deleted_at is not None and deleted_at + name_rest_ms > now:
        raise queue_deleted_recently(name)
    await tx.rows("unrest_name", name)
    await _insert(tx, name, new_settings(changes), (now, now, None), (0, 0, now, 0, 0, 0))
    return await describe(tx, name, now), True


async def update_queue(tx: Transaction, name: str, changes: QueueChanges, now: int) -> QueueDescription:
    """Change the named settings of a queue."""
    await tx.value("hold_all", [name])
    row = await tx.row("queue_by_name", name)
    if row is None:
        raise queue_not_found(name)
    before = decode_settings(row["settings"])
    settings = changed(before, changes)
    for fixed in FIXED_AT_CREATION:
        if getattr(settings, fixed) != getattr(before, fixed):
            raise setting_is_fixed(fixed)
    await tx.rows("update_queue", name, encode_settings(settings), now, *columns_of(settings))
    limits_groups_anew = settings.group_max_in_flight != before.group_max_in_flight
    await tx.value("settings_changed", name, limits_groups_anew, now)
    return await describe(tx, name, now)


async def delete_queue(tx: Transaction, name: str, now: int) -> None:
    """Forget a queue and all its messages."""
    await tx.value("hold_all", [name])
    if await tx.row("take_away", name) is None:
        raise queue_not_found(name)
    await tx.rows("rest_name", name, now)
    await tx.value("wake_all", name)


async def purge_queue(tx: Transaction, name: str, rest_ms: int, now: int) -> int:
    """Forget all messages of a queue."""
    await tx.value("hold_all", [name])
    row = await tx.row("queue_by_name", name)
    if row is None:
        raise queue_not_found(name)
    if row["purged_at"] is not None and row["purged_at"] + rest_ms > now:
        raise purge_in_progress(name)
    was = await tx.row("take_away", name)
    state = (
        was["last_sequence"],
        was["last_turn"],
        now,
        was["sent_total"],
        was["received_total"],
        was["deleted_total"],
    )
    instants = (was["created_at"], was["modified_at"], now)
    await _insert(tx, name, decode_settings(was["settings"]), instants, state)
    await tx.value("wake_all", name)
    return int(was["message_count"])


async def describe(tx: Transaction, name: str, now: int) -> QueueDescription:
    """Tell of a queue."""
    row = await tx.row("describe", [name], now)
    if row is None:
        raise queue_not_found(name)
    return description(row)


async def _insert(
    tx: Transaction, name: str, settings: QueueSettings, instants: tuple[Any, ...], state: tuple[int, ...]
) -> None:
    number = await tx.value("insert_queue", name, encode_settings(settings), *instants, *columns_of(settings))
    await tx.rows("insert_queue_state", number, *state)


def columns_of(settings: QueueSettings) -> tuple[Any, ...]:
    """Return what functions ask of the settings, in the order of the table's columns."""
    policy = settings.redrive
    return (
        settings.is_fifo,
        settings.group_order == "strict",
        settings.redelivery == "first",
        settings.is_paused,
        to_ms(settings.visibility_timeout_seconds),
        to_ms(settings.delay_seconds),
        to_ms(settings.retention_seconds),
        to_ms(settings.receive_wait_seconds),
        settings.max_message_bytes,
        settings.content_based_deduplication,
        settings.deduplicate_per_group,
        to_ms(settings.deduplication_window_seconds),
        settings.max_in_flight,
        settings.group_max_in_flight,
        None if policy is None else policy.max_receive_count,
        None if policy is None else policy.dead_letter_queue,
        _HISTORY[settings.history],
    )
