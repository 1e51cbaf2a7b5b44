"""What can go wrong: each error has a stable code, says whose fault it is, and hints at what to do.

Every edge translates them once, by one table from code to its own error.
"""

from typing import ClassVar, Literal

from msgspec import Struct

Fault = Literal["caller", "server"]


class Problem(Struct, frozen=True, omit_defaults=True):
    """An error as a value: what a batch entry answers and what travels over the wire.

    ``field`` names the offending input where there is one.
    """

    code: str
    message: str
    hint: str | None = None
    field: str | None = None


class PenstockError(Exception):
    """Base of all errors Penstock raises on purpose. A caller's fault has changed nothing."""

    code: ClassVar[str] = "internal_error"
    fault: ClassVar[Fault] = "server"

    def __init__(self, message: str, *, hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(self.code, message, hint, field)


class InvalidRequest(PenstockError):
    """A value is missing, of the wrong type or out of range."""

    code = "invalid_request"
    fault = "caller"


class QueueNotFound(PenstockError):
    """No queue has that name."""

    code = "queue_not_found"
    fault = "caller"


class QueueConflict(PenstockError):
    """A queue of that name exists with other settings."""

    code = "queue_conflict"
    fault = "caller"


class QueueDeletedRecently(PenstockError):
    """A queue of that name was deleted a moment ago and its name is resting."""

    code = "queue_deleted_recently"
    fault = "caller"


class PurgeInProgress(PenstockError):
    """The queue was purged a moment ago."""

    code = "purge_in_progress"
    fault = "caller"


class MessageTooLarge(PenstockError):
    """A message, or a batch as a whole, is over its limit in bytes."""

    code = "message_too_large"
    fault = "caller"


class GroupRequired(PenstockError):
    """A message for a FIFO queue names no group."""

    code = "group_required"
    fault = "caller"


class DeduplicationIdRequired(PenstockError):
    """A message for a FIFO queue names no deduplication id and the queue does not derive one from content."""

    code = "deduplication_id_required"
    fault = "caller"


class ReceiptHandleInvalid(PenstockError):
    """The text is no receipt handle, or one of another queue."""

    code = "receipt_handle_invalid"
    fault = "caller"


class LeaseTooLong(PenstockError):
    """A lease would end too long after its message was received."""

    code = "lease_too_long"
    fault = "caller"


class NoLongerHeld(PenstockError):
    """The receipt handle no longer holds the message."""

    code = "lease_lost"
    fault = "caller"


class GuardFailed(PenstockError):
    """A record is not what a guard says it must be, and nothing happened."""

    code = "guard_failed"
    fault = "caller"


class MoveNotFound(PenstockError):
    """No such move task is running."""

    code = "move_not_found"
    fault = "caller"


class MoveConflict(PenstockError):
    """A move task of that source is already running."""

    code = "move_conflict"
    fault = "caller"


class NotAuthenticated(PenstockError):
    """The caller did not prove who they are."""

    code = "not_authenticated"
    fault = "caller"


class AccessDenied(PenstockError):
    """The caller may not do that."""

    code = "access_denied"
    fault = "caller"


class StoreUnavailable(PenstockError):
    """The store did not answer or could not keep what it was given; the caller may try again.

    Through a network it may have happened all the same: what was sent with message ids may be sent again safely.
    """

    code = "store_unavailable"


class StoreDamaged(PenstockError):
    """The store's data cannot be read; nothing was replaced."""

    code = "store_damaged"


class StoreTooNew(PenstockError):
    """The store was written by a newer Penstock."""

    code = "store_too_new"


def error_types() -> dict[str, type[PenstockError]]:
    """Return every error type by its code."""
    found: dict[str, type[PenstockError]] = {}
    waiting: list[type[PenstockError]] = [PenstockError]
    while waiting:
        kind = waiting.pop()
        found[kind.code] = kind
        waiting += kind.__subclasses__()
    return found


def error_from(problem: Problem) -> PenstockError:
    """Return the exception a problem stands for."""
    kind = error_types().get(problem.code, PenstockError)
    return kind(problem.message, hint=problem.hint, field=problem.field)
