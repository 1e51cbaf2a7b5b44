"""What a queue is: its settings, how they change, and what is told of it."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, structs

QUEUE_NAME = re.compile(r"(?:[A-Za-z0-9_-]{1,40}/[A-Za-z0-9_-]{1,40}/)?[A-Za-z0-9_.-]{1,80}")
"""A name of at most 80 characters; a queue of another region or account is called ``region/account/name``."""

GroupOrder = Literal["fair", "strict"]
Redelivery = Literal["first", "last"]
History = Literal["off", "errors", "all"]


class RedrivePolicy(Struct, frozen=True):
    """When a message is spent and where it then goes (SQS ``RedrivePolicy``).

    Attributes:
        dead_letter_queue: name of the queue that takes spent messages.
        max_receive_count: how many deliveries a message gets before it is dead-lettered at the next receive.
    """

    dead_letter_queue: str
    max_receive_count: int


class QueueSettings(Struct, frozen=True, kw_only=True):
    """How a queue behaves.

    Attributes:
        is_fifo: every message has a group and is deduplicated (SQS FIFO queue). Fixed at creation.
        group_order: ``strict``: the messages of a group are handed out in order, and not past one that is in flight or
            delayed; ``fair``: groups are tenants, served by the noisy-tenant rule. Fixed at creation.
        visibility_timeout_seconds: how long a lease lasts unless the receive says otherwise.
        delay_seconds: delay of messages that name none.
        retention_seconds: messages are forgotten so long after they were sent.
        max_message_bytes: largest message accepted.
        receive_wait_seconds: long poll of receives that name none.
        redrive: when and where messages are dead-lettered; ``None`` never.
        content_based_deduplication: messages without a deduplication id get the SHA-256 of their body.
        deduplicate_per_group: the deduplication window is kept for each group instead of the queue. Fixed at creation;
            always so in a queue of several partitions.
        deduplication_window_seconds: how long a deduplication id is remembered.
        max_in_flight: receives answer nothing (``is_over_limit``) while so many messages are leased; ``None`` no limit.
        group_max_in_flight: so many leases at once for each group; ``None`` no limit. Fair order only.
        redelivery: where a message goes whose lease has ended: ``first``: before those that were never handed out,
            oldest lease first; ``last``: behind them. Strict groups keep their order either way.
        history: which events of a message's life are kept.
        is_paused: receives answer nothing, sends go on.
        tags: the user's own labels.
        edge_attributes: attributes that only one wire dialect understands, kept verbatim for it.
        partitions: of how many parts the queue is made; a group is in one of them. ``max_in_flight`` and the rule of
            noisy tenants hold for each. Fixed at creation.
        partitioner: which groups are in which partition: ``hash`` of the group id, or ``qugo:QUEUES`` for integers (see
            ``core.partitions``). Fixed at creation.
    """

    is_fifo: bool = False
    group_order: GroupOrder = "fair"
    visibility_timeout_seconds: float = 30
    delay_seconds: float = 0
    retention_seconds: float = 345_600
    max_message_bytes: int = 1_048_576
    receive_wait_seconds: float = 0
    redrive: RedrivePolicy | None = None
    content_based_deduplication: bool = False
    deduplicate_per_group: bool = False
    deduplication_window_seconds: float = 300
    max_in_flight: int | None = None
    group_max_in_flight: int | None = None
    redelivery: Redelivery = "first"
    history: History = "off"
    is_paused: bool = False
    tags: Mapping[str, str] = {}
    edge_attributes: Mapping[str, str] = {}
    partitions: int = 1
    partitioner: str = "hash"


FIXED_AT_CREATION = ("is_fifo", "group_order", "deduplicate_per_group", "partitions", "partitioner")


class QueueChanges(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The settings a caller names; what is not named stays as it is. ``tags`` and ``edge_attributes`` are merged:
    a value of ``None`` removes that entry. The fields mean what they mean in ``QueueSettings``.
    """

    is_fifo: bool | UnsetType = UNSET
    group_order: GroupOrder | UnsetType = UNSET
    visibility_timeout_seconds: float | UnsetType = UNSET
    delay_seconds: float | UnsetType = UNSET
    retention_seconds: float | UnsetType = UNSET
    max_message_bytes: int | UnsetType = UNSET
    receive_wait_seconds: float | UnsetType = UNSET
    redrive: RedrivePolicy | UnsetType | None = UNSET
    content_based_deduplication: bool | UnsetType = UNSET
    deduplicate_per_group: bool | UnsetType = UNSET
    deduplication_window_seconds: float | UnsetType = UNSET
    max_in_flight: int | UnsetType | None = UNSET
    group_max_in_flight: int | UnsetType | None = UNSET
    redelivery: Redelivery | UnsetType = UNSET
    history: History | UnsetType = UNSET
    is_paused: bool | UnsetType = UNSET
    tags: Mapping[str, str | None] | UnsetType = UNSET
    edge_attributes: Mapping[str, str | None] | UnsetType = UNSET
    partitions: int | UnsetType = UNSET
    partitioner: str | UnsetType = UNSET


class QueueCounts(Struct, frozen=True):
    """How many messages are in each state now; exact, and costs the same with one message or a million."""

    ready: int
    delayed: int
    in_flight: int


class QueueDescription(Struct, frozen=True):
    """All that is told of a queue. Instants are ms since the epoch; totals count since the queue was created.

    ``oldest_sent_at`` is when the message with the lowest sequence number was sent; ``None`` when the queue is empty.
    ``is_away``: the shard it lives on does not answer, and nothing is known of it but its name and its settings.
    """

    name: str
    settings: QueueSettings
    created_at: int
    modified_at: int
    counts: QueueCounts
    oldest_sent_at: int | None = None
    purged_at: int | None = None
    sent_total: int = 0
    received_total: int = 0
    deleted_total: int = 0
    is_away: bool = False


class GroupView(Struct, frozen=True):
    """One message group that has messages: how many, how many of them leased, when its next may be received.

    ``ready_at`` is ``None`` while the group is parked.
    """

    group_id: str
    waiting: int
    in_flight: int
    ready_at: int | None
    is_parked: bool = False
    is_noisy: bool = False


def new_settings(changes: QueueChanges) -> QueueSettings:
    """Return the settings of a new queue: the defaults with what the caller named. FIFO queues order strictly."""
    settings = changed(QueueSettings(), changes)
    if settings.is_fifo and settings.group_order != "strict":
        settings = structs.replace(settings, group_order="strict")
    return settings


def changed(settings: QueueSettings, changes: QueueChanges) -> QueueSettings:
    """Return ``settings`` with the named changes applied."""
    named = _named(changes)
    for merged in ("tags", "edge_attributes"):
        if merged in named:
            both = {**getattr(settings, merged), **named[merged]}
            named[merged] = {key: value for key, value in both.items() if value is not None}
    return structs.replace(settings, **named) if named else settings


def first_difference(settings: QueueSettings, changes: QueueChanges) -> str | None:
    """Return the first named setting whose value is not the present one, or ``None``; tags are not compared."""
    wanted = changed(settings, changes)
    for field in _named(changes):
        if field != "tags" and getattr(settings, field) != getattr(wanted, field):
            return field
    return None


def _named(changes: QueueChanges) -> dict[str, Any]:
    pairs = ((field, getattr(changes, field)) for field in changes.__struct_fields__)
    return {field: value for field, value in pairs if value is not UNSET}
