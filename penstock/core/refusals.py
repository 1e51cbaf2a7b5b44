"""The words of the refusals that every store answers alike."""

from penstock.core.errors import (
    GuardFailed,
    InvalidRequest,
    LeaseTooLong,
    MoveConflict,
    MoveNotFound,
    NoLongerHeld,
    PurgeInProgress,
    QueueConflict,
    QueueDeletedRecently,
    QueueNotFound,
)


def queue_not_found(name: str) -> QueueNotFound:
    """The error of naming a queue that is not there."""
    return QueueNotFound(f"There is no queue {name!r}.", hint="Create it, or mind its spelling.", field="queue")


def queue_conflict(name: str, field: str) -> QueueConflict:
    """The error of creating a queue that exists with another value of ``field``."""
    return QueueConflict(
        f"Queue {name!r} exists with another {field}.",
        hint="Create it with the settings it has, or change them with UpdateQueue.",
        field=field,
    )


def queue_deleted_recently(name: str) -> QueueDeletedRecently:
    """The error of creating a queue whose name is still resting."""
    return QueueDeletedRecently(f"Queue {name!r} was deleted a moment ago.", hint="Wait a minute and try again.")


def setting_is_fixed(field: str) -> InvalidRequest:
    """The error of changing what is fixed at creation."""
    return InvalidRequest(f"{field} is fixed when a queue is created.", hint="Create another queue.", field=field)


def purge_in_progress(name: str) -> PurgeInProgress:
    """The error of purging again too soon."""
    return PurgeInProgress(f"Queue {name!r} was purged a moment ago.", hint="Wait a minute and try again.")


def lease_too_long(most_seconds: float) -> LeaseTooLong:
    """The error of holding a message longer than the settlement allows in all."""
    return LeaseTooLong(
        f"The lease would end more than {most_seconds:g} seconds after the message was received.",
        hint="Give it back, or hold it for a shorter time.",
        field="visibility_timeout_seconds",
    )


def lease_lost(field: str) -> NoLongerHeld:
    """The error of naming a delivery that is no longer held."""
    return NoLongerHeld(
        "The lease of this delivery is over.",
        hint="The message is received again, or was, or is gone; use the receipt handle of its latest delivery.",
        field=field,
    )


def nothing_to_follow() -> InvalidRequest:
    """The error of following a delivery that is not part of a strictly ordered group."""
    return InvalidRequest(
        "Only deliveries from strictly ordered groups can be followed.",
        hint="Leave following out, or use a queue with group_order strict and messages with a group_id.",
        field="following",
    )


def guard_failed(key: str) -> GuardFailed:
    """The error of a guard that does not hold."""
    return GuardFailed(
        f"The record {key[:200]!r} is not what its guard says.",
        hint="Somebody else was there first. Read the record again and decide anew.",
        field="guards",
    )


def move_conflict(source: str) -> MoveConflict:
    """The error of starting a second move of a source."""
    return MoveConflict(f"A move of {source!r} is running already.", hint="Wait for it or cancel it.")


def move_not_found(move_id: str) -> MoveNotFound:
    """The error of cancelling a move that does not run."""
    return MoveNotFound(f"No move {move_id!r} is running.")
