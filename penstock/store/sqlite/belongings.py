"""What is in a SQLite file, as things that can be carried to another store."""

from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from penstock.core.belongings import (
    Belonging,
    KeptAttempt,
    KeptDuplicate,
    KeptEvent,
    KeptGroup,
    KeptJoin,
    KeptMessage,
    KeptMove,
    KeptQueue,
    KeptRecord,
    Kind,
    RestingName,
)
from penstock.core.effects import Join
from penstock.core.events import Event, EventKind
from penstock.core.fairness import BusyTime
from penstock.core.lifecycle import lane_of
from penstock.core.message_ids import to_text
from penstock.core.queues import QueueSettings
from penstock.store.house import Place
from penstock.store.sqlite import effects, moving, records
from penstock.store.sqlite.ids import SEQUENCE_MASK
from penstock.store.sqlite.rows import unpack_extras
from penstock.store.sqlite.transaction import DELAYED

_decode_settings = msgspec.json.Decoder(QueueSettings).decode
_unpack_leases = msgspec.msgpack.Decoder(tuple[tuple[int, bytes], ...]).decode


def read_page(
    connection: apsw.Connection, kind: Kind, after: Place | None, limit: int
) -> tuple[list[Belonging], Place | None]:
    """Return things of a kind after a place, and the place behind them."""
    names, sql, show = READERS[kind]
    marks = ", ".join("?" * len(names))
    where = "" if after is None else f"WHERE ({', '.join(names)}) > ({marks})"
    rows = connection.execute(
        f"{sql} {where} ORDER BY {', '.join(names)} LIMIT ?", (*_unwritten(after or ()), limit)
    ).fetchall()
    found = [show(connection, row) for row in rows]
    last = _written(rows[-1][: len(names)]) if len(rows) == limit else None
    return [each for each in found if each is not None], last


def read_one(connection: apsw.Connection, kind: Kind, key: tuple[Any, ...]) -> Belonging | None:
    """Return the thing that has a key, or ``None``."""
    names, sql, show = READERS[kind]
    where = " AND ".join(f"{name} = ?" for name in names)
    row = connection.execute(f"{sql} WHERE {where}", key).fetchone()
    return None if row is None else show(connection, row)


def _written(place: tuple[Any, ...]) -> Place:
    return tuple([each.hex()] if isinstance(each, bytes) else each for each in place)


def _unwritten(place: Place) -> tuple[Any, ...]:
    return tuple(bytes.fromhex(each[0]) if isinstance(each, list) else each for each in place)


def _show_queue(connection: apsw.Connection, row: tuple[Any, ...]) -> KeptQueue:
    _, name, settings, *numbers, period, current, previous = row
    created, modified, purged, *rest = numbers
    busy = BusyTime(period, current, previous)
    sequence, turn, sent, received, deleted = rest
    instants = (created, modified, purged)
    return KeptQueue(name, _decode_settings(settings), *instants, sequence, turn, sent, received, deleted, busy)


def _show_message(connection: apsw.Connection, row: tuple[Any, ...]) -> KeptMessage:
    (
        key,
        queue,
        blob,
        rank,
        visible_at,
        phase,
        priority,
        sent_at,
        expires_at,
        receives,
        carried,
        first,
        received_at,
    ) = row[:13]
    token, owner, source, packed, body, group_key, is_strict = row[13:]
    extras = unpack_extras(packed)
    return KeptMessage(
        queue,
        key & SEQUENCE_MASK,
        to_text(blob),
        body,
        sent_at,
        visible_at,
        priority,
        extras.attributes,
        extras.system_attributes,
        extras.sender_id,
        extras.group_id,
        extras.deduplication_id,
        expires_at,
        receives,
        carried,
        first,
        received_at,
        token,
        owner,
        source,
        phase == DELAYED,
        not (is_strict and group_key > 0) and rank == lane_of(priority, comes_back=True),
    )


def _show_group(connection: apsw.Connection, row: tuple[Any, ...]) -> KeptGroup:
    _, _, queue, group_id, parked, noisy, last_sent_at, lane, ready_at, turn, head, head_visible_at, *busy = row
    head = None if head is None else head & SEQUENCE_MASK
    turn &= SEQUENCE_MASK  # in fair order it is the head's key
    return KeptGroup(
        *(queue, group_id, bool(parked), bool(noisy), last_sent_at, BusyTime(*busy)),
        *(lane, ready_at, turn, head, head_visible_at),
    )


