"""Operations on messages: send, receive, settle, look, and what is done to them by id."""

from enum import StrEnum

from msgspec import Struct

from penstock.core.effects import Effects
from penstock.core.errors import Problem
from penstock.core.filters import MessageFilter
from penstock.core.messages import Delivery, Draft, MessageView
from penstock.core.operations.operation import Operation
from penstock.core.settlements import Settlement, SettleOutcome


class Sent(Struct, frozen=True, tag="sent", tag_field="outcome", omit_defaults=True, gc=False):
    """Accepted and kept. ``is_duplicate``: the ids are those of the message sent before."""

    message_id: str
    sequence_number: int
    is_duplicate: bool = False


class Refused(Struct, frozen=True, tag="refused", tag_field="outcome"):
    """Not accepted, and nothing changed."""

    problem: Problem


SendOutcome = Sent | Refused


class SendReply(Struct, frozen=True):
    """One outcome for each message, in the order given."""

    outcomes: tuple[SendOutcome, ...]


class Send(Operation[SendReply], frozen=True):
    """Put messages into a queue."""

    queue: str
    messages: tuple[Draft, ...]


class ReceiveReply(Struct, frozen=True, omit_defaults=True):
    """Deliveries; ``is_over_limit`` when the queue holds as many leases as it may."""

    deliveries: tuple[Delivery, ...]
    is_over_limit: bool = False


class Receive(Operation[ReceiveReply], frozen=True, omit_defaults=True):
    """Take messages out of a queue under a lease.

    Attributes:
        queue: where from.
        max_messages: at most so many, 1 to 1000.
        wait_seconds: long poll; ``None`` means the queue's setting, 0 answers at once.
        visibility_timeout_seconds: how long the lease lasts; ``None`` means the queue's setting.
        attempt_id: asking again with the same id within five minutes gives the same deliveries while all their leases
            last (SQS ``ReceiveRequestAttemptId``); strictly ordered queues only.
        owner: who holds the leases; ``ReleaseLeases`` gives all of an owner's back at once.
        following: receipt handle of a delivery from a strictly ordered group whose lease lasts. Only messages of that
            group come that were sent later, in order, up to the first that is delayed or in flight: whoever holds
            several names the last. Not with ``attempt_id``.

    Raises:
        QueueNotFound: no such queue.
        NoLongerHeld: the delivery that is followed is no longer held, now or while waiting.
        ReceiptHandleInvalid, InvalidRequest: it is none of this queue, or of no strictly ordered group.
    """

    queue: str
    max_messages: int = 1
    wait_seconds: float | None = None
    visibility_timeout_seconds: float | None = None
    attempt_id: str | None = None
    owner: str | None = None
    following: str | None = None


class SettleReply(Struct, frozen=True):
    """One outcome for each settlement, in the order given."""

    outcomes: tuple[SettleOutcome, ...]


class Settle(Operation[SettleReply], frozen=True):
    """End deliveries, each with its effects in one atomic step."""

    settlements: tuple[Settlement, ...]


class ReleaseReply(Struct, frozen=True):
    """How many leases were given back."""

    released_count: int


class ReleaseLeases(Operation[ReleaseReply], frozen=True):
    """Give back every lease an owner holds, because it has died."""

    owner: str


class ApplyReply(Struct, frozen=True):
    """Outcomes of the sends in the order given, and for each record whether it was kept."""

    outcomes: tuple[SendOutcome, ...]
    kept_records: tuple[bool, ...]


class Apply(Operation[ApplyReply], frozen=True):
    """Let effects happen on their own, all of them or none.

    Raises:
        GuardFailed: a guard does not hold; then nothing happened.
        QueueNotFound, MessageTooLarge, ...: the first effect that cannot happen; then none did.
    """

    effects: Effects


class IdOutcome(StrEnum):
    """What became of a request about a message by its id."""

    DONE = "done"
    IN_FLIGHT = "in_flight"
    GONE = "gone"


class IdsReply(Struct, frozen=True):
    """One outcome for each message id, in the order given."""

    outcomes: tuple[IdOutcome, ...]


class Cancel(Operation[IdsReply], frozen=True, omit_defaults=True):
    """Forget messages that nobody holds: ready, delayed or blocked.

    Attributes:
        message_ids: which.
        queue: only messages of this queue, blocked ones by where they will go; others are ``GONE``. ``None``: any.
    """

    message_ids: tuple[str, ...]
    queue: str | None = None


class DeleteMessages(Operation[IdsReply], frozen=True, omit_defaults=True):
    """Forget messages by id, whatever their state, for those who keep no receipt handles.

    Attributes:
        message_ids: which, wherever they are.
        only_in_flight: leave those that nobody holds; their outcome is ``GONE``.
        queue: only messages of this queue, blocked ones by where they will go; others are ``GONE``. ``None``: any.
    """

    message_ids: tuple[str, ...]
    only_in_flight: bool = False
    queue: str | None = None


class Reschedule(Operation[IdsReply], frozen=True, omit_defaults=True):
    """Set the instant from which messages that nobody holds may be received.

    Attributes:
        message_ids: which.
        deliver_at: ms since the epoch; an instant in the past means now.
        queue: only messages of this queue, blocked ones by where they will go; others are ``GONE``. ``None``: any.
        delay_seconds: so long from now, instead of ``deliver_at``; one of the two is given.
    """

    message_ids: tuple[str, ...]
    deliver_at: int | None = None
    queue: str | None = None
    delay_seconds: float | None = None


class MessagesReply(Struct, frozen=True):
    """A page of messages; ``next_after`` continues it, even where the page is empty because few matched."""

    messages: tuple[MessageView, ...]
    next_after: int | None = None


class Peek(Operation[MessagesReply], frozen=True, omit_defaults=True):
    """Look at messages of a queue in order of arrival, without receiving them.

    Attributes:
        filter: which.
        after: only sequence numbers after this one.
        limit: at most so many, 1 to 1000. A page also ends with the message with which it has 4 MiB.
    """

    queue: str
    filter: MessageFilter = MessageFilter()
    after: int = 0
    limit: int = 10


class FindReply(Struct, frozen=True):
    """For each message id the message, or ``None``."""

    messages: tuple[MessageView | None, ...]


class Find(Operation[FindReply], frozen=True):
    """Look messages up by id, wherever they are."""

    message_ids: tuple[str, ...]
