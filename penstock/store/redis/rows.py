"""What the scripts show of a message, as deliveries and views (CONTENT and STATE in rows.lua)."""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from penstock.core.belongings import KeptMessage
from penstock.core.lifecycle import state_of
from penstock.core.message_ids import to_blob, to_text
from penstock.core.messages import Delivery, MessageView, blocked_view
from penstock.core.receipts import Receipt, encode_receipt
from penstock.store.redis.drafts import NO_EXTRAS, Extras, pack_tail, unpack_draft, unpack_tail

# id, sent at, visible at, expires at, priority, timed, receives, first received at, length of the group id
_CONTENT = struct.Struct(">16sHIHIHIBBIHIH")
# up to the token; six-byte numbers as two and four
_STATE = struct.Struct(">16sHIHIHI4BIIHIHI")
_PLAIN = b"\0" * 7
_NOTHING_MORE = b"\0\0" + _PLAIN
_TIMED_AT = 35
# sequence number, token, receives, first received at, visible at; the content follows
_SHOWN = struct.Struct(">HI12sIHIHI")
_PLAIN_BODY_AT = _SHOWN.size + _CONTENT.size + len(_PLAIN)


class Content(NamedTuple):
    """A message's content, as it was when it was sent or moved."""

    message_id: str
    sent_at: int
    visible_at: int
    expires_at: int | None
    priority: int
    receive_count: int
    first_received_at: int | None
    group_id: str | None
    deduplication_id: str | None
    source: str | None
    extras: Extras
    body: str


def read_content(packed: bytes) -> Content:
    """Return what a content says."""
    (blob, sent_hi, sent, vis_hi, vis, exp_hi, exp, priority, _, receives, first_hi, first, group_length) = (
        _CONTENT.unpack_from(packed)
    )
    at = _CONTENT.size
    group_id = deduplication_id = source = None
    if not group_length and packed.startswith(_PLAIN, at):
        extras, body = NO_EXTRAS, packed[at + 7 :].decode()
    else:
        group_id = packed[at : at + group_length].decode() or None
        at += group_length
        length = int.from_bytes(packed[at : at + 2], "big")
        deduplication_id = packed[at + 2 : at + 2 + length].decode() or None
        at += 2 + length
        length = packed[at]
        source = packed[at + 1 : at + 1 + length].decode() or None
        extras, body = unpack_tail(packed, at + 1 + length)
    return Content(
        to_text(blob),
        sent_hi << 32 | sent,
        vis_hi << 32 | vis,
        (exp_hi << 32 | exp) or None,
        priority,
        receives,
        (first_hi << 32 | first) or None,
        group_id,
        deduplication_id,
        source,
        extras,
        body,
    )


def delivery(queue: str, shown: bytes) -> Delivery:
    """Return a delivery that a receive shows (``show`` in receiving.lua)."""
    (sequence_hi, sequence, token, receives, first_hi, first, visible_hi, visible) = _SHOWN.unpack_from(shown)
    sequence_number, visible_at = sequence_hi << 32 | sequence, visible_hi << 32 | visible
    receipt_handle = encode_receipt(queue, Receipt(sequence_number, token))
    if shown.startswith(_NOTHING_MORE, _SHOWN.size + _CONTENT.size - 2):
        # most have no group, attributes and so on: read_content would do the same
        (blob, sent_hi, sent, _, _, _, _, priority, _, _, _, _, _) = _CONTENT.unpack_from(shown, _SHOWN.size)
        return Delivery(
            to_text(blob),
            receipt_handle,
            shown[_PLAIN_BODY_AT:].decode(),
            sent_hi << 32 | sent,
            first_hi << 32 | first,
            visible_at,
            sequence_number,
            receives,
            priority=priority,
        )
    content = read_content(shown[_SHOWN.size :])
    return Delivery(
        content.message_id,
        receipt_handle,
        content.body,
        content.sent_at,
        first_hi << 32 | first,
        visible_at,
        sequence_number,
        receives,
        content.extras.attributes,
        content.extras.system_attributes,
        content.extras.sender_id,
        content.priority,
        content.group_id,
        content.deduplication_id,
        content.source,
    )


