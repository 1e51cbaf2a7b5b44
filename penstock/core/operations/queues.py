"""Operations on queues and their message groups."""

from msgspec import Struct

from penstock.core.operations.operation import Done, Operation
from penstock.core.queues import GroupView, QueueChanges, QueueDescription


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
