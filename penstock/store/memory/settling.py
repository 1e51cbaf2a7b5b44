"""How messages leave or come back by name: settle a delivery, release an owner's leases, cancel, delete, reschedule."""

from msgspec import structs

from penstock.core.clock import to_ms
from penstock.core.errors import PenstockError
from penstock.core.events import EventKind
from penstock.core.lifecycle import lease_refusal, names_delivery, told
from penstock.core.messages import State
from penstock.core.operations import IdOutcome
from penstock.core.receipts import Receipt, decode_receipts
from penstock.core.settlements import ChangeVisibility, DeadLetter, GiveBack, Settled, Settlement, SettleOutcome
from penstock.store.memory.rows import Queue, Row
from penstock.store.memory.shelf import Shelf


def settle(shelf: Shelf, settlement: Settlement, now: int) -> SettleOutcome:
    """End deliveries that end together, with their effects, or say why not."""
    try:
        queue = shelf.queue(settlement.queue)
        receipts = decode_receipts(settlement.queue, (settlement.receipt_handle, *settlement.also))
    except PenstockError as error:
        return SettleOutcome(Settled.REFUSED, problem=error.problem)
    held = []
    for receipt in receipts:
        row = _held(queue, settlement, receipt, now)
        if isinstance(row, SettleOutcome):
            return row
        held.append(row)
    message_id = held[0].message_id
    refused = shelf.refusal_of(settlement.effects, now)
    if refused is not None:
        return SettleOutcome(Settled.REFUSED, message_id, refused.problem)
    for row in held:
        _end(shelf, queue, row, settlement, now)
    shelf.apply(settlement.effects, now)
    return SettleOutcome(Settled.DONE, message_id)


def _held(queue: Queue, settlement: Settlement, receipt: Receipt, now: int) -> Row | SettleOutcome:
    """Return the row that a settlement may end, or the outcome if it may not."""
    row = queue.rows.get(receipt.sequence_number)
    if row is None:
        return SettleOutcome(Settled.GONE)
    if not names_delivery(settlement, receipt.token, row.token):
        return SettleOutcome(Settled.STALE, row.message_id)
    if row.visible_at <= now and (settlement.is_fenced or queue.is_strict):
        return SettleOutcome(Settled.EXPIRED, row.message_id)
    refused = lease_refusal(settlement.action, row.received_at, now)
    if refused is not None:
        return SettleOutcome(Settled.REFUSED, row.message_id, refused.problem)
    return row


def _end(shelf: Shelf, queue: Queue, row: Row, settlement: Settlement, now: int) -> None:
    action = settlement.action
    if settlement.parks_group and row.draft.group_id is not None:
        queue.groups[row.draft.group_id].is_parked = True
    if isinstance(action, ChangeVisibility):
        shelf.change_visibility(queue, row, now + to_ms(action.visibility_timeout_seconds), now)
        detail = f"{action.visibility_timeout_seconds:g} s"
        shelf.note(queue, EventKind.VISIBILITY_CHANGED, row.message_id, now, detail)
        return
    if isinstance(action, GiveBack):
        if action.is_counted:
            shelf.settle_busy(queue, row, now)
        shelf.give_back(queue, row, now + to_ms(action.delay_seconds), now, is_counted=action.is_counted)
        shelf.note(queue, EventKind.VISIBILITY_CHANGED, row.message_id, now, told(action))
        return
    shelf.settle_busy(queue, row, now)
    if isinstance(action, DeadLetter) and shelf.dead_letter(queue, row, action.reason, now):
        shelf.wake(queue.name, now)
        return
    shelf.forget(queue, row, now)
    queue.deleted_total += 1
    reason = action.reason if isinstance(action, DeadLetter) else None
    shelf.note(queue, EventKind.DELETED, row.message_id, now, reason)
    shelf.wake_if_freed(queue, row, now)


