"""The rules of a message's life, as pure functions that every store calls: accepted, visible, in a state, forgotten.

    sent ──► READY ──receive──► IN_FLIGHT ──delete──► gone
      │        ▲                  │  ▲ │
      ▼        │ due   lease ends │  │ └─ received too often: dead-lettered at the next receive
    DELAYED ───┘◄─────────────────┘  └── change visibility, give back (with a delay: DELAYED)

Nothing promotes messages: a message is READY from ``visible_at`` on. Before that it is IN_FLIGHT if a delivery of it
was given out, else DELAYED.
"""

from penstock.core.clock import to_ms
from penstock.core.effects import NO_EFFECTS
from penstock.core.errors import DeduplicationIdRequired, GroupRequired, MessageTooLarge, PenstockError
from penstock.core.messages import HIGHEST_PRIORITY, Draft, State, size_of
from penstock.core.queues import QueueSettings
from penstock.core.refusals import lease_too_long
from penstock.core.settlements import Action, ChangeVisibility, GiveBack, Settlement


def refusal(settings: QueueSettings, draft: Draft) -> PenstockError | None:
    """Return why a queue cannot accept a message, or ``None``."""
    size = size_of(draft.body, draft.attributes)
    if size > settings.max_message_bytes:
        return MessageTooLarge(
            f"The message has {size} bytes; this queue accepts at most {settings.max_message_bytes}.",
            hint="Body and attributes (names, types and values) count. Send less or raise max_message_bytes.",
            field="body",
        )
    if settings.is_fifo:
        if draft.group_id is None:
            return GroupRequired(
                "A message for a FIFO queue needs a group.", hint="Give it a group_id.", field="group_id"
            )
        if draft.deduplication_id is None and not settings.content_based_deduplication:
            return DeduplicationIdRequired(
                "A message for a FIFO queue needs a deduplication id.",
                hint="Give it a deduplication_id or set content_based_deduplication on the queue.",
                field="deduplication_id",
            )
    return None


def names_delivery(settlement: Settlement, given: bytes, current: bytes | None) -> bool:
    """Return whether the token of a receipt handle entitles to a settlement; ``current`` is the latest delivery's."""
    if given == current:
        return True
    return (
        settlement.any_delivery
        and current is not None
        and isinstance(settlement.action, ChangeVisibility)
        and not (settlement.is_fenced or settlement.parks_group)
        and settlement.effects == NO_EFFECTS
    )


def lease_refusal(action: Action, received_at: int | None, now: int) -> PenstockError | None:
    """Return why a delivery that was received then cannot be held so long, or ``None``."""
    if not isinstance(action, ChangeVisibility) or action.most_total_seconds is None or received_at is None:
        return None
    until = now + to_ms(action.visibility_timeout_seconds)
    if until == now or until <= received_at + to_ms(action.most_total_seconds):
        return None
    return lease_too_long(action.most_total_seconds)


def told(action: GiveBack) -> str:
    """Return what the history says of giving back."""
    counted = ", the delivery counts" if action.is_counted else ""
    delay = f", for {action.delay_seconds:g} s" if action.delay_seconds else ""
    return f"given back{counted}{delay}"


def first_visible_at(settings: QueueSettings, draft: Draft, now: int) -> int:
    """Return the instant from which a message sent now may be received."""
    if draft.deliver_at is not None:
        return max(now, draft.deliver_at)
    delay = settings.delay_seconds if draft.delay_seconds is None else draft.delay_seconds
    return now + to_ms(delay) if delay else now


def own_expiry(draft: Draft, now: int) -> int | None:
    """Return the instant at which a message sent now expires by its own time to live, or ``None``."""
    return None if draft.time_to_live_seconds is None else now + to_ms(draft.time_to_live_seconds)


def has_expired(settings: QueueSettings, sent_at: int, expires_at: int | None, now: int) -> bool:
    """Return whether a message is to be forgotten: by its own expiry or by the queue's retention."""
    if expires_at is not None and expires_at <= now:
        return True
    return sent_at + to_ms(settings.retention_seconds) <= now


def is_spent(settings: QueueSettings, receive_count: int) -> bool:
    """Return whether a message has had all its deliveries and is due to be dead-lettered."""
    return settings.redrive is not None and receive_count >= settings.redrive.max_receive_count


def state_of(visible_at: int, was_received: bool, now: int) -> State:
    """Return a message's state. ``was_received``: a delivery of it was given out since it was sent or rescheduled."""
    if visible_at <= now:
        return State.READY
    return State.IN_FLIGHT if was_received else State.DELAYED


def lane_of(priority: int, *, comes_back: bool = False) -> int:
    """Return the lane of a message; lanes are served in ascending order.

    Args:
        priority: 9 goes before 0.
        comes_back: it was handed out before and its queue redelivers first: within its priority it goes before what
            was never handed out.
    """
    return 2 * (HIGHEST_PRIORITY - priority) + (not comes_back)


LANES = 2 * (HIGHEST_PRIORITY + 1)
