"""What happens together with a settlement: sends, records, joins opened and arrived at."""

from collections.abc import Sequence

import msgspec
from msgspec import structs

from penstock.core.effects import Arrival, Effects, FollowUp, Join, Record
from penstock.core.errors import PenstockError, QueueNotFound
from penstock.core.lifecycle import refusal
from penstock.core.message_ids import to_blob
from penstock.core.operations import ApplyReply, SendOutcome
from penstock.core.refusals import guard_failed
from penstock.store.sqlite.keeping import kept_message, send
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.records import delete_records, get_record, put_record
from penstock.store.sqlite.transaction import Transaction

_INSERT_JOIN = SQL["insert_join"]
_JOIN_BY_ID = SQL["join_by_id"]
_JOIN_FOLLOW_UP = SQL["join_follow_up"]
_JOIN_BY_MESSAGE = SQL["join_by_message"]
_UPDATE_JOIN = SQL["update_join"]
_DELETE_JOIN = SQL["delete_join"]
_DELETE_JOIN_PARTS = SQL["delete_join_parts"]
_INSERT_JOIN_PART = SQL["insert_join_part"]
_COUNT_ARRIVAL = SQL["count_arrival"]
_DELETE_JOIN_COUNT = SQL["delete_join_count"]

pack_follow_up = msgspec.msgpack.Encoder().encode
unpack_follow_up = msgspec.msgpack.Decoder(FollowUp).decode


def refusal_of(tx: Transaction, effects: Effects, now: int) -> PenstockError | None:
    """Return why effects cannot happen, or ``None``. What is checked here cannot fail later."""
    for guard in effects.guards:
        record = get_record(tx.execute, guard.key, now)
        if guard.value != (None if record is None else record.value):
            return guard_failed(guard.key)
    for follow_up in (*effects.sends, *(join.follow_up for join in effects.joins)):
        try:
            error = refusal(tx.queue(follow_up.queue).settings, follow_up.message)
        except QueueNotFound as not_found:
            error = not_found
        if error is not None:
            return error
    return None


def apply_alone(tx: Transaction, effects: Effects, now: int) -> ApplyReply:
    """Let effects happen on their own. Raises what refuses the first that cannot."""
    error = refusal_of(tx, effects, now)
    if error is not None:
        raise error
    return ApplyReply(*apply(tx, effects, now))


def apply(tx: Transaction, effects: Effects, now: int) -> tuple[tuple[SendOutcome, ...], tuple[bool, ...]]:
    """Let effects happen that were not refused."""
    delete_records(tx, effects.forgets)
    sent = tuple(send(tx, tx.queue(each.queue), each.message, now) for each in effects.sends)
    kept = put_records(tx, effects.records, now)
    for join_id in [each.join_id for each in effects.joins] + [each.join_id for each in effects.arrivals]:
        row = tx.execute(_JOIN_BY_ID, (join_id,)).fetchone()
        if row is not None and row[1] is not None and row[1] <= now:
            close_join(tx, join_id)
    for join in effects.joins:
        _open(tx, join)
    for arrival in effects.arrivals:
        _arrive(tx, arrival, now)
    return sent, kept


def put_records(tx: Transaction, records: Sequence[Record], now: int) -> tuple[bool, ...]:
    """Keep records; return for each whether it was kept."""
    return tuple(put_record(tx, record, now) for record in records)


def cancel_blocked(tx: Transaction, blob: bytes, queue_name: str | None) -> bool:
    """Forget the join that holds a message for a queue; return whether there was one."""
    held = _held_for(tx, blob, queue_name)
    if held is None:
        return False
    close_join(tx, held[0])
    return True


def reschedule_blocked(tx: Transaction, blob: bytes, deliver_at: int, queue_name: str | None) -> bool:
    """Set when a message that a join holds for a queue may be received; return whether there is one."""
    held = _held_for(tx, blob, queue_name)
    if held is None:
        return False
    join_id, follow_up = held
    message = structs.replace(follow_up.message, deliver_at=deliver_at)
    tx.execute(_UPDATE_JOIN, (pack_follow_up(structs.replace(follow_up, message=message)), join_id))
    return True


def _held_for(tx: Transaction, blob: bytes, queue_name: str | None) -> tuple[str, FollowUp] | None:
    """Return the join that holds a message for a queue, or for any, and what it will send; ``None`` without one."""
    row = tx.execute(_JOIN_BY_MESSAGE, (blob,)).fetchone() if tx.has_joins else None
    if row is None:
        return None
    follow_up = unpack_follow_up(row[1])
    return (row[0], follow_up) if queue_name in (None, follow_up.queue) else None


def close_join(tx: Transaction, join_id: str) -> None:
    """Forget a join."""
    tx.execute(_DELETE_JOIN, (join_id,))
    tx.execute(_DELETE_JOIN_PARTS, (join_id,))
    tx.execute(_DELETE_JOIN_COUNT, (join_id,))
    tx.joins_changed()


def _open(tx: Transaction, join: Join) -> None:
    assert join.follow_up.message.message_id is not None
    blob = to_blob(join.follow_up.message.message_id)
    if kept_message(tx, blob) is None:
        tx.execute(_INSERT_JOIN, (join.join_id, join.parts, blob, pack_follow_up(join.follow_up), join.expires_at))
        tx.joins_changed()


def _arrive(tx: Transaction, arrival: Arrival, now: int) -> None:
    row = tx.execute(_JOIN_BY_ID, (arrival.join_id,)).fetchone()
    if row is None:
        return
    if tx.execute(_INSERT_JOIN_PART, (arrival.join_id, arrival.part_id)).fetchone() is None:
        return
    (arrived,) = tx.execute(_COUNT_ARRIVAL, (arrival.join_id,)).fetchone()
    if arrived >= row[0]:
        follow_up = unpack_follow_up(tx.execute(_JOIN_FOLLOW_UP, (arrival.join_id,)).fetchone()[0])
        close_join(tx, arrival.join_id)
        target = tx.find_queue(follow_up.queue)
        if target is not None:
            send(tx, target, follow_up.message, now)