def release_leases(shelf: Shelf, owner: str, now: int) -> int:
    """Give back what an owner holds; return how many."""
    held = [
        (queue, row)
        for queue, row in shelf.messages.values()
        if row.owner == owner and row.token is not None and row.visible_at > now
    ]
    for queue, row in held:
        shelf.change_visibility(queue, row, now, now)
        shelf.note(queue, EventKind.VISIBILITY_CHANGED, row.message_id, now, "its owner died")
    return len(held)


def cancel(shelf: Shelf, message_id: str, queue_name: str | None, now: int) -> IdOutcome:
    """Forget a message nobody holds."""
    if _is_elsewhere(shelf, message_id, queue_name):
        return IdOutcome.GONE
    if message_id in shelf.blocked:
        shelf.close_join(shelf.blocked[message_id])
        return IdOutcome.DONE
    found = _unheld(shelf, message_id, now)
    if isinstance(found, IdOutcome):
        return found
    queue, row = found
    shelf.forget(queue, row, now)
    shelf.note(queue, EventKind.CANCELLED, message_id, now)
    shelf.wake_if_freed(queue, row, now)
    return IdOutcome.DONE


def delete(shelf: Shelf, message_id: str, only_in_flight: bool, queue_name: str | None, now: int) -> IdOutcome:
    """Forget a message, whoever holds it; ``only_in_flight``: only if somebody does."""
    if _is_elsewhere(shelf, message_id, queue_name):
        return IdOutcome.GONE
    if message_id in shelf.blocked and not only_in_flight:
        shelf.close_join(shelf.blocked[message_id])
        return IdOutcome.DONE
    if message_id not in shelf.messages:
        return IdOutcome.GONE
    queue, row = shelf.messages[message_id]
    if queue.view(row, now).state is State.IN_FLIGHT:
        shelf.settle_busy(queue, row, now)
    elif only_in_flight:
        return IdOutcome.GONE
    shelf.forget(queue, row, now)
    queue.deleted_total += 1
    shelf.note(queue, EventKind.DELETED, message_id, now)
    shelf.wake_if_freed(queue, row, now)
    return IdOutcome.DONE


def reschedule(shelf: Shelf, message_id: str, deliver_at: int, queue_name: str | None, now: int) -> IdOutcome:
    """Set when a message nobody holds may be received."""
    if _is_elsewhere(shelf, message_id, queue_name):
        return IdOutcome.GONE
    if message_id in shelf.blocked:
        join_id = shelf.blocked[message_id]
        join, parts = shelf.joins[join_id]
        message = structs.replace(join.follow_up.message, deliver_at=deliver_at)
        follow_up = structs.replace(join.follow_up, message=message)
        shelf.joins[join_id] = (structs.replace(join, follow_up=follow_up), parts)
        return IdOutcome.DONE
    found = _unheld(shelf, message_id, now)
    if isinstance(found, IdOutcome):
        return found
    queue, row = found
    queue.take_out(row, now)
    row.token = row.owner = None
    row.comes_back = False
    row.visible_at = max(now, deliver_at)
    queue.place(row, now)
    shelf.note(queue, EventKind.RESCHEDULED, message_id, now, str(row.visible_at))
    shelf.wake(queue.name, row.visible_at)
    shelf.wake_followers(queue, row, row.visible_at)
    return IdOutcome.DONE


def _is_elsewhere(shelf: Shelf, message_id: str, queue_name: str | None) -> bool:
    """Return whether a message is of another queue than the one that is meant; a blocked one is where it will go."""
    if queue_name is None:
        return False
    if message_id in shelf.blocked:
        return shelf.joins[shelf.blocked[message_id]][0].follow_up.queue != queue_name
    return message_id in shelf.messages and shelf.messages[message_id][0].name != queue_name


def _unheld(shelf: Shelf, message_id: str, now: int) -> tuple[Queue, Row] | IdOutcome:
    if message_id not in shelf.messages:
        return IdOutcome.GONE
    queue, row = shelf.messages[message_id]
    if queue.view(row, now).state is State.IN_FLIGHT:
        return IdOutcome.IN_FLIGHT
    return queue, row
