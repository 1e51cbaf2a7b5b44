"""Operations on move tasks."""

from msgspec import Struct

from penstock.core.filters import MessageFilter
from penstock.core.moves import Move
from penstock.core.operations.operation import Operation


class MoveReply(Struct, frozen=True):
    """A move task as it is now."""

    move: Move


class StartMove(Operation[MoveReply], frozen=True, omit_defaults=True):
    """Begin to redrive the messages of a queue.

    Attributes:
        source: the queue that is emptied.
        target: where its messages go; ``None``: each back to the queue it was dead-lettered from.
        rate_per_second: at most so many messages each second; ``None`` as fast as it goes.
        filter: only messages that match; ``None`` all.
        keeps_ids: moved messages keep their ids. If not, each gets another, as AWS does it.
        delay_seconds: how long it waits before it begins; until then ``CancelMove`` undoes it. What is sent to the
            source meanwhile is not moved.

    Raises:
        QueueNotFound: source or target do not exist.
        MoveConflict: a move of that source is running.
    """

    source: str
    target: str | None = None
    rate_per_second: int | None = None
    filter: MessageFilter | None = None
    keeps_ids: bool = False
    delay_seconds: float = 0


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
