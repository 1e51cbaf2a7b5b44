"""Two request headers of other local SQS servers: more messages than AWS gives, and a wait until there are as many.

Source: LocalStack's documentation, "SQS, performance tuning". The wait holds what has come meanwhile; a caller who goes
away in the middle of it gets it back when its visibility timeout ends.
"""

from collections.abc import Callable, Mapping

from msgspec import structs

from penstock.core.messages import Delivery
from penstock.core.operations import DescribeQueue, QueueReply, Receive, ReceiveReply
from penstock.wire.http import Call, Step
from penstock.wire.sqs.errors import invalid

_COUNT = b"x-localstack-sqs-override-message-count"
_WAIT = b"x-localstack-sqs-override-wait-time-seconds"
_MOST_MESSAGES = 1000
_LONGEST_WAIT_SECONDS = 3600


def overriding_count(headers: Mapping[bytes, bytes]) -> int | None:
    """Return how many messages a header asks for, ``None`` where there is none."""
    return _number(headers, _COUNT, "MaxNumberOfMessages", 1, _MOST_MESSAGES)


def overriding_wait(headers: Mapping[bytes, bytes]) -> int | None:
    """Return how many seconds a header wants to wait for all messages, ``None`` where there is none."""
    return _number(headers, _WAIT, "WaitTimeSeconds", 0, _LONGEST_WAIT_SECONDS)


def filled(asked: Receive, wait_seconds: int, then: Callable[[ReceiveReply], Step]) -> Step:
    """Receive until there are as many messages as asked for, or the time is over.

    The time that has gone by is read from the leases: each ends one visibility timeout after its message was received.
    """
    timeout = asked.visibility_timeout_seconds
    if timeout is None:

        def described(reply: QueueReply) -> Step:
            timeout = reply.queue.settings.visibility_timeout_seconds
            return filled(structs.replace(asked, visibility_timeout_seconds=timeout), wait_seconds, then)

        return Call(DescribeQueue(asked.queue), described)
    timeout_ms = timeout * 1000

    def looked(reply: ReceiveReply) -> Step:
        if not reply.deliveries:
            return Call(structs.replace(asked, wait_seconds=wait_seconds), then)
        return collected(reply.deliveries, reply.deliveries[0].visible_at - timeout_ms)

    def collected(found: tuple[Delivery, ...], started_at: float) -> Step:
        left = wait_seconds - (found[-1].visible_at - timeout_ms - started_at) / 1000
        if len(found) >= asked.max_messages or left <= 0:
            return then(ReceiveReply(found))
        more = structs.replace(asked, max_messages=asked.max_messages - len(found), wait_seconds=left)

        def got(reply: ReceiveReply) -> Step:
            return collected(found + reply.deliveries, started_at) if reply.deliveries else then(ReceiveReply(found))

        return Call(more, got)

    return Call(structs.replace(asked, wait_seconds=0, attempt_id=None), looked)


def _number(headers: Mapping[bytes, bytes], header: bytes, parameter: str, low: int, high: int) -> int | None:
    text = headers.get(header)
    if text is None:
        return None
    number = int(text) if text.isdigit() and len(text) < 9 else -1
    if not low <= number <= high:
        raise invalid(parameter, text.decode("latin-1"), f"Must be between {low} and {high}.")
    return number
