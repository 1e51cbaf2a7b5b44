"""Everything a store keeps, in the form in which it is carried to another store.

Exactly: with its numbers and tokens, so that receipt handles of before name the same deliveries after.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from penstock.core.effects import Join, Record
from penstock.core.events import Event
from penstock.core.fairness import BusyTime
from penstock.core.messages import Attribute
from penstock.core.moves import Move
from penstock.core.queues import QueueSettings


class KeptQueue(Struct, frozen=True, tag="queue"):
    """A queue without its messages. ``last_turn``: the turn that was given last to a strict group."""

    name: str
    settings: QueueSettings
    created_at: int
    modified_at: int
    purged_at: int | None
    last_sequence: int
    last_turn: int
    sent_total: int
    received_total: int
    deleted_total: int
    busy: BusyTime


class KeptMessage(Struct, frozen=True, tag="message", omit_defaults=True):
    """A message.

    Attributes:
        token: of the latest delivery; ``None``: none was given out since it was sent, rescheduled or given back.
        was_delayed: without a token: ``visible_at`` was in the future when it was set.
        comes_back: it goes before what was never handed out.
        carried_count: how often it was received in queues it was dead-lettered from.
        received_at: when the latest delivery was given out.
    """

    queue: str
    sequence_number: int
    message_id: str
    body: str
    sent_at: int
    visible_at: int
    priority: int = 0
    attributes: Mapping[str, Attribute] = {}
    system_attributes: Mapping[str, Attribute] = {}
    sender_id: str | None = None
    group_id: str | None = None
    deduplication_id: str | None = None
    expires_at: int | None = None
    receive_count: int = 0
    carried_count: int = 0
    first_received_at: int | None = None
    received_at: int | None = None
    token: bytes | None = None
    owner: str | None = None
    dead_letter_source: str | None = None
    was_delayed: bool = False
    comes_back: bool = False


class KeptGroup(Struct, frozen=True, tag="group"):
    """A message group and its place among the others.

    Attributes:
        lane: of its head.
        ready_at: when its head may be received; ``None``: it is parked or has no messages.
        turn: which of those that are ready at the same instant goes first.
        head: sequence number of the message it hands out next.
        head_visible_at: of that message, when the group was given its place.
    """

    queue: str
    group_id: str
    is_parked: bool
    is_noisy: bool
    last_sent_at: int
    busy: BusyTime
    lane: int
    ready_at: int | None
    turn: int
    head: int | None
    head_visible_at: int | None


class KeptDuplicate(Struct, frozen=True, tag="duplicate"):
    """What is remembered of a deduplication id. ``scope`` as of ``core.deduplication``."""

    queue: str
    scope: str
    deduplication_id: str
    message_id: str
    sequence_number: int
    kept_until: int


class KeptAttempt(Struct, frozen=True, tag="attempt"):
    """What a receive attempt was handed: sequence numbers and tokens."""

    queue: str
    attempt_id: str
    leases: tuple[tuple[int, bytes], ...]
    kept_until: int


class KeptJoin(Struct, frozen=True, tag="join"):
    """A join and the parts that have arrived."""

    join: Join
    arrived: tuple[str, ...]


class KeptRecord(Struct, frozen=True, tag="record"):
    """A record."""

    record: Record


class KeptMove(Struct, frozen=True, tag="move"):
    """A move task."""

    move: Move


class KeptEvent(Struct, frozen=True, tag="event"):
    """An event."""

    event: Event


class RestingName(Struct, frozen=True, tag="resting"):
    """The name of a queue that was deleted."""

    name: str
    deleted_at: int


class Gone(Struct, frozen=True, tag="gone"):
    """Something that is not there any more: a queue with all that belongs to it, or one thing."""

    kind: Literal["queue", "message", "group", "join", "record", "move", "resting"]
    queue: str = ""
    key: str = ""
    sequence_number: int = 0


Belonging = (
    KeptQueue
    | KeptMessage
    | KeptGroup
    | KeptDuplicate
    | KeptAttempt
    | KeptJoin
    | KeptRecord
    | KeptMove
    | KeptEvent
    | RestingName
)

Kind = type[Belonging]
KINDS: tuple[Kind, ...] = (
    KeptQueue,
    KeptMessage,
    KeptGroup,
    KeptDuplicate,
    KeptAttempt,
    KeptJoin,
    KeptRecord,
    KeptMove,
    KeptEvent,
    RestingName,
)
"""In the order in which they are carried: what others belong to goes first."""
