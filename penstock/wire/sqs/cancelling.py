"""Cancel and reschedule, extensions: what is done to messages that nobody holds, by their ids where receipt handles go.

DeleteMessage with ``Penstock.Cancel:<MessageId>`` forgets one; one that is gone already is no error, as with receipt
handles. ChangeMessageVisibility with ``Penstock.Reschedule:<MessageId>`` lets it be received in so many seconds.
"""

import re
from collections.abc import Callable, Sequence

from penstock.core.operations import Cancel, DescribeQueue, IdOutcome, IdsReply, Reschedule
from penstock.wire.http import Call, Step
from penstock.wire.sqs.errors import INVALID_RECEIPT_HANDLE, SqsError, handle_is_invalid, invalid
from penstock.wire.sqs.names import Address

Errors = list[SqsError | None]

_PREFIX = "Penstock.Cancel:"
_RESCHEDULE = "Penstock.Reschedule:"
LONGEST_DELAY_SECONDS = 100 * 365 * 86_400
_MESSAGE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_cancel(receipt_handle: str) -> bool:
    """Return whether a handle asks to cancel."""
    return receipt_handle.startswith(_PREFIX)


def cancelled(queue: Address, receipt_handles: Sequence[str], then: Callable[[Errors], Step]) -> Step:
    """Cancel messages of a queue.

    Args:
        receipt_handles: all of them such that ``is_cancel``.
        then: given for each why it failed, ``None`` where it did not: ReceiptHandleIsInvalid for a message in flight
            and for what is no message id.
    """
    ids = [handle.removeprefix(_PREFIX) for handle in receipt_handles]
    possible = tuple(message_id for message_id in ids if _MESSAGE_ID.fullmatch(message_id))

    def told(outcomes: Sequence[IdOutcome]) -> Step:
        left = iter(outcomes)
        return then(
            [
                _error(handle, next(left) if _MESSAGE_ID.fullmatch(message_id) else None)
                for handle, message_id in zip(receipt_handles, ids, strict=True)
            ]
        )

    def done(reply: IdsReply) -> Step:
        # messages may be gone because the queue is: then that is the error
        return look(reply.outcomes) if IdOutcome.GONE in reply.outcomes else told(reply.outcomes)

    def look(outcomes: Sequence[IdOutcome]) -> Step:
        return Call(DescribeQueue(queue.queue), lambda _: told(outcomes))

    return Call(Cancel(possible, queue.queue), done) if possible else look(())


def is_reschedule(receipt_handle: str) -> bool:
    """Return whether a handle asks to reschedule."""
    return receipt_handle.startswith(_RESCHEDULE)


def rescheduled(queue: Address, changes: Sequence[tuple[str, int]], then: Callable[[Errors], Step]) -> Step:
    """Reschedule messages of a queue.

    Args:
        changes: handles, all of them such that ``is_reschedule``, each with the seconds from now.
        then: given for each why it failed, ``None`` where it did not: InvalidParameterValue for a message that is gone
            and a delay that is out of range, ReceiptHandleIsInvalid for one in flight and for what is no message id.
    """
    errors: list[SqsError | None] = []

    def go_on() -> Step:
        for receipt_handle, seconds in changes[len(errors) :]:
            message_id = receipt_handle.removeprefix(_RESCHEDULE)
            if not 0 <= seconds <= LONGEST_DELAY_SECONDS:
                words = f"Must be an integer between 0 and {LONGEST_DELAY_SECONDS}."
                errors.append(invalid("VisibilityTimeout", seconds, words))
            elif _MESSAGE_ID.fullmatch(message_id):
                asked = Reschedule((message_id,), queue=queue.queue, delay_seconds=seconds)
                return Call(asked, lambda reply, handle=receipt_handle: told(handle, reply.outcomes[0]))  # type: ignore[misc]
            else:
                errors.append(handle_is_invalid(receipt_handle))
                return Call(DescribeQueue(queue.queue), lambda _: go_on())
        return then(errors)

    def told(receipt_handle: str, outcome: IdOutcome) -> Step:
        if outcome is IdOutcome.GONE:
            # messages may be gone because the queue is: then that is the error
            errors.append(invalid("ReceiptHandle", receipt_handle, "Message does not exist or is not waiting."))
            return Call(DescribeQueue(queue.queue), lambda _: go_on())
        errors.append(_error(receipt_handle, outcome))
        return go_on()

    return go_on()


def _error(receipt_handle: str, outcome: IdOutcome | None) -> SqsError | None:
    if outcome is None:
        return handle_is_invalid(receipt_handle)
    if outcome is IdOutcome.IN_FLIGHT:
        return SqsError(
            f"{handle_is_invalid(receipt_handle)} Reason: The message is in flight.", kind=INVALID_RECEIPT_HANDLE
        )
    return None
