"""From what SendMessage and its batch say of a message to the draft that the core accepts."""

from collections.abc import Mapping

from msgspec import Struct

from penstock.core.messages import DEFAULT_PRIORITY, Attribute, Draft, size_of
from penstock.wire.http import Request
from penstock.wire.sqs.annotations import (
    NO_ATTRIBUTES,
    NO_EXTENSIONS,
    TRACE_HEADER,
    attributes_of,
    extensions_of,
    has_illegal_characters,
    illegal_character,
    system_attributes_of,
)
from penstock.wire.sqs.checksums import md5_of_attributes, md5_of_body
from penstock.wire.sqs.errors import INVALID_MESSAGE_CONTENTS, ErrorKind, SqsError, invalid, wrong_queue_type
from penstock.wire.sqs.limits import Limits
from penstock.wire.sqs.model import SendMessageBatchRequestEntry, SendMessageRequest
from penstock.wire.sqs.names import Address

_LONGEST_ID = 128


class Stamped(Struct, frozen=True, gc=False):
    """A draft with the checksums its sender is answered."""

    draft: Draft
    md5_of_body: str
    md5_of_attributes: str | None
    md5_of_system_attributes: str | None
    size: int


def stamped(
    asked: SendMessageRequest | SendMessageBatchRequestEntry,
    body: str,
    queue: Address,
    limits: Limits,
    request: Request,
) -> Stamped:
    """Return a message that looks as it should.

    Raises:
        SqsError: what AWS says of it otherwise.
    """
    encoded = body.encode()
    if has_illegal_characters(body, encoded):
        raise SqsError(illegal_character(body, "message body"), kind=INVALID_MESSAGE_CONTENTS)
    group_id, deduplication_id, delay = asked.message_group_id, asked.message_deduplication_id, asked.delay_seconds
    if group_id is not None:
        _check_id("MessageGroupId", group_id)
    if deduplication_id is not None:
        if not queue.is_fifo:
            raise wrong_queue_type("MessageDeduplicationId", deduplication_id)
        _check_id("MessageDeduplicationId", deduplication_id)
    if delay is not None:
        delay = _delay(delay, queue, limits)
    attributes, md5, extensions = NO_ATTRIBUTES, None, NO_EXTENSIONS
    if asked.message_attributes:
        attributes = attributes_of(asked.message_attributes)
        md5, extensions = md5_of_attributes(attributes), extensions_of(attributes)
    system_attributes, system_md5 = NO_ATTRIBUTES, None
    if asked.message_system_attributes:
        system_attributes = system_attributes_of(asked.message_system_attributes)
        system_md5 = md5_of_attributes(system_attributes)
    elif b"x-amzn-trace-id" in request.headers:
        system_attributes = {TRACE_HEADER: Attribute("String", _trace_header(request.headers))}
    draft = Draft(
        body,
        attributes,
        system_attributes,
        request.account,
        delay if extensions.delay_seconds is None else extensions.delay_seconds,
        extensions.deliver_at,
        extensions.priority or DEFAULT_PRIORITY,
        group_id,
        deduplication_id,
    )
    size = len(encoded) + size_of("", attributes) if attributes else len(encoded)
    return Stamped(draft, md5_of_body(encoded), md5, system_md5, size)


def require_group(asked: SendMessageRequest | SendMessageBatchRequestEntry, queue: Address, kind: ErrorKind) -> None:
    """Refuse a message for a FIFO queue that names no group; batches have another code for it."""
    if queue.is_fifo and asked.message_group_id is None:
        raise SqsError("The request must contain the parameter MessageGroupId.", kind=kind)


def _check_id(parameter: str, value: str) -> None:
    if not (0 < len(value) <= _LONGEST_ID and value.isascii() and value.isprintable() and " " not in value):
        raise invalid(
            parameter,
            value,
            f"{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.",
        )


def _delay(delay_seconds: int, queue: Address, limits: Limits) -> int | None:
    """Return the delay of a message; FIFO queues have delays of their own only, where 0 means none was given."""
    if queue.is_fifo:
        if delay_seconds != 0:
            raise wrong_queue_type("DelaySeconds", delay_seconds)
        return None
    if not 0 <= delay_seconds <= limits.delay_seconds:
        raise invalid("DelaySeconds", delay_seconds, f"DelaySeconds must be >= 0 and <= {limits.delay_seconds}.")
    return delay_seconds


def _trace_header(headers: Mapping[bytes, bytes]) -> str:
    header = headers[b"x-amzn-trace-id"].decode("latin-1")
    if "Root=" not in header or not header.isascii() or not header.isprintable():
        raise SqsError(
            "The request has a 'X-Amzn-Trace-Id' HTTP header which is reserved for AWS X-Ray trace header and has an "
            f"invalid value '{header}'"
        )
    return header
