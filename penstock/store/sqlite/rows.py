"""What rows mean: message and group rows as values, and how messages are shown.

Rows are decoded with their types checked: bytes that were damaged in the file end in an error of ``DAMAGE``, not in a
value of another type.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, convert

from penstock.core.errors import StoreDamaged
from penstock.core.fairness import BusyTime
from penstock.core.lifecycle import state_of
from penstock.core.message_ids import to_text, to_texts
from penstock.core.messages import HIGHEST_PRIORITY, Attribute, Delivery, Draft, MessageView
from penstock.core.receipts import encode_receipts
from penstock.store.sqlite.connection import DAMAGE
from penstock.store.sqlite.ids import SEQUENCE_MASK
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.transaction import HANDED_OUT, Execute

_BODY_BY_KEY = SQL["body_by_key"]


class MessageRow(Struct, array_like=True, frozen=True, gc=False):
    """A row of ``messages``, columns in the order in which every statement selects them."""

    message_key: int
    message_id: Annotated[bytes, Meta(min_length=16, max_length=16)]
    group_key: int
    visible_at: int
    phase: int
    priority: Annotated[int, Meta(ge=0, le=HIGHEST_PRIORITY)]
    sent_at: int
    expires_at: int | None
    receive_count: int
    carried_count: int
    first_received_at: int | None
    received_at: int | None
    dead_letter_source: bytes | None
    token: bytes | None
    has_long_body: int


class WholeRow(MessageRow, array_like=True, frozen=True, gc=False):
    """A row of ``messages`` selected with extras and body. ``body`` is ``None`` where it lies apart."""

    extras: bytes | None
    body: bytes | None


class Extras(Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """What most messages do not have, kept in one packed column."""

    group_id: str | None = None
    deduplication_id: str | None = None
    sender_id: str | None = None
    attributes: Mapping[str, Attribute] = {}
    system_attributes: Mapping[str, Attribute] = {}


NO_EXTRAS = Extras()
COLUMNS = len(MessageRow.__struct_fields__)
pack = msgspec.msgpack.Encoder().encode
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
    return pack(
        Extras(draft.group_id, draft.deduplication_id, draft.sender_id, draft.attributes, draft.system_attributes)
    )


def unpack_extras(packed: bytes | None) -> Extras:
    """Return what ``pack_extras`` packed."""
    return NO_EXTRAS if packed is None else _unpack(packed)


def message_of(row: tuple[Any, ...]) -> MessageRow:
    """Return a message row as a value; further columns are left out. Raises what ``DAMAGE`` names."""
    return convert(row, MessageRow)


def whole_message_of(row: tuple[Any, ...]) -> WholeRow:
    """Return a message row selected with extras and body. Raises what ``DAMAGE`` names."""
    return convert(row, WholeRow)


def whole_messages_of(rows: Sequence[tuple[Any, ...]]) -> list[WholeRow]:
    """Return several such rows as values. Raises what ``DAMAGE`` names, if one of them is damaged."""
    return convert(rows, list[WholeRow])


def body_of(execute: Execute, message: WholeRow) -> str:
    """Return the body that belongs to a message row. Raises what ``DAMAGE`` names."""
    body = message.body
    if body is None:
        apart = execute(_BODY_BY_KEY, (message.message_key,)).fetchone()
        if apart is None:
            raise msgspec.ValidationError("its body is not there")
        body = convert(apart[0], bytes)
    return body.decode()


def damaged_message(queue: str, message_key: int, error: Exception) -> StoreDamaged:
    """Return the error that says which message cannot be read."""
    return StoreDamaged(
        f"Message {message_key & SEQUENCE_MASK} of queue {queue!r} is damaged in the file: {error}.",
        hint="It is passed over and nothing was replaced; what is sound is delivered. Restore a backup to get it back.",
    )


def deliveries(
    execute: Execute, queue: str, messages: Sequence[WholeRow], tokens: Sequence[bytes], visible_at: int, now: int
) -> list[Delivery]:
    """Show messages, as selected before they were leased at ``now``, each with its token. Raises what ``DAMAGE`` names,
    if one of them is damaged."""
    unpacked: dict[bytes | None, Extras] = {}  # what comes together was often sent by one sender
    numbers = [message.message_key & SEQUENCE_MASK for message in messages]
    message_ids = to_texts(b"".join([message.message_id for message in messages]))
    receipt_handles = encode_receipts(queue, zip(numbers, tokens, strict=True))
    shown = []
    for message, sequence_number, message_id, receipt_handle in zip(
        messages, numbers, message_ids, receipt_handles, strict=True
    ):
        packed, source = message.extras, message.dead_letter_source
        extras = unpacked.get(packed)
        if extras is None:
            extras = unpacked[packed] = unpack_extras(packed)
        first_received_at = message.first_received_at
        shown.append(
            Delivery(
                message_id,
                receipt_handle,
                body_of(execute, message),
                message.sent_at,
                now if first_received_at is None else first_received_at,
                visible_at,
                sequence_number,
                message.receive_count + 1,
                extras.attributes,
                extras.system_attributes,
                extras.sender_id,
                message.priority,
                extras.group_id,
                extras.deduplication_id,
                None if source is None else source.decode(),
            )
        )
    return shown


def view(execute: Execute, queue: str, row: tuple[Any, ...], now: int) -> MessageView:
    """Show a message row selected with extras and body, without receiving it.

    Raises:
        StoreDamaged: it cannot be read.
    """
    try:
        message = whole_message_of(row)
        extras, body = unpack_extras(message.extras), body_of(execute, message)
        source = None if message.dead_letter_source is None else message.dead_letter_source.decode()
    except DAMAGE as error:
        raise damaged_message(queue, row[0], error) from error
    return MessageView(
        message_id=to_text(message.message_id),
        queue=queue,
        state=state_of(message.visible_at, message.phase == HANDED_OUT, now),
        body=body,
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
        dead_letter_source=source,
    )


class GroupRow(Struct, array_like=True):
    """A row of ``groups``, to be changed and saved."""

    group_key: int
    group_id: str
    lane: int
    ready_at: int | None
    turn: int
    head_key: int | None
    head_visible_at: int | None
    message_count: int
    in_flight: int
    is_parked: int
    is_noisy: int
    last_sent_at: int
    busy_period: int
    busy_current_ms: int
    busy_previous_ms: int

    @property
    def busy(self) -> BusyTime:
        """The processing time of its deliveries."""
        return BusyTime(self.busy_period, self.busy_current_ms, self.busy_previous_ms)

    @busy.setter
    def busy(self, busy: BusyTime) -> None:
        self.busy_period, self.busy_current_ms, self.busy_previous_ms = msgspec.structs.astuple(busy)

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
            self.busy_period,
            self.busy_current_ms,
            self.busy_previous_ms,
            self.group_key,
        )

    def seat_row(self) -> tuple[Any, ...]:
        """Return the parameters of ``seat_group``."""
        return (
            self.lane,
            self.ready_at,
            self.turn,
            self.head_key,
            self.head_visible_at,
            self.is_parked,
            self.group_key,
        )


def group_from(row: tuple[Any, ...]) -> GroupRow:
    """Return a group row as a value. Raises what ``DAMAGE`` names."""
    return convert(row, GroupRow)
