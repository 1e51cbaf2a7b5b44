"""The steps verbs are made of: send, forget, count, change visibility, dead-letter."""

import hashlib
from typing import NamedTuple

import apsw
from msgspec import structs

from penstock.core.clock import to_ms
from penstock.core.deduplication import deduplication_key, effective_deduplication_id
from penstock.core.events import EventKind
from penstock.core.lifecycle import first_visible_at, has_expired, is_spent, lane_of, own_expiry, refusal
from penstock.core.message_ids import to_blob, to_text
from penstock.core.messages import Draft
from penstock.core.operations import Refused, SendOutcome, Sent
from penstock.store.contract import EVERY_GROUP, wakeup_name
from penstock.store.sqlite.groups import group_by_id, group_by_key, save_and_reseat, seat_if_first
from penstock.store.sqlite.ids import KEY_SHIFT, SEQUENCE_MASK
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import GroupRow, MessageRow, message_of, pack_extras, unpack_extras
from penstock.store.sqlite.transaction import DELAYED, HANDED_OUT, PLAIN, QueueState, Transaction

_INSERT_MESSAGE = SQL["insert_message"]
_INSERT_BODY = SQL["insert_body"]
_CARRY_MESSAGE = SQL["carry_message"]
_CARRY_BODY = SQL["carry_body"]
_DELETE_MESSAGE = SQL["delete_message"]
_DELETE_BODY = SQL["delete_body"]
_EXTRAS_BY_KEY = SQL["extras_by_key"]
_MESSAGE_BY_ID = SQL["message_by_id"]
_CHANGE_VISIBILITY = SQL["change_visibility"]
_GIVE_BACK = SQL["give_back"]
_DUPLICATE = SQL["duplicate"]
_REMEMBER_DUPLICATE = SQL["remember_duplicate"]
_QUEUE_BY_NUMBER = SQL["queue_by_number"]
_JOIN_BY_MESSAGE = SQL["join_by_message"]

LONGEST_IN_ROW = 1_000
"""Bodies up to this length lie in their message's row: a page of the file holds some of them."""


_LONGEST_KEY = 1_000
"""Deduplication keys up to this length are kept as they are, so that they can be carried to another store."""


class Place(NamedTuple):
    """Where a message goes in its queue's order."""

    group: GroupRow | None
    group_key: int
    rank: int
    position: int


def send(tx: Transaction, queue: QueueState, draft: Draft, now: int) -> SendOutcome:
    """Keep a message, unless it is a duplicate or refused."""
    settings = queue.settings
    error = refusal(settings, draft)
    if error is not None:
        return Refused(error.problem)
    message_id = draft.message_id
    assert message_id is not None
    blob = to_blob(message_id)
    key = deduplication_key(settings, draft)
    known_by = b""
    if key is not None:
        known_by = _kept_form(key)
        known = tx.execute(_DUPLICATE, (queue.number, known_by, now)).fetchone()
        if known is not None:
            return Sent(to_text(known[0]), known[1], is_duplicate=True)
        if draft.deduplication_id is None:
            draft = structs.replace(draft, deduplication_id=effective_deduplication_id(settings, draft))
    if tx.has_joins and tx.execute(_JOIN_BY_MESSAGE, (blob,)).fetchone() is not None:
        return Sent(message_id, 0, is_duplicate=True)
    visible_at = first_visible_at(settings, draft, now)
    try:
        sequence = insert(tx, queue, draft, visible_at, own_expiry(draft, now), now)
    except apsw.ConstraintError:
        kept = kept_message(tx, blob)
        if kept is not None:
            return Sent(message_id, kept[1].message_key & SEQUENCE_MASK, is_duplicate=True)
        sequence = insert(tx, queue, draft, visible_at, own_expiry(draft, now), now)
    if key is not None:
        kept_until = now + to_ms(settings.deduplication_window_seconds)
        tx.execute(_REMEMBER_DUPLICATE, (queue.number, known_by, blob, sequence, kept_until))
    if queue.keeps_history:
        tx.note(queue, EventKind.SENT, message_id, now)
    return Sent(message_id, sequence)


def _kept_form(key: tuple[str, str]) -> bytes:
    """Return what a deduplication key is kept as: itself, or a hash if it is very long."""
    text = "\0".join(key).encode()
    if len(text) <= _LONGEST_KEY:
        return text
    # no text begins like this: it is not UTF-8
    return b"\xff" + hashlib.blake2b(text, digest_size=16).digest()


