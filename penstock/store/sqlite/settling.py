"""How messages leave or come back by name: settle a delivery, release an owner's leases, cancel, reschedule, delete."""

from collections.abc import Sequence

from penstock.core.clock import to_ms
from penstock.core.effects import NO_EFFECTS
from penstock.core.errors import PenstockError
from penstock.core.events import EventKind
from penstock.core.lifecycle import lane_of, lease_refusal, names_delivery, told
from penstock.core.message_ids import to_blob, to_text
from penstock.core.messages import Delivery
from penstock.core.operations import IdOutcome
from penstock.core.receipts import Receipt, decode_receipt, decode_receipts
from penstock.core.settlements import ChangeVisibility, DeadLetter, GiveBack, Settled, Settlement, SettleOutcome
from penstock.store.sqlite import effects
from penstock.store.sqlite.groups import save_and_reseat
from penstock.store.sqlite.ids import KEY_SHIFT, SEQUENCE_MASK
from penstock.store.sqlite.keeping import (
    change_visibility,
    count,
    dead_letter,
    forget,
    give_back,
    group_of,
    kept_message,
    position_of,
    uncount,
    wake_followers,
    wake_if_freed,
)
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import COLUMNS, GroupRow, MessageRow, message_of
from penstock.store.sqlite.transaction import DELAYED, HANDED_OUT, PLAIN, QueueState, Transaction

_MESSAGE_BY_KEY = SQL["message_by_key"]
_HELD_BY_OWNER = SQL["held_by_owner"]
_QUEUE_BY_NUMBER = SQL["queue_by_number"]
_RESCHEDULE = SQL["reschedule"]


def settle(tx: Transaction, settlement: Settlement, now: int) -> SettleOutcome:
    """End deliveries that end together, with their effects, or say why not."""
    try:
        queue = tx.queue(settlement.queue)
        if settlement.also:
            receipts = decode_receipts(settlement.queue, (settlement.receipt_handle, *settlement.also))
        else:
            receipts = [decode_receipt(settlement.queue, settlement.receipt_handle)]
    except PenstockError as error:
        return SettleOutcome(Settled.REFUSED, problem=error.problem)
    held = []
    for receipt in receipts:
        message = _held(tx, queue, settlement, receipt, now)
        if isinstance(message, SettleOutcome):
            return message
        held.append(message)
    message_id = to_text(held[0].message_id)
    has_effects = settlement.effects is not NO_EFFECTS
    if has_effects:
        refused = effects.refusal_of(tx, settlement.effects, now)
        if refused is not None:
            return SettleOutcome(Settled.REFUSED, message_id, refused.problem)
    for message in held:
        _end(tx, queue, message, settlement, to_text(message.message_id), now)
    if has_effects:
        effects.apply(tx, settlement.effects, now)
    return SettleOutcome(Settled.DONE, message_id)


def _held(
    tx: Transaction, queue: QueueState, settlement: Settlement, receipt: Receipt, now: int
) -> MessageRow | SettleOutcome:
    """Return the message that a settlement may end, or the outcome if it may not."""
    if receipt.sequence_number > SEQUENCE_MASK:
        return SettleOutcome(Settled.GONE)
    row = tx.execute(_MESSAGE_BY_KEY, (queue.number << KEY_SHIFT | receipt.sequence_number,)).fetchone()
    if row is None:
        return SettleOutcome(Settled.GONE)
    message = message_of(row)
    if not names_delivery(settlement, receipt.token, message.token):
        return SettleOutcome(Settled.STALE, to_text(message.message_id))
    if message.visible_at <= now and (settlement.is_fenced or queue.is_strict):
        return SettleOutcome(Settled.EXPIRED, to_text(message.message_id))
    refused = lease_refusal(settlement.action, message.received_at, now)
    if refused is not None:
        return SettleOutcome(Settled.REFUSED, to_text(message.message_id), refused.problem)
    return message


def _end(
    tx: Transaction, queue: QueueState, message: MessageRow, settlement: Settlement, message_id: str, now: int
) -> None:
    group, action = group_of(tx, message), settlement.action
    if settlement.parks_group and group is not None:
        group.is_parked = 1
    if isinstance(action, ChangeVisibility):
        until = now + to_ms(action.visibility_timeout_seconds)
        change_visibility(tx, queue, group, message, until, now)
        tx.note(queue, EventKind.VISIBILITY_CHANGED, message_id, now, f"{action.visibility_timeout_seconds:g} s")
        return
    if isinstance(action, GiveBack):
        if action.is_counted:
            _count_busy(queue, group, message, now)
        visible_at = now + to_ms(action.delay_seconds)
        give_back(tx, queue, group, message, visible_at, now, is_counted=action.is_counted)
        tx.note(queue, EventKind.VISIBILITY_CHANGED, message_id, now, told(action))
        return
    _count_busy(queue, group, message, now)
    if isinstance(action, DeadLetter) and dead_letter(tx, queue, group, message, action.reason, now):
        tx.wake(queue.name, now)
        return
    forget(tx, queue, group, message, now)
    queue.deleted_total += 1
    tx.note(queue, EventKind.DELETED, message_id, now, action.reason if isinstance(action, DeadLetter) else None)
    wake_if_freed(tx, queue, group, now)


