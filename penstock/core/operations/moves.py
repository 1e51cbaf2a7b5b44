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