def view(shown: Sequence[Any] | None, now: int) -> MessageView | None:
    """Return a message that a script shows (``show`` and ``verbs.find`` in looking.lua)."""
    if shown is None:
        return None
    if len(shown) == 3:
        return blocked_view(shown[0].decode(), unpack_draft(shown[1], shown[2]))
    queue, sequence_number, packed, state = shown
    content = read_content(packed)
    visible_at, receives, first, holds = content.visible_at, content.receive_count, content.first_received_at, False
    sent_at = content.sent_at
    if state is not None:
        fields = _STATE.unpack_from(state)
        visible_at = fields[3] << 32 | fields[4]
        holds, receives = bool(fields[9]), fields[11]
        first = (fields[13] << 32 | fields[14]) or None
    return MessageView(
        message_id=content.message_id,
        queue=queue.decode(),
        state=state_of(visible_at, holds, now),
        body=content.body,
        sent_at=sent_at,
        visible_at=visible_at,
        sequence_number=sequence_number,
        receive_count=receives,
        first_received_at=first,
        attributes=content.extras.attributes,
        system_attributes=content.extras.system_attributes,
        sender_id=content.extras.sender_id,
        priority=content.priority,
        group_id=content.group_id,
        deduplication_id=content.deduplication_id,
        expires_at=content.expires_at,
        dead_letter_source=content.source,
    )


def read_message(shown: Sequence[Any]) -> KeptMessage:
    """Return all that is kept of a message that a script shows (``show`` in looking.lua)."""
    queue, sequence_number, packed, state = shown
    content = read_content(packed)
    known: dict[str, Any] = {
        "visible_at": content.visible_at,
        "receive_count": content.receive_count,
        "carried_count": content.receive_count,
        "first_received_at": content.first_received_at,
        "was_delayed": bool(packed[_TIMED_AT]),
    }
    if state is not None:
        fields = _STATE.unpack_from(state)
        timed, holds, comes_back = fields[8], fields[9], fields[10]
        at = _STATE.size
        token = state[at : at + 12]
        length = int.from_bytes(state[at + 12 : at + 14], "big")
        owner = state[at + 16 + length :]
        known = {
            "visible_at": fields[3] << 32 | fields[4],
            "receive_count": fields[11],
            "carried_count": fields[12],
            "first_received_at": (fields[13] << 32 | fields[14]) or None,
            "received_at": (fields[15] << 32 | fields[16]) or None,
            "token": token if holds else None,
            "owner": owner.decode() or None,
            "was_delayed": bool(timed) and not holds,
            "comes_back": bool(comes_back),
        }
    return KeptMessage(
        queue=queue.decode(),
        sequence_number=sequence_number,
        message_id=content.message_id,
        body=content.body,
        sent_at=content.sent_at,
        priority=content.priority,
        attributes=content.extras.attributes,
        system_attributes=content.extras.system_attributes,
        sender_id=content.extras.sender_id,
        group_id=content.group_id,
        deduplication_id=content.deduplication_id,
        expires_at=content.expires_at,
        dead_letter_source=content.source,
        **known,
    )


def pack_message(message: KeptMessage) -> tuple[int, bytes, bytes, bytes]:
    """Return a message as arguments (``take_in_messages`` in housing.lua): number, id, content, and state if it needs
    one."""
    blob, group = to_blob(message.message_id), (message.group_id or "").encode()
    deduplication_id = (message.deduplication_id or "").encode()
    source = (message.dead_letter_source or "").encode()
    content = b"".join(
        (
            blob,
            _six(message.sent_at, message.visible_at, message.expires_at or 0),
            bytes((message.priority, message.was_delayed)),
            message.receive_count.to_bytes(4, "big"),
            _six(message.first_received_at or 0),
            _text(group),
            _text(deduplication_id),
            bytes((len(source),)) + source,
            pack_tail(Extras(message.sender_id, message.attributes, message.system_attributes), message.body.encode()),
        )
    )
    is_as_sent = message.token is None and message.owner is None and message.received_at is None
    if is_as_sent and not message.comes_back and message.receive_count == message.carried_count:
        return message.sequence_number, blob, content, b""
    owner = (message.owner or "").encode()
    state = b"".join(
        (
            blob,
            _six(message.sent_at, message.visible_at, message.expires_at or 0),
            bytes((message.priority, message.was_delayed, message.token is not None, message.comes_back)),
            message.receive_count.to_bytes(4, "big") + message.carried_count.to_bytes(4, "big"),
            _six(message.first_received_at or 0, message.received_at or 0),
            message.token or bytes(12),
            _text(group) + _text(owner),
        )
    )
    return message.sequence_number, blob, content, state


def _six(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(6, "big") for number in numbers)


def _text(encoded: bytes) -> bytes:
    return len(encoded).to_bytes(2, "big") + encoded
