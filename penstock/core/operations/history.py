"""Operations on the stored life of messages."""

from msgspec import Struct

from penstock.core.events import Event
from penstock.core.operations.operation import Operation


class EventsReply(Struct, frozen=True):
    """Events, oldest first."""

    events: tuple[Event, ...]


class ReadHistory(Operation[EventsReply], frozen=True):
    """Tell the stored life of one message."""

    message_id: str


class ReadEvents(Operation[EventsReply], frozen=True, omit_defaults=True):
    """Read the feed of all events after one.

    ``after=-1`` with ``limit=1`` answers the latest event only.
    """

    after: int = 0
    limit: int = 100
