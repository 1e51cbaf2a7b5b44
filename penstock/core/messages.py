"""What a message is: what its sender says of it, what is kept of it, and how it is handed over and shown."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from penstock.core.sealed import bytes_in, length_of

DEFAULT_PRIORITY = 0
HIGHEST_PRIORITY = 9


class Attribute(Struct, frozen=True, omit_defaults=True, gc=False):
    """One user attribute of a message (SQS developer guide, "Message metadata").

    Attributes:
        data_type: ``String``, ``Number`` or ``Binary``, optionally with a custom label: ``Number.float``.
        string_value: the value of a string or number.
        binary_value: the value of a binary attribute.
    """

    data_type: str = "String"
    string_value: str | None = None
    binary_value: bytes | None = None


class Draft(Struct, frozen=True, omit_defaults=True):
    """What a sender says of a message before it is accepted.

    Attributes:
        body: the content, as text.
        attributes: annotations by name.
        system_attributes: annotations the broker passes on untouched, such as ``AWSTraceHeader``.
        sender_id: who sent it, as the edge that took it knows them.
        delay_seconds: not to be received before so long after sending; ``None`` means the queue's delay. No ceiling.
        deliver_at: the same as an instant in ms since the epoch; wins over ``delay_seconds``.
        priority: 0 to 9; higher is received first. Within an ordered group, order comes before priority.
        group_id: the ordered (FIFO) or fairly served (standard) subset it belongs to.
        deduplication_id: a second message with the same id within the window is accepted and not stored.
        time_to_live_seconds: forgotten so long after sending if nobody deleted it; ``None``: the queue's retention.
        message_id: a UUID; the broker mints one where it is missing. Sending an id that the store still keeps is a
            duplicate, so a caller may name a message itself to make sending it twice harmless.
    """

    body: str
    attributes: Mapping[str, Attribute] = {}
    system_attributes: Mapping[str, Attribute] = {}
    sender_id: str | None = None
    delay_seconds: float | None = None
    deliver_at: int | None = None
    priority: int = DEFAULT_PRIORITY
    group_id: str | None = None
    deduplication_id: str | None = None
    time_to_live_seconds: float | None = None
    message_id: str | None = None


class State(StrEnum):
    """Where a message is in its life; always derived from its row and the present instant.

    ``BLOCKED`` messages are held by a join and belong to no queue yet.
    """

    READY = "ready"
    DELAYED = "delayed"
    IN_FLIGHT = "in_flight"
    BLOCKED = "blocked"


class MessageView(Struct, frozen=True, omit_defaults=True):
    """A message as it lies in the store, shown without being received.

    Instants are ms since the epoch. ``sequence_number`` orders the messages of one queue by arrival;
    ``dead_letter_source`` is the queue it was dead-lettered from.
    """

    message_id: str
    queue: str
    state: State
    body: str
    sent_at: int
    visible_at: int
    sequence_number: int
    receive_count: int = 0
    first_received_at: int | None = None
    attributes: Mapping[str, Attribute] = {}
    system_attributes: Mapping[str, Attribute] = {}
    sender_id: str | None = None
    priority: int = DEFAULT_PRIORITY
    group_id: str | None = None
    deduplication_id: str | None = None
    expires_at: int | None = None
    dead_letter_source: str | None = None


class Delivery(Struct, frozen=True, omit_defaults=True):
    """One handing-over of a message: the message, the receipt handle that proves the lease, and its count.

    Attributes:
        receipt_handle: names this delivery only; see ``core.receipts``.
        visible_at: when the lease ends by itself (ms since the epoch).
        receive_count: how often the message has been handed over, this time included.
    """

    message_id: str
    receipt_handle: str
    body: str
    sent_at: int
    first_received_at: int
    visible_at: int
    sequence_number: int
    receive_count: int
    attributes: Mapping[str, Attribute] = {}
    system_attributes: Mapping[str, Attribute] = {}
    sender_id: str | None = None
    priority: int = DEFAULT_PRIORITY
    group_id: str | None = None
    deduplication_id: str | None = None
    dead_letter_source: str | None = None


def size_of(body: str, *attribute_maps: Mapping[str, Attribute]) -> int:
    """Return the size in bytes that limits count: body plus attribute names, types and values, in UTF-8.

    Source: SQS developer guide, "Message quotas". Of what is sealed, what is in it counts.
    """
    size = bytes_in(body)
    for attributes in attribute_maps:
        for name, attribute in attributes.items():
            size += len(name.encode()) + len(attribute.data_type.encode())
            if attribute.string_value is not None:
                size += bytes_in(attribute.string_value)
            if attribute.binary_value is not None:
                size += length_of(attribute.binary_value)
    return size


def as_draft(message: MessageView) -> Draft:
    """Return a draft that says what a message says, as it is carried from one shard to another."""
    return Draft(
        message.body,
        message.attributes,
        message.system_attributes,
        message.sender_id,
        priority=message.priority,
        group_id=message.group_id,
        deduplication_id=message.deduplication_id,
        message_id=message.message_id,
    )


def blocked_view(queue: str, draft: Draft) -> MessageView:
    """Show a message that a join holds."""
    assert draft.message_id is not None
    return MessageView(
        message_id=draft.message_id,
        queue=queue,
        state=State.BLOCKED,
        body=draft.body,
        sent_at=0,
        visible_at=draft.deliver_at or 0,
        sequence_number=0,
        attributes=draft.attributes,
        system_attributes=draft.system_attributes,
        sender_id=draft.sender_id,
        priority=draft.priority,
        group_id=draft.group_id,
        deduplication_id=draft.deduplication_id,
    )
