"""What rows mean: how a message, a delivery and a queue are shown, and what of a draft is kept."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from penstock.core.clock import to_ms
from penstock.core.events import Event, EventKind
from penstock.core.lifecycle import state_of
from penstock.core.messages import Attribute, Delivery, Draft, MessageView, blocked_view, size_of
from penstock.core.queues import QueueCounts, QueueDescription, QueueSettings
from penstock.core.receipts import Receipt, encode_receipt

HANDED_OUT = 2
SEQUENCE_MASK = (1 << 40) - 1
DraftRow = tuple[str, bytes, int, bytes | None, bytes | None, bytes | None, int, int | None, int | None, int | None]


class Extras(Struct, frozen=True, omit_defaults=True, gc=False):
    """What most messages do not have, kept in one column, as JSON so that SQL can write it too."""

    sender_id: str | None = None
    attributes: Mapping[str, Attribute] = {}
    system_attributes: Mapping[str, Attribute] = {}


NO_EXTRAS = Extras()
_encode = msgspec.json.Encoder().encode
decode_extras = msgspec.json.Decoder(Extras).decode
encode_settings = _encode
decode_settings = msgspec.json.Decoder(QueueSettings).decode


def draft_row(draft: Draft) -> DraftRow:
    """Return the columns of the type ``draft``."""
    body = draft.body.encode()
    assert draft.message_id is not None
    return (
        draft.message_id,
        body,
        size_of(draft.body, draft.attributes),
        None if draft.group_id is None else draft.group_id.encode(),
        None if draft.deduplication_id is None else draft.deduplication_id.encode(),
        pack_extras(draft.sender_id, draft.attributes, draft.system_attributes),
        draft.priority,
        None if draft.delay_seconds is None else to_ms(draft.delay_seconds),
        draft.deliver_at,
        None if draft.time_to_live_seconds is None else to_ms(draft.time_to_live_seconds),
    )


def pack_extras(
    sender_id: str | None, attributes: Mapping[str, Attribute], system_attributes: Mapping[str, Attribute]
) -> bytes | None:
    """Return the column ``extras``."""
    if not attributes and sender_id is None and not system_attributes:
        return None
    return _encode(Extras(sender_id, attributes, system_attributes))


def text_of(kept: bytes | None) -> str | None:
    """Return a kept text."""
    return None if kept is None else kept.decode()


def delivery(queue: str, row: Any, token: bytes) -> Delivery:
    """Show a reply that is a delivery (see the type ``reply``)."""
    (_, _, _, _, message_key, message_id, visible_at, _, receive_count, priority, sent_at, first_received_at) = row[:12]
    dead_letter_source, group_id, deduplication_id, packed, body = row[12:17]
    sequence_number = message_key & SEQUENCE_MASK
    extras = NO_EXTRAS if packed is None else decode_extras(packed)
    return Delivery(
        str(message_id),
        encode_receipt(queue, Receipt(sequence_number, token)),
        body.decode(),
        sent_at,
        first_received_at,
        visible_at,
        sequence_number,
        receive_count,
        extras.attributes,
        extras.system_attributes,
        extras.sender_id,
        priority,
        None if group_id is None else group_id.decode(),
        None if deduplication_id is None else deduplication_id.decode(),
        dead_letter_source,
    )


def view(row: Any, now: int) -> MessageView:
    """Show a message row (``messages_after``, ``messages_by_id``) without receiving it."""
    extras = NO_EXTRAS if row["extras"] is None else decode_extras(row["extras"])
    return MessageView(
        message_id=str(row["message_id"]),
        queue=row["queue"],
        state=state_of(row["visible_at"], row["phase"] == HANDED_OUT, now),
        body=row["body"].decode(),
        sent_at=row["sent_at"],
        visible_at=row["visible_at"],
        sequence_number=row["sequence"],
        receive_count=row["receive_count"],
        first_received_at=row["first_received_at"],
        attributes=extras.attributes,
        system_attributes=extras.system_attributes,
        sender_id=extras.sender_id,
        priority=row["priority"],
        group_id=text_of(row["group_id"]),
        deduplication_id=text_of(row["deduplication_id"]),
        expires_at=row["expires_at"],
        dead_letter_source=row["dead_letter_source"],
    )


def held_view(row: Any) -> MessageView:
    """Show a message that a join holds (``joins_by_message``)."""
    extras = NO_EXTRAS if row["extras"] is None else decode_extras(row["extras"])
    draft = Draft(
        row["body"].decode(),
        extras.attributes,
        extras.system_attributes,
        extras.sender_id,
        deliver_at=row["deliver_at"],
        priority=row["priority"],
        group_id=text_of(row["group_id"]),
        deduplication_id=text_of(row["deduplication_id"]),
        message_id=str(row["message_id"]),
    )
    return blocked_view(row["queue"], draft)


def description(row: Any) -> QueueDescription:
    """Show a queue (``describe``)."""
    in_flight, delayed = row["in_flight"], row["delayed"]
    return QueueDescription(
        name=row["name"],
        settings=decode_settings(row["settings"]),
        created_at=row["created_at"],
        modified_at=row["modified_at"],
        counts=QueueCounts(row["message_count"] - in_flight - delayed, delayed, in_flight),
        oldest_sent_at=row["oldest_sent_at"],
        purged_at=row["purged_at"],
        sent_total=row["sent_total"],
        received_total=row["received_total"],
        deleted_total=row["deleted_total"],
    )


def event(row: Any) -> Event:
    """Show an event."""
    return Event(
        row["event_id"],
        row["at"],
        row["queue"],
        str(row["message_id"]),
        EventKind(row["kind"]),
        text_of(row["detail"]),
    )
