"""The one vocabulary: everything Penstock can be asked, each operation naming its reply.

A broker has one method, ``perform(operation) -> reply``; a wire dialect translates requests to these and replies back.
Durations are in seconds, instants in milliseconds since the epoch.
"""

from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from penstock.core.effects import Effects, Record
from penstock.core.errors import Problem
from penstock.core.events import Event
from penstock.core.filters import MessageFilter
from penstock.core.messages import Delivery, Draft, MessageView
from penstock.core.moves import Move
from penstock.core.queues import GroupView, QueueChanges, QueueDescription
from penstock.core.settlements import Settlement, SettleOutcome

Reply = TypeVar("Reply")


class Operation(Struct, Generic[Reply], frozen=True):
    """Something Penstock can be asked to do; ``Reply`` is the type of its answer."""


class Done(Struct, frozen=True):
    """It happened; there is nothing more to say."""


DONE = Done()

# -- queues ----------------------------------------------------------------------------------------------------------


class QueueReply(Struct, frozen=True):
    """A queue as it is now; ``was_created`` when this very call made it."""

    queue: QueueDescription
    was_created: bool = False


class CreateQueue(Operation[QueueReply], frozen=True, omit_defaults=True):
    """Make a queue, or find it as it is wanted.

    Attributes:
        queue: its name.
        settings: what differs from the defaults. If the queue exists, these and only these are compared.
        name_rest_seconds: refuse while a queue of that name was deleted less than so long ago.

    Raises:
        QueueConflict: it exists and a named setting differs.
        QueueDeletedRecently: see ``name_rest_seconds``.
    """

    queue: str
    settings: QueueChanges = QueueChanges()
    name_rest_seconds: float = 0


class UpdateQueue(Operation[QueueReply], frozen=True):
    """Change the named settings of a queue.

    Raises:
        QueueNotFound: no such queue.
        InvalidRequest: the change names a setting that is fixed at creation, with another value.
    """

    queue: str
    settings: QueueChanges


class DeleteQueue(Operation[Done], frozen=True):
    """Forget a queue and all its messages."""

    queue: str


class DescribeQueue(Operation[QueueReply], frozen=True):
    """Tell a queue's settings and exact counts."""

    queue: str


class QueuesReply(Struct, frozen=True):
    """A page of queues in order of their names; ``next_after`` continues it."""

    queues: tuple[QueueDescription, ...]
    next_after: str | None = None


class ListQueues(Operation[QueuesReply], frozen=True, omit_defaults=True):
    """List queues by name.

    Attributes:
        prefix: only names that start so.
        after: only names after this one.
        limit: at most so many, 1 to 1000.
        dead_letter_queue: only queues whose redrive policy names this one.
    """

    prefix: str = ""
    after: str = ""
    limit: int = 1000
    dead_letter_queue: str | None = None


class PurgeReply(Struct, frozen=True):
    """How many messages a purge forgot."""

    purged_count: int


class PurgeQueue(Operation[PurgeReply], frozen=True, omit_defaults=True):
    """Forget all messages of a queue, those in flight too, and its deduplication window.

    Raises:
        PurgeInProgress: the queue was purged less than ``rest_seconds`` ago.
    """

    queue: str
    rest_seconds: float = 0


class GroupsReply(Struct, frozen=True):
    """A page of message groups in order of their ids; ``next_after`` continues it."""

    groups: tuple[GroupView, ...]
    next_after: str | None = None


class ListGroups(Operation[GroupsReply], frozen=True, omit_defaults=True):
    """List the message groups of a queue that hold messages or are parked."""

    queue: str
    after: str = ""
    limit: int = 100
    only_parked: bool = False


class UpdateGroup(Operation[Done], frozen=True):
    """Park a message group, so that nothing of it is received, or unpark it."""

    queue: str
    group_id: str
    is_parked: bool


# -- messages --------------------------------------------------------------------------------------------------------


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
    """

    queue: str
    max_messages: int = 1
    wait_seconds: float | None = None
    visibility_timeout_seconds: float | None = None
    attempt_id: str | None = None
    owner: str | None = None


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


class Cancel(Operation[IdsReply], frozen=True):
    """Forget messages that nobody holds: ready, delayed or blocked."""

    message_ids: tuple[str, ...]


class Reschedule(Operation[IdsReply], frozen=True):
    """Set the instant from which messages that nobody holds may be received."""

    message_ids: tuple[str, ...]
    deliver_at: int


class MessagesReply(Struct, frozen=True):
    """A page of messages; ``next_after`` continues it, even where the page is empty because few matched."""

    messages: tuple[MessageView, ...]
    next_after: int | None = None


class Peek(Operation[MessagesReply], frozen=True, omit_defaults=True):
    """Look at messages of a queue in order of arrival, without receiving them.

    Attributes:
        filter: which.
        after: only sequence numbers after this one.
        limit: at most so many, 1 to 1000.
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


# -- moves -----------------------------------------------------------------------------------------------------------


class MoveReply(Struct, frozen=True):
    """A move task as it is now."""

    move: Move


class StartMove(Operation[MoveReply], frozen=True, omit_defaults=True):
    """Begin to redrive the messages of a queue.

    Raises:
        QueueNotFound: source or target do not exist.
        MoveConflict: a move of that source is running.
    """

    source: str
    target: str | None = None
    rate_per_second: int | None = None
    filter: MessageFilter | None = None


class CancelMove(Operation[MoveReply], frozen=True):
    """Stop a running move; what was moved stays moved.

    Raises:
        MoveNotFound: no such move is running.
    """

    move_id: str


class MovesReply(Struct, frozen=True):
    """Move tasks, latest first."""

    moves: tuple[Move, ...]


class ListMoves(Operation[MovesReply], frozen=True, omit_defaults=True):
    """List the latest move tasks of a queue, running or ended."""

    source: str
    limit: int = 10


# -- records ---------------------------------------------------------------------------------------------------------


class PutRecordsReply(Struct, frozen=True):
    """For each record whether it was kept (``False``: one was there and ``only_if_absent``)."""

    kept: tuple[bool, ...]


class PutRecords(Operation[PutRecordsReply], frozen=True):
    """Keep small expiring values."""

    records: tuple[Record, ...]


class RecordsReply(Struct, frozen=True):
    """For each key the record, or ``None``."""

    records: tuple[Record | None, ...]


class GetRecords(Operation[RecordsReply], frozen=True):
    """Read records by key."""

    keys: tuple[str, ...]


class DeleteRecords(Operation[Done], frozen=True):
    """Forget records by key."""

    keys: tuple[str, ...]


class RecordPage(Struct, frozen=True):
    """A page of records in order of their keys; ``next_after`` continues it."""

    records: tuple[Record, ...]
    next_after: str | None = None


class FindRecords(Operation[RecordPage], frozen=True, omit_defaults=True):
    """List records by the start of their key or by a tag (``tag=value``), or both."""

    prefix: str = ""
    tag: str | None = None
    after: str = ""
    limit: int = 100


# -- history ---------------------------------------------------------------------------------------------------------


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


def operation_types() -> tuple[type[Operation], ...]:  # type: ignore[type-arg]
    """Return every operation there is, in the order of this file."""
    return tuple(Operation.__subclasses__())