def _count_busy(queue: QueueState, group: GroupRow | None, message: MessageRow, now: int) -> None:
    """Count the processing time of a delivery that has ended against its tenant."""
    if group is None or queue.is_strict or message.received_at is None:
        return
    busy_ms = max(0, now - message.received_at)
    queue.busy = queue.busy.plus(busy_ms, now)
    group.busy = group.busy.plus(busy_ms, now)


def give_back_all(tx: Transaction, queue: str, deliveries: Sequence[Delivery], now: int) -> None:
    """Undo deliveries that reached nobody."""
    for each in deliveries:
        settle(tx, Settlement(queue, each.receipt_handle, GiveBack()), now)


def release_leases(tx: Transaction, owner: str, now: int) -> int:
    """Give back what an owner holds; return how many."""
    released = 0
    for row in tx.execute(_HELD_BY_OWNER, (owner, now)).fetchall():
        name = tx.execute(_QUEUE_BY_NUMBER, (row[COLUMNS],)).fetchone()
        if name is None:
            continue
        queue, message = tx.queue(name[0]), message_of(row)
        change_visibility(tx, queue, group_of(tx, message), message, now, now)
        tx.note(queue, EventKind.VISIBILITY_CHANGED, to_text(message.message_id), now, "its owner died")
        released += 1
    return released


def cancel(tx: Transaction, message_id: str, queue_name: str | None, now: int) -> IdOutcome:
    """Forget a message nobody holds."""
    blob = _blob_or_none(message_id)
    if blob is None:
        return IdOutcome.GONE
    if effects.cancel_blocked(tx, blob, queue_name):
        return IdOutcome.DONE
    found = _unheld(tx, blob, queue_name, now)
    if isinstance(found, IdOutcome):
        return found
    queue, message = found
    group = group_of(tx, message)
    forget(tx, queue, group, message, now)
    tx.note(queue, EventKind.CANCELLED, message_id, now)
    wake_if_freed(tx, queue, group, now)
    return IdOutcome.DONE


def reschedule(tx: Transaction, message_id: str, deliver_at: int, queue_name: str | None, now: int) -> IdOutcome:
    """Set when a message nobody holds may be received."""
    blob = _blob_or_none(message_id)
    if blob is None:
        return IdOutcome.GONE
    if effects.reschedule_blocked(tx, blob, deliver_at, queue_name):
        return IdOutcome.DONE
    found = _unheld(tx, blob, queue_name, now)
    if isinstance(found, IdOutcome):
        return found
    queue, message = found
    group = group_of(tx, message)
    visible_at = max(now, deliver_at)
    phase = PLAIN if visible_at <= now else DELAYED
    rank = 0 if queue.is_strict and group is not None else lane_of(message.priority)
    queue.lanes |= 1 << lane_of(message.priority)
    position = position_of(queue, message, visible_at)
    uncount(queue, group, message.phase, message.visible_at)
    tx.execute(_RESCHEDULE, (visible_at, rank, position, phase, message.message_key))
    count(queue, group, phase, visible_at)
    if group is not None:
        save_and_reseat(tx, queue, group, now)
    tx.note(queue, EventKind.RESCHEDULED, message_id, now, str(visible_at))
    tx.wake(queue.name, visible_at)
    if queue.is_strict:
        wake_followers(tx, queue, group, visible_at)
    return IdOutcome.DONE


def delete_message(
    tx: Transaction, message_id: str, only_in_flight: bool, queue_name: str | None, now: int
) -> IdOutcome:
    """Forget a message by its id, whoever holds it."""
    blob = _blob_or_none(message_id)
    if blob is None:
        return IdOutcome.GONE
    if not only_in_flight and effects.cancel_blocked(tx, blob, queue_name):
        return IdOutcome.DONE
    kept = kept_message(tx, blob)
    if kept is None or (queue_name is not None and kept[0].name != queue_name):
        return IdOutcome.GONE
    queue, message = kept
    group = group_of(tx, message)
    if _is_held(message, now):
        _count_busy(queue, group, message, now)
    elif only_in_flight:
        return IdOutcome.GONE
    forget(tx, queue, group, message, now)
    queue.deleted_total += 1
    tx.note(queue, EventKind.DELETED, message_id, now)
    wake_if_freed(tx, queue, group, now)
    return IdOutcome.DONE


def _unheld(
    tx: Transaction, blob: bytes, queue_name: str | None, now: int
) -> tuple[QueueState, MessageRow] | IdOutcome:
    kept = kept_message(tx, blob)
    if kept is None or (queue_name is not None and kept[0].name != queue_name):
        return IdOutcome.GONE
    return IdOutcome.IN_FLIGHT if _is_held(kept[1], now) else kept


def _is_held(message: MessageRow, now: int) -> bool:
    return message.phase == HANDED_OUT and message.visible_at > now


def _blob_or_none(message_id: str) -> bytes | None:
    try:
        return to_blob(message_id)
    except ValueError:
        return None