def _show_duplicate(connection: apsw.Connection, row: tuple[Any, ...]) -> KeptDuplicate | None:
    _, key, queue, blob, sequence, kept_until = row
    if key.startswith(b"\xff"):
        return None
    scope, _, deduplication_id = key.decode().partition("\0")
    return KeptDuplicate(queue, scope, deduplication_id, to_text(blob), sequence, kept_until)


def _show_attempt(connection: apsw.Connection, row: tuple[Any, ...]) -> KeptAttempt:
    _, attempt_id, queue, leases, kept_until = row
    return KeptAttempt(queue, attempt_id, _unpack_leases(leases), kept_until)


def _show_join(connection: apsw.Connection, row: tuple[Any, ...]) -> KeptJoin:
    join_id, parts, expires_at, follow_up = row
    arrived = connection.execute("SELECT part_id FROM join_parts WHERE join_id = ?", (join_id,)).fetchall()
    join = Join(join_id, parts, effects.unpack_follow_up(follow_up), expires_at)
    return KeptJoin(join, tuple(str(row[0]) for row in arrived))


def _show_event(connection: apsw.Connection, row: tuple[Any, ...]) -> KeptEvent:
    event_id, at, queue, blob, kind, detail = row
    return KeptEvent(Event(event_id, at, queue, to_text(blob), EventKind(kind), detail))


READERS: dict[Kind, tuple[tuple[str, ...], str, Callable[[apsw.Connection, tuple[Any, ...]], Belonging | None]]] = {
    KeptQueue: (
        ("queue_number",),
        """SELECT queue_number, name, settings, created_at, modified_at, purged_at, last_sequence, last_turn,
                  sent_total, received_total, deleted_total, busy_period, busy_current_ms, busy_previous_ms
           FROM queues""",
        _show_queue,
    ),
    KeptMessage: (
        ("message_key",),
        """SELECT message_key, q.name, message_id, rank, visible_at, phase, priority, sent_at, expires_at,
                  receive_count, carried_count, first_received_at, received_at, token, owner, dead_letter_source,
                  extras, coalesce(m.body, b.body), group_key, CAST(settings AS TEXT) ->> 'group_order' = 'strict'
           FROM messages AS m CROSS JOIN queues AS q USING (queue_number) LEFT JOIN bodies AS b USING (message_key)""",
        _show_message,
    ),
    KeptGroup: (
        ("g.queue_number", "group_id"),
        """SELECT g.queue_number, group_id, q.name, group_id, is_parked, is_noisy, last_sent_at, lane, ready_at, turn,
                  head_key, head_visible_at, g.busy_period, g.busy_current_ms, g.busy_previous_ms
           FROM groups AS g JOIN queues AS q USING (queue_number)""",
        _show_group,
    ),
    KeptDuplicate: (
        ("d.queue_number", "key"),
        """SELECT d.queue_number, key, q.name, message_id, sequence, kept_until
           FROM duplicates AS d JOIN queues AS q USING (queue_number)""",
        _show_duplicate,
    ),
    KeptAttempt: (
        ("a.queue_number", "attempt_id"),
        """SELECT a.queue_number, attempt_id, q.name, leases, kept_until
           FROM attempts AS a JOIN queues AS q USING (queue_number)""",
        _show_attempt,
    ),
    KeptJoin: (("join_id",), "SELECT join_id, parts, expires_at, follow_up FROM joins", _show_join),
    KeptRecord: (
        ("key",),
        "SELECT key, value, tags, expires_at FROM records",
        lambda _, row: KeptRecord(records.record_of(row)),
    ),
    KeptMove: (("move_id",), "SELECT move_id, move FROM moves", lambda _, row: KeptMove(moving.decode_move(row[1]))),
    KeptEvent: (("event_id",), "SELECT event_id, at, queue, message_id, kind, detail FROM events", _show_event),
    RestingName: (("name",), "SELECT name, deleted_at FROM deleted_queues", lambda _, row: RestingName(*row)),
}
"""By kind: what names a thing, how its row is selected, beginning with that, and what it then is."""
