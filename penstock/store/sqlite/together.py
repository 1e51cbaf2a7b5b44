"""Many plain messages at once: sent and deleted with a few statements for all of them.

What rules could treat apart goes the long way one by one, by ``keeping.send`` and ``settling.settle``; for what is
handled here those would do the same.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import apsw
from msgspec import Meta, Struct, convert

from penstock.core.clock import to_ms
from penstock.core.effects import NO_EFFECTS
from penstock.core.errors import PenstockError
from penstock.core.lifecycle import lane_of, refusal
from penstock.core.message_ids import to_blob, to_texts
from penstock.core.messages import HIGHEST_PRIORITY, Draft
from penstock.core.operations import SendOutcome, Sent
from penstock.core.receipts import decode_receipts
from penstock.core.settlements import Delete, Settled, Settlement, SettleOutcome
from penstock.store.sqlite.groups import group_by_key, save_and_reseat
from penstock.store.sqlite.ids import KEY_SHIFT, SEQUENCE_MASK
from penstock.store.sqlite.keeping import LONGEST_IN_ROW, send, wake_followers, wake_if_freed
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import GroupRow, pack_extras
from penstock.store.sqlite.settling import settle
from penstock.store.sqlite.transaction import DELAYED, PLAIN, QueueState, Transaction

_INSERT_MESSAGE = SQL["insert_message"]
_HELD_BY_KEYS = SQL["held_by_keys"]
_DELETE_MESSAGE = SQL["delete_message"]
_DELETE_TEN = SQL["delete_ten"]
_DELETE_BODY = SQL["delete_body"]
_LANES = tuple(lane_of(priority) for priority in range(HIGHEST_PRIORITY + 1))
_DONE = SettleOutcome(Settled.DONE)
_KEYS_AT_ONCE = 10
_NO_KEY = -1


class _Held(Struct, array_like=True, frozen=True, gc=False):
    """What a deletion has to know of a message."""

    message_key: int
    message_id: Annotated[bytes, Meta(min_length=16, max_length=16)]
    group_key: int
    visible_at: int
    token: bytes | None
    has_long_body: int


def send_all(tx: Transaction, queue: QueueState, drafts: Sequence[Draft], now: int) -> tuple[SendOutcome, ...]:
    """Keep messages in the order given, each unless it is a duplicate or refused."""
    rows = _plain_rows(tx, queue, drafts, now)
    if rows is None:
        return tuple([send(tx, queue, draft, now) for draft in drafts])
    first, before = queue.last_sequence + 1, tx.change_count
    try:
        tx.execute_many(_INSERT_MESSAGE, rows)
        kept = len(rows)
    except apsw.ConstraintError:
        kept = tx.change_count - before  # the next one has the id of a message that is there
    _arrived(tx, queue, drafts[:kept], rows, now)
    sent: list[SendOutcome] = [Sent(each.message_id, first + at) for at, each in enumerate(drafts[:kept])]  # type: ignore[arg-type]
    return (*sent, *[send(tx, queue, draft, now) for draft in drafts[kept:]])


def _plain_rows(tx: Transaction, queue: QueueState, drafts: Sequence[Draft], now: int) -> list[tuple[Any, ...]] | None:
    """Return the rows of messages that are kept as they are unless their ids are there, or ``None``."""
    settings, number = queue.settings, queue.number
    if settings.is_fifo or settings.content_based_deduplication or queue.keeps_history or tx.has_joins:
        return None
    visible_at = now + to_ms(settings.delay_seconds)
    phase = PLAIN if visible_at <= now else DELAYED
    fits = min(LONGEST_IN_ROW, settings.max_message_bytes // 4)  # whatever its characters are
    message_key = number << KEY_SHIFT | queue.last_sequence
    rows = []
    for draft in drafts:
        if (
            draft.group_id is not None
            or draft.deduplication_id is not None
            or draft.delay_seconds is not None
            or draft.deliver_at is not None
            or draft.time_to_live_seconds is not None
            or len(draft.body) > LONGEST_IN_ROW
            or ((len(draft.body) > fits or draft.attributes) and refusal(settings, draft) is not None)
        ):
            return None
        assert draft.message_id is not None
        message_key += 1
        rows.append(
            (
                message_key,
                number,
                to_blob(draft.message_id),
                -number,
                _LANES[draft.priority],
                visible_at,
                visible_at,
                phase,
                draft.priority,
                now,
                None,
                pack_extras(draft),
                draft.body,
            )
        )
    return rows


def _arrived(
    tx: Transaction, queue: QueueState, drafts: Sequence[Draft], rows: list[tuple[Any, ...]], now: int
) -> None:
    """Count messages that were put in their places, and wake who waits for them."""
    if not drafts:
        return
    visible_at = rows[0][5]
    queue.last_sequence += len(drafts)
    queue.sent_total += len(drafts)
    queue.message_count += len(drafts)
    for draft in drafts:
        queue.lanes |= 1 << _LANES[draft.priority]
    queue.is_changed = True
    if visible_at > queue.counted_at and visible_at > now:
        queue.delayed += len(drafts)
    tx.wake(queue.name, visible_at)


def settle_all(tx: Transaction, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
    """End deliveries, each or say why not; for a queue without history, plain deletions go before the others."""
    if len(settlements) == 1:
        return (settle(tx, settlements[0], now),)
    deleted = _delete_plain(tx, settlements, now)
    if deleted is None:
        return tuple([settle(tx, each, now) for each in settlements])
    return tuple(
        [
            settle(tx, each, now) if outcome is None else outcome
            for each, outcome in zip(settlements, deleted, strict=True)
        ]
    )


def _delete_plain(tx: Transaction, settlements: Sequence[Settlement], now: int) -> list[SettleOutcome | None] | None:
    """Forget the messages of one queue that have no group, or a strict one, and are held as the settlements say; return
    the outcomes of these, or ``None`` where there is more to it than deletions from one queue."""
    name = settlements[0].queue
    for each in settlements:
        if (
            type(each.action) is not Delete
            or each.queue != name
            or each.effects is not NO_EFFECTS
            or each.also
            or each.parks_group
        ):
            return None
    queue = tx.find_queue(name)
    if queue is None or queue.keeps_history:
        return None
    try:
        receipts = decode_receipts(name, [each.receipt_handle for each in settlements])
    except PenstockError:
        return None
    shifted = queue.number << KEY_SHIFT
    keys = [shifted | each.sequence_number if each.sequence_number <= SEQUENCE_MASK else _NO_KEY for each in receipts]
    held = _held(tx, keys)
    outcomes: list[SettleOutcome | None] = []
    gone: list[_Held] = []
    for settlement, receipt, message_key in zip(settlements, receipts, keys, strict=True):
        message = held.get(message_key)
        if (
            message is None
            or (message.group_key > 0 and not queue.is_strict)
            or message.token != receipt.token
            or (message.visible_at <= now and (settlement.is_fenced or queue.is_strict))
        ):
            outcomes.append(None)
        else:
            gone.append(message)
            outcomes.append(_DONE)
    if gone:
        message_ids = iter(to_texts(b"".join([each.message_id for each in gone])))
        outcomes = [SettleOutcome(Settled.DONE, next(message_ids)) if each is _DONE else each for each in outcomes]
        _forget(tx, [each.message_key for each in gone])
        _left(tx, queue, gone, now)
    return outcomes


def _forget(tx: Transaction, keys: list[int]) -> None:
    tens = len(keys) - len(keys) % _KEYS_AT_ONCE
    for at in range(0, tens, _KEYS_AT_ONCE):
        tx.execute(_DELETE_TEN, keys[at : at + _KEYS_AT_ONCE])
    if keys[tens:]:
        tx.execute_many(_DELETE_MESSAGE, [(key,) for key in keys[tens:]])


def _held(tx: Transaction, keys: list[int]) -> dict[int, _Held]:
    rows = []
    for at in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[at : at + _KEYS_AT_ONCE]
        rows += tx.execute(_HELD_BY_KEYS, some + [_NO_KEY] * (_KEYS_AT_ONCE - len(some))).fetchall()
    return {each.message_key: each for each in convert(rows, list[_Held])}


def _left(tx: Transaction, queue: QueueState, gone: Sequence[_Held], now: int) -> None:
    """Take messages that are no longer in their queue out of the counts, and wake for whom that makes room."""
    for message in gone:
        if message.visible_at > queue.counted_at:
            queue.in_flight -= 1  # who has a token was handed out
        if message.has_long_body:
            tx.execute(_DELETE_BODY, (message.message_key,))
    queue.is_changed = True
    queue.deleted_total += len(gone)
    queue.message_count -= len(gone)
    if queue.message_count == 0:
        queue.lanes = 0
    for group in _groups_left(tx, gone):
        if group is not None:
            save_and_reseat(tx, queue, group, now)
        wake_if_freed(tx, queue, group, now)
        if queue.is_strict:
            wake_followers(tx, queue, group, now)


def _groups_left(tx: Transaction, gone: Sequence[_Held]) -> list[GroupRow | None]:
    """Return the groups that messages left, ``None`` for those without one, in the order in which the last of each did:
    so they go to the back of the rotation."""
    last_first = dict.fromkeys(each.group_key for each in reversed(gone))
    return [group_by_key(tx, group_key) if group_key > 0 else None for group_key in reversed(last_first)]