def insert(tx: Transaction, queue: QueueState, draft: Draft, visible_at: int, expires_at: int | None, now: int) -> int:
    """Put a message in its place; return its sequence number. Raises apsw.ConstraintError, and changes nothing, when
    a message of that id is there."""
    assert draft.message_id is not None
    sequence = queue.last_sequence + 1
    message_key = queue.number << KEY_SHIFT | sequence
    place = place_of(tx, queue, draft.group_id, draft.priority, visible_at, sequence)
    is_long = len(draft.body) > LONGEST_IN_ROW
    try:
        tx.execute(
            _INSERT_MESSAGE,
            (
                message_key,
                queue.number,
                to_blob(draft.message_id),
                place.group_key,
                place.rank,
                place.position,
                visible_at,
                PLAIN if visible_at <= now else DELAYED,
                draft.priority,
                now,
                expires_at,
                pack_extras(draft),
                None if is_long else draft.body,
            ),
        )
    except apsw.ConstraintError:
        if place.group is not None and place.group.head_key is None:
            save_and_reseat(tx, queue, place.group, now)  # it may have been made for this message
        raise
    if is_long:
        tx.execute(_INSERT_BODY, (message_key, draft.body))
    _arrived(tx, queue, place, draft.priority, visible_at, now)
    return sequence


def place_of(
    tx: Transaction, queue: QueueState, group_id: str | None, priority: int, visible_at: int, sequence: int
) -> Place:
    """Return where a message goes in its queue's order."""
    if group_id is None:
        return Place(None, -queue.number, lane_of(priority), visible_at)
    group = group_by_id(tx, queue, group_id)
    if queue.is_strict:
        return Place(group, group.group_key, 0, sequence)
    return Place(group, group.group_key, lane_of(priority), visible_at)


def _arrived(tx: Transaction, queue: QueueState, place: Place, priority: int, visible_at: int, now: int) -> None:
    """Count a message that was put in its place, and wake who waits for it."""
    queue.last_sequence += 1
    queue.sent_total += 1
    queue.message_count += 1
    queue.lanes |= 1 << lane_of(priority)
    queue.is_changed = True
    if visible_at > queue.counted_at and visible_at > now:
        queue.delayed += 1
    if place.group is not None:
        if queue.is_strict:
            if not seat_if_first(tx, queue, place.group, now):
                # nobody but who follows one of those before it may receive it next
                tx.wake(wakeup_name(queue.name, place.group.group_id), visible_at)
                return
        else:
            place.group.message_count += 1
            place.group.last_sent_at = now
            save_and_reseat(tx, queue, place.group, now)
    tx.wake(queue.name, visible_at)


def kept_message(tx: Transaction, blob: bytes) -> tuple[QueueState, MessageRow] | None:
    """Return a message by id and its queue, or ``None``. A remnant of a purged queue is forgotten on the way."""
    row = tx.execute(_MESSAGE_BY_ID, (blob,)).fetchone()
    if row is None:
        return None
    message = message_of(row)
    name = tx.execute(_QUEUE_BY_NUMBER, (message.message_key >> KEY_SHIFT,)).fetchone()
    if name is None:
        tx.execute(_DELETE_MESSAGE, (message.message_key,))
        tx.execute(_DELETE_BODY, (message.message_key,))
        return None
    return tx.queue(name[0]), message


def group_of(tx: Transaction, message: MessageRow) -> GroupRow | None:
    """Return the group of a kept message, or ``None``."""
    return group_by_key(tx, message.group_key) if message.group_key > 0 else None


def uncount(queue: QueueState, group: GroupRow | None, phase: int, visible_at: int) -> None:
    """Take a message out of the counts of leased and delayed, before it changes or goes."""
    _count(queue, group, phase, visible_at, -1)


def count(queue: QueueState, group: GroupRow | None, phase: int, visible_at: int, messages: int = 1) -> None:
    """Put messages into the counts of leased and delayed."""
    _count(queue, group, phase, visible_at, messages)


def _count(queue: QueueState, group: GroupRow | None, phase: int, visible_at: int, by: int) -> None:
    queue.is_changed = True
    if visible_at <= queue.counted_at:
        return
    if phase == HANDED_OUT:
        queue.in_flight += by
        if group is not None and not queue.is_strict:
            group.in_flight += by
    elif phase == DELAYED:
        queue.delayed += by


def forget(tx: Transaction, queue: QueueState, group: GroupRow | None, message: MessageRow, now: int) -> None:
    """Remove a message; its group is reseated, or goes when it is empty."""
    tx.execute(_DELETE_MESSAGE, (message.message_key,))
    if message.has_long_body:
        tx.execute(_DELETE_BODY, (message.message_key,))
    _left(tx, queue, group, message, now)


