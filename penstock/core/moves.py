"""Move tasks: redriving the messages of a queue to another, step by step, at a rate (SQS ``StartMessageMoveTask``)."""

from enum import StrEnum

from msgspec import Struct

from penstock.core.errors import InvalidRequest
from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView, as_draft
from penstock.core.partitions import HASH, partition_for, partition_name
from penstock.core.queues import QueueSettings


class MoveStatus(StrEnum):
    """Where a move task is in its life (SQS API reference, ``ListMessageMoveTasks``)."""

    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Move(Struct, frozen=True, omit_defaults=True):
    """A move task and how far it is.

    Attributes:
        move_id: a UUID.
        source: the queue that is emptied.
        started_at: when it begins (ms since the epoch); until then it waits, and may be cancelled untouched.
        target: where its messages go; ``None``: each back to the queue it was dead-lettered from.
        rate_per_second: at most so many messages each second; ``None`` as fast as it goes.
        filter: only messages that match; ``None`` all.
        to_move_count: how many messages the source held at the start.
        moved_count: how many have been moved.
        cursor: sequence number up to which the source has been looked through.
        until: the last sequence number the source had given out at the start; what comes later is not moved.
        failure: why it failed.
        keeps_ids: moved messages keep their ids.
        partitions, partitioner: of the target.
    """

    move_id: str
    source: str
    target: str | None
    started_at: int
    status: MoveStatus
    to_move_count: int
    moved_count: int = 0
    rate_per_second: int | None = None
    filter: MessageFilter | None = None
    cursor: int = 0
    until: int = 0
    failure: str | None = None
    keeps_ids: bool = False
    partitions: int = 1
    partitioner: str = HASH

    @property
    def first_target(self) -> str | None:
        """The queue of the store that is there while the target is."""
        return self.target if self.target is None or self.partitions == 1 else partition_name(self.target, 0)


def target_of(move: Move, message: MessageView) -> str:
    """Return the queue of the store that a message goes to; empty: it stays."""
    if move.target is None:
        return message.dead_letter_source or ""
    if move.partitions == 1:
        return move.target
    settings = QueueSettings(partitions=move.partitions, partitioner=move.partitioner)
    try:
        return partition_name(move.target, partition_for(settings, as_draft(message)))
    except InvalidRequest:
        return ""


def allowance(move: Move, now: int, limit: int) -> int:
    """Return how many messages a step at ``now`` may move, at most ``limit``: the first at once, then by the rate."""
    if now < move.started_at and not move.moved_count:
        return 0
    if move.rate_per_second is None:
        return limit
    due = 1 + move.rate_per_second * max(0, now - move.started_at) // 1000
    return max(0, min(limit, due - move.moved_count))


def next_step_at(move: Move, now: int) -> int:
    """Return the instant at which the next message of a running move is due, not before ``now``."""
    if move.rate_per_second is None or not move.moved_count:
        return max(now, move.started_at)
    # the smallest whole ms at which 1 + rate * elapsed // 1000 exceeds what has been moved
    elapsed = -(-move.moved_count * 1000 // move.rate_per_second)
    return max(now, move.started_at + elapsed)
