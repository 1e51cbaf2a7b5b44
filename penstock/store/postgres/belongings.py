"""What is in a schema, as things that can be carried to another store."""

from collections.abc import Callable
from typing import Any

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
from penstock.core.effects import FollowUp, Join, Record
from penstock.core.fairness import BusyTime
from penstock.core.lifecycle import lane_of
from penstock.core.messages import Draft
from penstock.store.house import Place
from penstock.store.postgres.connecting import Connection
from penstock.store.postgres.moving import decode_move
from penstock.store.postgres.queries import in_schema
from penstock.store.postgres.records import decode_tags
from penstock.store.postgres.rows import NO_EXTRAS, SEQUENCE_MASK, decode_extras, decode_settings, event, text_of


async def read_page(
    connection: Connection, schema: str, kind: Kind, after: Place | None, limit: int
) -> tuple[list[Belonging], Place | None]:
    """Return things of a kind after a place, and the place behind them."""
    names, sql, show = _READERS[kind]
    marks = ", ".join(f"${at + 2}" for at in range(len(names)))
    where = "" if after is None else f"WHERE ({', '.join(names)}) > ({marks})"
    asked = in_schema(f"{sql} {where} ORDER BY {', '.join(names)} LIMIT $1", schema)
    rows = await connection.fetch(asked, limit, *_unwritten(after or ()))
    found = [show(row) for row in rows]
    last = None
    if len(rows) == limit:
        last = tuple([each.hex()] if isinstance(each, bytes) else each for each in tuple(rows[-1])[: len(names)])
    return [each for each in found if each is not None], last


def _unwritten(place: Place) -> list[Any]:
    return [bytes.fromhex(each[0]) if isinstance(each, list) else each for each in place]


def _show_queue(row: Any) -> KeptQueue:
    _, name, settings, *numbers, period, current, previous = tuple(row)
    created, modified, purged, *rest = numbers
    busy = BusyTime(period, current, previous)
    sequence, turn, sent, received, deleted = rest
    instants = (created, modified, purged)
    return KeptQueue(name, decode_settings(settings), *instants, sequence, turn, sent, received, deleted, busy)


def _show_message(row: Any) -> KeptMessage:
    extras = NO_EXTRAS if row["extras"] is None else decode_extras(row["extras"])
    priority = row["priority"]
    is_ordered = row["is_strict"] and row["group_key"] > 0
    return KeptMessage(
        row["queue"],
        row["message_key"] & SEQUENCE_MASK,
        str(row["message_id"]),
        row["body"].decode(),
        row["sent_at"],
        row["visible_at"],
        priority,
        extras.attributes,
        extras.system_attributes,
        extras.sender_id,
        text_of(row["group_id"]),
        text_of(row["deduplication_id"]),
        row["expires_at"],
        row["receive_count"],
        row["carried_count"],
        row["first_received_at"],
        row["received_at"],
        row["token"] if row["phase"] == 2 else None,
        text_of(row["owner"]),
        row["dead_letter_source"],
        row["phase"] == 1,
        not is_ordered and row["rank"] == lane_of(priority, comes_back=True),
    )


def _show_group(row: Any) -> KeptGroup:
    _, packed, queue, parked, noisy, last_sent_at, lane, ready_at, turn, head, head_visible_at, *busy = tuple(row)
    return KeptGroup(
        *(queue, packed.decode(), parked, noisy, last_sent_at, BusyTime(*busy), lane, ready_at),
        *(turn & SEQUENCE_MASK, None if head is None else head & SEQUENCE_MASK, head_visible_at),
    )


def _show_duplicate(row: Any) -> KeptDuplicate | None:
    _, key, queue, message_id, sequence, kept_until = tuple(row)
    if key.startswith(b"\xff"):
        return None
    scope, _, deduplication_id = key.decode().partition("\0")
    return KeptDuplicate(queue, scope, deduplication_id, str(message_id), sequence, kept_until)


def _show_attempt(row: Any) -> KeptAttempt:
    _, attempt_id, queue, keys, tokens, kept_until = tuple(row)
    leases = tuple((key & SEQUENCE_MASK, token) for key, token in zip(keys, tokens, strict=True))
    return KeptAttempt(queue, attempt_id.decode(), leases, kept_until)