def _left(tx: Transaction, queue: QueueState, group: GroupRow | None, message: MessageRow, now: int) -> None:
    """Take a message that is no longer in its queue out of the counts, and reseat its group."""
    uncount(queue, group, message.phase, message.visible_at)
    queue.message_count -= 1
    if queue.message_count == 0:
        queue.lanes = 0
    if group is not None:
        if not queue.is_strict:
            group.message_count -= 1
        save_and_reseat(tx, queue, group, now)
    if queue.is_strict:
        wake_followers(tx, queue, group, now)


def change_visibility(
    tx: Transaction,
    queue: QueueState,
    group: GroupRow | None,
    message: MessageRow,
    until: int,
    now: int,
) -> None:
    """Let a lease last until an instant; now gives it back."""
    uncount(queue, group, message.phase, message.visible_at)
    tx.execute(_CHANGE_VISIBILITY, (until, position_of(queue, message, until), message.message_key))
    count(queue, group, message.phase, until)
    if group is not None:
        save_and_reseat(tx, queue, group, now)
    tx.wake(queue.name, until)
    if queue.is_strict:
        wake_followers(tx, queue, group, until)


def give_back(
    tx: Transaction,
    queue: QueueState,
    group: GroupRow | None,
    message: MessageRow,
    visible_at: int,
    now: int,
    *,
    is_counted: bool,
) -> None:
    """Let go of a message until an instant. Its token goes, so that it cannot be given back twice."""
    uncount(queue, group, message.phase, message.visible_at)
    phase = PLAIN if visible_at <= now else DELAYED
    position = position_of(queue, message, visible_at)
    tx.execute(_GIVE_BACK, (visible_at, position, phase, int(not is_counted), message.message_key))
    count(queue, group, phase, visible_at)
    if group is not None:
        save_and_reseat(tx, queue, group, now)
    tx.wake(queue.name, visible_at)
    wake_if_freed(tx, queue, group, now)
    if queue.is_strict:
        wake_followers(tx, queue, group, visible_at, frees_at=now)


def wake_followers(
    tx: Transaction, queue: QueueState, group: GroupRow | None, at: int, *, frees_at: int | None = None
) -> None:
    """Wake who follows in a strict group, and under a limit who follows in any group when a lease ends."""
    if group is not None:
        tx.wake(wakeup_name(queue.name, group.group_id), at)
    if queue.settings.max_in_flight is not None:
        tx.wake(wakeup_name(queue.name, EVERY_GROUP), at if frees_at is None else frees_at)


def position_of(queue: QueueState, message: MessageRow, visible_at: int) -> int:
    """Return where a message with that ``visible_at`` stands in its lane."""
    is_ordered = queue.is_strict and message.group_key > 0
    return message.message_key & SEQUENCE_MASK if is_ordered else visible_at


def wake_if_freed(tx: Transaction, queue: QueueState, group: GroupRow | None, now: int) -> None:
    """Wake who waits, if a message that left let its group go on or made room under the limit."""
    if group is not None or queue.settings.max_in_flight is not None:
        tx.wake(queue.name, now)


def clear(tx: Transaction, queue: QueueState, group: GroupRow | None, message: MessageRow, now: int) -> bool:
    """Forget a message that has expired, or dead-letter one that is spent; return whether it was one of these."""
    if has_expired(queue.settings, message.sent_at, message.expires_at, now):
        forget(tx, queue, group, message, now)
        tx.note(queue, EventKind.EXPIRED, to_text(message.message_id), now)
        return True
    if is_spent(queue.settings, message.receive_count - message.carried_count):
        return dead_letter(tx, queue, group, message, "received too often", now)
    return False


def dead_letter(
    tx: Transaction, queue: QueueState, group: GroupRow | None, message: MessageRow, reason: str, now: int
) -> bool:
    """Move a message to the dead-letter queue; return whether there is one."""
    policy = queue.settings.redrive
    target = None if policy is None else tx.find_queue(policy.dead_letter_queue)
    if target is None:
        return False
    sequence = target.last_sequence + 1
    message_key = target.number << KEY_SHIFT | sequence
    (packed,) = tx.execute(_EXTRAS_BY_KEY, (message.message_key,)).fetchone()
    place = place_of(tx, target, unpack_extras(packed).group_id, message.priority, now, sequence)
    sent_at = now if queue.settings.is_fifo else message.sent_at
    tx.execute(
        _CARRY_MESSAGE,
        (
            message_key,
            target.number,
            place.group_key,
            place.rank,
            place.position,
            now,
            sent_at,
            queue.name,
            message.message_key,
        ),
    )
    if message.has_long_body:
        tx.execute(_CARRY_BODY, (message_key, message.message_key))
    _left(tx, queue, group, message, now)
    tx.note(queue, EventKind.DEAD_LETTERED, to_text(message.message_id), now, reason)
    _arrived(tx, target, place, message.priority, now, now)
    return True
