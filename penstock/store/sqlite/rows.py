"""What rows mean: a message row as a value, its content, and how both are shown."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, structs

from penstock.core.fairness import BusyTime
from penstock.core.lifecycle import state_of
from penstock.core.messages import Attribute, Delivery, Draft, MessageView
from penstock.core.receipts import Receipt, encode_receipt
from penstock.store.sqlite.ids import SEQUENCE_MASK, to_text
from penstock.store.sqlite.transaction import HANDED_OUT


class MessageRow(NamedTuple):
    """A row of ``messages``, columns in the order in which every statement selects them."""

    message_key: int
    message_id: bytes
    group_key: int
    visible_at: int
    phase: int
    priority: int
    sent_at: int
    expires_at: int | None
    receive_count: int
    carried_count: int
    first_received_at: int | None
    received_at: int | None
    dead_letter_source: str | None
    token: bytes | None


class Extras(Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """What most messages do not have, kept in one packed column."""

    group_id: str | None = None
    deduplication_id: str | None = None
    sender_id: str | None = None
    attributes: Mapping[str, Attribute] = {}
    system_attributes: Mapping[str, Attribute] = {}


NO_EXTRAS = Extras()
COLUMNS = len(MessageRow._fields)
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Extras).decode


def pack_extras(draft: Draft) -> bytes | None:
    """Return what a draft has besides its body, or ``None``."""
    if not (
        draft.group_id is not None
        or draft.attributes
        or draft.sender_id is not None
        or draft.deduplication_id is not None
        or draft.system_attributes
    ):
        return None
    return _pack(
        Extras(draft.group_id, draft.deduplication_id, draft.sender_id, draft.attributes, draft.system_attributes)
    )


def unpack_extras(packed: bytes | None) -> Extras:
    """Return what ``pack_extras`` packed."""
    return NO_EXTRAS if packed is None else _unpack(packed)


def delivery(queue: str, row: tuple[Any, ...], token: bytes, visible_at: int, now: int) -> Delivery:
    """Show a whole message row, selected before it was leased at ``now``."""
    sequence_number = row[0] & SEQUENCE_MASK
    handle = encode_receipt(queue, Receipt(sequence_number, token))
    first_received_at = now if row[10] is None else row[10]
    if row[15] is None:
        return Delivery(
            to_text(row[1]),
            handle,
            row[14],
            row[6],
            first_received_at,
            visible_at,
            sequence_number,
            row[8] + 1,
            priority=row[5],
            dead_letter_source=row[12],
        )
    extras = _unpack(row[15])
    return Delivery(
        to_text(row[1]),
        handle,
        row[14],
        row[6],
        first_received_at,
        visible_at,
        sequence_number,
        row[8] + 1,
        extras.attributes,
        extras.system_attributes,
        extras.sender_id,
        row[5],
        extras.group_id,
        extras.deduplication_id,
        row[12],
    )


def view(queue: str, row: tuple[Any, ...], now: int) -> MessageView:
    """Show a whole message row without receiving it."""
    message = MessageRow(*row[:COLUMNS])
    extras = unpack_extras(row[COLUMNS + 1])
    return MessageView(
        message_id=to_text(message.message_id),
        queue=queue,
        state=state_of(message.visible_at, message.phase == HANDED_OUT, now),
        body=row[COLUMNS],
        sent_at=message.sent_at,
        visible_at=message.visible_at,
        sequence_number=message.message_key & SEQUENCE_MASK,
        receive_count=message.receive_count,
        first_received_at=message.first_received_at,
        attributes=extras.attributes,
        system_attributes=extras.system_attributes,
        sender_id=extras.sender_id,
        priority=message.priority,
        group_id=extras.group_id,
        deduplication_id=extras.deduplication_id,
        expires_at=message.expires_at,
        dead_letter_source=message.dead_letter_source,
    )


class GroupRow:
    """A row of ``groups``, to be changed and saved."""

    __slots__ = (
        "busy",
        "group_id",
        "group_key",
        "head_key",
        "head_visible_at",
        "in_flight",
        "is_noisy",
        "is_parked",
        "lane",
        "last_sent_at",
        "message_count",
        "ready_at",
        "turn",
    )

    def __init__(self, row: tuple[Any, ...]) -> None:
        (
            self.group_key,
            self.group_id,
            self.lane,
            self.ready_at,
            self.turn,
            self.head_key,
            self.head_visible_at,
            self.message_count,
            self.in_flight,
            self.is_parked,
            self.is_noisy,
            self.last_sent_at,
            *busy,
        ) = row
        self.busy = BusyTime(*busy)

    def counts_row(self) -> tuple[Any, ...]:
        """Return the parameters of ``update_group_counts``."""
        return (
            self.message_count,
            self.in_flight,
            self.is_noisy,
            self.last_sent_at,
            *structs.astuple(self.busy),
            self.group_key,
        )

    def whole_row(self) -> tuple[Any, ...]:
        """Return the parameters of ``update_group``."""
        return (
            self.lane,
            self.ready_at,
            self.turn,
            self.head_key,
            self.head_visible_at,
            self.message_count,
            self.in_flight,
            self.is_parked,
            self.is_noisy,
            self.last_sent_at,
            *structs.astuple(self.busy),
            self.group_key,
        )