def _show_join(row: Any) -> KeptJoin:
    extras = NO_EXTRAS if row["extras"] is None else decode_extras(row["extras"])
    draft = Draft(
        row["body"].decode(),
        extras.attributes,
        extras.system_attributes,
        extras.sender_id,
        delay_seconds=None if row["delay_ms"] is None else row["delay_ms"] / 1000,
        deliver_at=row["deliver_at"],
        priority=row["priority"],
        group_id=text_of(row["group_id"]),
        deduplication_id=text_of(row["deduplication_id"]),
        time_to_live_seconds=None if row["live_ms"] is None else row["live_ms"] / 1000,
        message_id=str(row["message_id"]),
    )
    join = Join(row["join_id"].decode(), row["parts"], FollowUp(row["queue"], draft), row["expires_at"])
    return KeptJoin(join, tuple(part.decode() for part in row["arrived_parts"]))


def _show_record(row: Any) -> KeptRecord:
    key, value, tags, expires_at = tuple(row)
    return KeptRecord(Record(key.decode(), value, decode_tags(tags), expires_at))


_READERS: dict[Kind, tuple[tuple[str, ...], str, Callable[[Any], Belonging | None]]] = {
    KeptQueue: (
        ("queue_number",),
        """SELECT queue_number, name, settings, created_at, modified_at, purged_at, last_sequence, last_turn,
                  sent_total, received_total, deleted_total, busy_period, busy_current_ms, busy_previous_ms
           FROM penstock.queues JOIN penstock.queue_states USING (queue_number)""",
        _show_queue,
    ),
    KeptMessage: (
        ("message_key",),
        """SELECT message_key, q.name AS queue, m.*, q.is_strict
           FROM penstock.messages AS m JOIN penstock.queues AS q USING (queue_number)""",
        _show_message,
    ),
    KeptGroup: (
        ("g.queue_number", "g.group_id"),
        """SELECT g.queue_number, g.group_id, q.name, g.is_parked, g.is_noisy, g.last_sent_at, g.lane, g.ready_at,
                  g.turn, g.head_key, g.head_visible_at, g.busy_period, g.busy_current_ms, g.busy_previous_ms
           FROM penstock.groups AS g JOIN penstock.queues AS q USING (queue_number)""",
        _show_group,
    ),
    KeptDuplicate: (
        ("d.queue_number", "d.key"),
        """SELECT d.queue_number, d.key, q.name, d.message_id, d.sequence, d.kept_until
           FROM penstock.duplicates AS d JOIN penstock.queues AS q USING (queue_number)""",
        _show_duplicate,
    ),
    KeptAttempt: (
        ("a.queue_number", "a.attempt_id"),
        """SELECT a.queue_number, a.attempt_id, q.name, a.message_keys, a.tokens, a.kept_until
           FROM penstock.attempts AS a JOIN penstock.queues AS q USING (queue_number)""",
        _show_attempt,
    ),
    KeptJoin: (
        ("j.join_id",),
        """SELECT j.join_id, j.parts, j.queue, j.expires_at, (j.draft).*,
                  ARRAY(SELECT part_id FROM penstock.join_parts AS p WHERE p.join_id = j.join_id) AS arrived_parts
           FROM penstock.joins AS j""",
        _show_join,
    ),
    KeptRecord: (("key",), "SELECT key, value, tags, expires_at FROM penstock.records", _show_record),
    KeptMove: (("move_id",), "SELECT move_id, move FROM penstock.moves", lambda row: KeptMove(decode_move(row[1]))),
    KeptEvent: (
        ("event_id",),
        "SELECT event_id, at, queue, message_id, kind, detail FROM penstock.events",
        lambda row: KeptEvent(event(row)),
    ),
    RestingName: (
        ("name",),
        "SELECT name, deleted_at FROM penstock.deleted_queues",
        lambda row: RestingName(*tuple(row)),
    ),
}
"""By kind: what names a thing, how its row is selected, beginning with that, and what it then is."""
