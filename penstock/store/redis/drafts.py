"""Drafts and effects as the scripts take them: a head that they read (DRAFT in sending.lua), a tail that they keep."""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from penstock.core.clock import to_ms
from penstock.core.effects import Effects, Record
from penstock.core.message_ids import to_blob, to_text
from penstock.core.messages import Attribute, Draft, MessageView, as_draft, size_of

Argument = bytes | str | int


class Extras(Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """What most messages do not have, packed into the tail."""

    sender_id: str | None = None
    attributes: Mapping[str, Attribute] = {}
    system_attributes: Mapping[str, Attribute] = {}


NO_EXTRAS = Extras()
NOTHING = b"\0\0\0\0"
_pack = msgspec.msgpack.Encoder().encode
_unpack_extras = msgspec.msgpack.Decoder(Extras).decode
# id, priority, bytes, delay, deliver at, time to live; six-byte numbers as two and four
_HEAD = struct.Struct(">16sBHIHIHIHI")
# when it ends, bytes of its tags (RECORD in effects.lua)
_RECORD = struct.Struct(">HII")
_LENGTH = struct.Struct(">H")


def pack_draft(draft: Draft, *, with_digest: bool) -> tuple[bytes, bytes]:
    """Return head and tail of a draft.

    Args:
        draft: with a message id.
        with_digest: the queue may deduplicate by the SHA-256 of the body.
    """
    assert draft.message_id is not None
    body = draft.body.encode()
    has_extras = bool(draft.attributes or draft.system_attributes or draft.sender_id is not None)
    size = size_of(draft.body, draft.attributes)
    delay = 0 if draft.delay_seconds is None else to_ms(draft.delay_seconds) + 1
    deliver_at = 0 if draft.deliver_at is None else draft.deliver_at + 1
    ttl = 0 if draft.time_to_live_seconds is None else to_ms(draft.time_to_live_seconds) + 1
    head = _HEAD.pack(
        to_blob(draft.message_id),
        draft.priority,
        0,
        size,
        delay >> 32,
        delay & 0xFFFFFFFF,
        deliver_at >> 32,
        deliver_at & 0xFFFFFFFF,
        ttl >> 32,
        ttl & 0xFFFFFFFF,
    )
    if draft.group_id is None and draft.deduplication_id is None and not with_digest:
        head += b"\0\0\0\0\0\0"
    else:
        digest = ""
        if with_digest and draft.deduplication_id is None:
            digest = hashlib.sha256(body).hexdigest()
        head += _text(draft.group_id) + _text(draft.deduplication_id) + _text(digest)
    if not has_extras:
        return head, NOTHING + body
    return head, pack_tail(Extras(draft.sender_id, draft.attributes, draft.system_attributes), body)


def pack_tail(extras: Extras, body: bytes) -> bytes:
    """Return what only Python reads of a message."""
    packed = b"" if extras == NO_EXTRAS else _pack(extras)
    return len(packed).to_bytes(4, "big") + packed + body


def unpack_draft(head: bytes, tail: bytes) -> Draft:
    """Return what a joined follow-up will be, as far as it can be seen."""
    fields = _HEAD.unpack_from(head)
    deliver_at = fields[6] << 32 | fields[7]
    group_id, at = _read_text(head, _HEAD.size)
    deduplication_id, _ = _read_text(head, at)
    extras, body = unpack_tail(tail, 0)
    return Draft(
        body,
        extras.attributes,
        extras.system_attributes,
        extras.sender_id,
        deliver_at=deliver_at - 1 if deliver_at else None,
        priority=fields[1],
        group_id=group_id,
        deduplication_id=deduplication_id,
        message_id=to_text(fields[0]),
    )


def unpack_whole_draft(head: bytes, tail: bytes) -> Draft:
    """Return what a joined follow-up was given as."""
    fields = _HEAD.unpack_from(head)
    delay, ttl = fields[4] << 32 | fields[5], fields[8] << 32 | fields[9]
    return structs.replace(
        unpack_draft(head, tail),
        delay_seconds=(delay - 1) / 1000 if delay else None,
        time_to_live_seconds=(ttl - 1) / 1000 if ttl else None,
    )


def unpack_tail(packed: bytes, at: int) -> tuple[Extras, str]:
    """Return extras and body of a tail that begins at ``at``."""
    length = int.from_bytes(packed[at : at + 4], "big")
    at += 4
    if not length:
        return NO_EXTRAS, packed[at:].decode()
    return _unpack_extras(packed[at : at + length]), packed[at + length :].decode()


def pack_view(message: MessageView) -> list[Argument]:
    """Return a message of another shard as arguments (``verbs.adopt`` in carrying.lua)."""
    instants = (message.sent_at, message.visible_at, message.expires_at or 0)
    counted = (message.receive_count, message.first_received_at or 0)
    return [*pack_draft(as_draft(message), with_digest=False), *instants, *counted, message.dead_letter_source or ""]


def pack_words(message: MessageView) -> tuple[bytes, bytes]:
    """Return id and tail of a message that is put in other words (``verbs.rewrite`` in rewriting.lua)."""
    extras = Extras(message.sender_id, message.attributes, message.system_attributes)
    return to_blob(message.message_id), pack_tail(extras, message.body.encode())


def pack_effects(effects: Effects) -> list[Argument]:
    """Return effects as arguments (``take_effects`` in effects.lua). Digests go along always: effects are few."""
    arguments: list[Argument] = [len(effects.guards), len(effects.forgets), len(effects.sends)]
    arguments += (len(effects.records), len(effects.joins), len(effects.arrivals))
    for guard in effects.guards:
        arguments += (guard.key, int(guard.value is not None), guard.value or b"")
    arguments += effects.forgets
    for follow_up in effects.sends:
        arguments += (follow_up.queue, *pack_draft(follow_up.message, with_digest=True))
    for record in effects.records:
        arguments += pack_record(record)
    for join in effects.joins:
        arguments += (join.join_id, join.parts, _instant(join.expires_at), join.follow_up.queue)
        arguments += pack_draft(join.follow_up.message, with_digest=True)
    for arrival in effects.arrivals:
        arguments += (arrival.join_id, arrival.part_id)
    return arguments


def pack_record(record: Record) -> list[Argument]:
    """Return a record as arguments (``take_record`` in effects.lua)."""
    tags = [text for tag in record.tags.items() for text in tag]
    kept = int(record.only_if_absent)
    return [record.key, record.value, _instant(record.expires_at), kept, len(record.tags), *tags]


def pack_records(records: Sequence[Record]) -> list[Argument]:
    """Return records as arguments, many of which have the same tags (``take_records`` in effects.lua)."""
    sets: dict[tuple[tuple[str, str], ...], tuple[int, bytes]] = {}
    packed: list[Argument] = []
    for record in records:
        tags = tuple(record.tags.items())
        known = sets.get(tags)
        if known is None:
            known = sets[tags] = len(sets) + 1, b"".join(_long_text(text) for tag in tags for text in tag)
        number, row = known
        ends = _instant(record.expires_at)
        head = _RECORD.pack(ends >> 32, ends & 0xFFFFFFFF, len(row))
        packed += (record.key, head + row + record.value, number)
        packed.append("" if record.expires_at is None else record.expires_at)
    arguments: list[Argument] = [len(records), len(sets)]
    for tags in sets:
        arguments.append(len(tags))
        arguments += [f"{name}={value}" for name, value in tags]
    return arguments + packed


def unpack_record(shown: Sequence[Any]) -> Record:
    """Return a record that a script showed."""
    key, value, ends, packed = shown
    texts: list[str] = []
    at = 0
    while at < len(packed):
        length = int.from_bytes(packed[at : at + 4], "big")
        texts.append(packed[at + 4 : at + 4 + length].decode())
        at += 4 + length
    tags = dict(zip(texts[::2], texts[1::2], strict=True))
    return Record(key.decode(), value, tags, ends - 1 if ends else None)


def _instant(at: int | None) -> int:
    return 0 if at is None else at + 1


def _text(text: str | None) -> bytes:
    encoded = b"" if text is None else text.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _long_text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def _read_text(packed: bytes, at: int) -> tuple[str | None, int]:
    (length,) = _LENGTH.unpack_from(packed, at)
    at += 2
    return packed[at : at + length].decode() if length else None, at + length
