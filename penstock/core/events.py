"""The stored life of messages: what happened to each, kept as far as its queue's history level says."""

from enum import StrEnum

from msgspec import Struct

from penstock.core.queues import History


class EventKind(StrEnum):
    """What happened to a message."""

    SENT = "sent"
    RECEIVED = "received"
    DELETED = "deleted"
    VISIBILITY_CHANGED = "visibility_changed"
    DEAD_LETTERED = "dead_lettered"
    MOVED = "moved"
    CANCELLED = "cancelled"
    RESCHEDULED = "rescheduled"
    EXPIRED = "expired"


ERROR_KINDS = frozenset({EventKind.DEAD_LETTERED, EventKind.EXPIRED})


class Event(Struct, frozen=True, omit_defaults=True):
    """Something that happened to a message. ``event_id`` grows; ``at`` is in ms since the epoch."""

    event_id: int
    at: int
    queue: str
    message_id: str
    kind: EventKind
    detail: str | None = None


def is_kept(history: History, kind: EventKind) -> bool:
    """Return whether a queue with this history level keeps events of this kind."""
    return history == "all" or (history == "errors" and kind in ERROR_KINDS)
