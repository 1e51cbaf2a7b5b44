"""Cancel, an extension: DeleteMessage with ``Penstock.Cancel:<MessageId>`` where the receipt handle goes.

It forgets a message that nobody holds. One that is gone already is no error, as with receipt handles.
"""

import re
from collections.abc import Callable, Sequence

from penstock.core.operations import Cancel, DescribeQueue, IdOutcome, IdsReply
from penstock.wire.http import Call, Step
from penstock.wire.sqs.errors import INVALID_RECEIPT_HANDLE, SqsError, handle_is_invalid
from penstock.wire.sqs.names import Address

Errors = list[SqsError | None]

_PREFIX = "Penstock.Cancel:"
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


def _error(receipt_handle: str, outcome: IdOutcome | None) -> SqsError | None:
    if outcome is None:
        return handle_is_invalid(receipt_handle)
    if outcome is IdOutcome.IN_FLIGHT:
        return SqsError(
            f"{handle_is_invalid(receipt_handle)} Reason: The message is in flight.", kind=INVALID_RECEIPT_HANDLE
        )
    return None
