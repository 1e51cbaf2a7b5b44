"""What the scripts show of events."""

from collections.abc import Sequence
from typing import Any

from penstock.core.events import Event, EventKind
from penstock.core.message_ids import to_text


def events(shown: Sequence[Any]) -> list[Event]:
    """Return events that a script shows (``verbs.events`` and ``verbs.history`` in looking.lua)."""
    return [
        Event(
            event_id,
            at,
            queue.decode(),
            to_text(blob),
            EventKind(kind.decode()),
            None if detail is None else detail.decode(),
        )
        for event_id, at, queue, blob, kind, detail in shown
    ]
