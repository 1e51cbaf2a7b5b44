"""How a delivery ends: deleted, held longer or given back, or dead-lettered; with effects, all or nothing."""

from enum import StrEnum

from msgspec import Struct

from penstock.core.effects import NO_EFFECTS, Effects
from penstock.core.errors import Problem


class Delete(Struct, frozen=True, tag="delete", tag_field="action"):
    """It is done, forget it."""


class ChangeVisibility(Struct, frozen=True, tag="change_visibility", tag_field="action", omit_defaults=True):
    """Hold the lease so much longer from now, or with 0 give it back at once.

    Attributes:
        visibility_timeout_seconds: how much longer.
        most_total_seconds: refuse (``LeaseTooLong``) when the lease would end more than so long after the delivery was
            received (SQS API reference, ``ChangeMessageVisibility``: 12 hours). Giving back is never refused.
    """

    visibility_timeout_seconds: float
    most_total_seconds: float | None = None


class GiveBack(Struct, frozen=True, tag="give_back", tag_field="action", omit_defaults=True):
    """Let go of it: nobody owns it any more, and its receipt handle is stale.

    Attributes:
        delay_seconds: not receivable before so long from now; it is ``DELAYED`` until then. In a strict group it stays
            where it was, and the group waits for it.
        is_counted: this delivery counts: it was tried, and the receive count stays as it is. If not, the message was
            never touched and has the count it had before.
    """

    delay_seconds: float = 0
    is_counted: bool = False


class DeadLetter(Struct, frozen=True, tag="dead_letter", tag_field="action"):
    """It can never succeed: move it to the queue's dead-letter queue now; without one it is deleted.

    ``reason`` goes into the message's history.
    """

    reason: str = ""


Action = Delete | ChangeVisibility | GiveBack | DeadLetter
DELETE = Delete()


class Settlement(Struct, frozen=True, omit_defaults=True):
    """What shall become of one delivery.

    Attributes:
        queue: where it was received from.
        receipt_handle: the proof of holding it.
        action: what to do with it.
        is_fenced: refuse (``EXPIRED``) when the lease has ended, even if nobody else took it since. Workers are fenced;
            a standard SQS queue is not (SQS API reference, ``DeleteMessage``).
        any_delivery: the receipt handle of an earlier delivery of the message counts too, as long as somebody has held
            it since (standard SQS queues, as recorded of AWS). Only for a change of visibility that is not fenced, has
            no effects and parks nothing: to all else a stale handle stays stale.
        parks_group: also park the message's group, so that nothing of it is received until it is unparked.
        effects: what happens in the same atomic step; only when the outcome is ``DONE``.
        also: receipt handles of up to 1000 more deliveries from the queue, of other messages, that end in the same way
            in the same step. If one of all cannot end so, none does, and the outcome is that of the first such one.
            Effects happen once.
    """

    queue: str
    receipt_handle: str
    action: Action = DELETE
    is_fenced: bool = False
    parks_group: bool = False
    effects: Effects = NO_EFFECTS
    any_delivery: bool = False
    also: tuple[str, ...] = ()


class Settled(StrEnum):
    """What became of a settlement. Only ``DONE`` changed anything.

    DONE: it happened. GONE: the message is no longer kept. STALE: a later delivery of it exists, or it was
    rescheduled or given back since. EXPIRED: the lease is over, and the settlement is fenced or the queue orders its
    groups strictly. REFUSED: see the problem.
    """

    DONE = "done"
    GONE = "gone"
    STALE = "stale"
    EXPIRED = "expired"
    REFUSED = "refused"


class SettleOutcome(Struct, frozen=True, omit_defaults=True):
    """Outcome of one settlement. ``message_id`` is known unless the message is gone; among several that end together it
    is the first one's, or that of the one that could not."""

    result: Settled
    message_id: str | None = None
    problem: Problem | None = None
