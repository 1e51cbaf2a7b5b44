"""ReceiveMessage: what is leased, and which of its attributes the receiver asked to see."""

from collections.abc import Mapping, Sequence

from penstock.core.messages import Attribute, Delivery
from penstock.core.operations import DescribeQueue, QueueReply, Receive, ReceiveReply
from penstock.wire.http import Call, Step
from penstock.wire.sqs.annotations import TRACE_HEADER
from penstock.wire.sqs.checksums import md5_of_attributes, md5_of_body
from penstock.wire.sqs.errors import OVER_LIMIT, SqsError, invalid, wrong_queue_type
from penstock.wire.sqs.exchange import Edge, Exchange
from penstock.wire.sqs.filling import filled, overriding_count, overriding_wait
from penstock.wire.sqs.limits import LONGEST_VISIBILITY_SECONDS, MOST_ENTRIES
from penstock.wire.sqs.model import MessageAttributeValue, ReceiveMessageRequest
from penstock.wire.sqs.names import Address
from penstock.wire.sqs.results import Message, ReceiveMessageResult
from penstock.wire.sqs.sending import sequence_number_of

_LONGEST_ATTEMPT_ID = 128
_EMPTY = ReceiveMessageResult()
_NONE: frozenset[str] = frozenset()


def receive_message(asked: ReceiveMessageRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``ReceiveMessage``."""
    queue = exchange.queue(asked.queue_url)
    headers = exchange.request.headers
    count = asked.max_number_of_messages
    if (wanted := overriding_count(headers)) is not None:
        count = wanted
    elif count is None:
        count = 1
    elif not 1 <= count <= MOST_ENTRIES:
        raise invalid("MaxNumberOfMessages", count, f"Must be between 1 and {MOST_ENTRIES}, if provided.")
    wait, visibility = asked.wait_time_seconds, asked.visibility_timeout
    longest_wait = exchange.edge.limits.wait_seconds
    if wait is not None and not 0 <= wait <= longest_wait:
        raise invalid("WaitTimeSeconds", wait, f"Must be >= 0 and <= {longest_wait}, if provided.")
    if visibility is not None and not 0 <= visibility <= LONGEST_VISIBILITY_SECONDS:
        raise invalid(
            "VisibilityTimeout", visibility, f"Must be >= 0 and <= {LONGEST_VISIBILITY_SECONDS}, if provided."
        )
    attempt_id = asked.receive_request_attempt_id
    if attempt_id is not None:
        _check_attempt_id(attempt_id, queue)
    system_names = _system_names(asked)
    names = asked.message_attribute_names

    def received(reply: ReceiveReply) -> Step:
        if reply.deliveries:
            edge = exchange.edge
            messages = [message_of(each, queue, edge, system_names, names) for each in reply.deliveries]
            return exchange.answer(ReceiveMessageResult(messages))
        if reply.is_over_limit and not wait:
            return _over_limit(exchange, queue, wait)
        return exchange.answer(_EMPTY)

    receive = Receive(queue.queue, count, wait, visibility, attempt_id)
    if (seconds := overriding_wait(headers)) is not None:
        return filled(receive, seconds, received)
    return Call(receive, received)


def message_of(
    delivery: Delivery,
    queue: Address,
    edge: Edge,
    system_names: frozenset[str] | None,
    names: Sequence[str] | None,
) -> Message:
    """Return a delivery as SQS shows it.

    Args:
        system_names: which system attributes; ``None`` all.
        names: which message attributes, as patterns; see ``chosen``.
    """
    message = Message(delivery.message_id, delivery.receipt_handle, md5_of_body(delivery.body.encode()), delivery.body)
    if system_names is not _NONE:
        attributes = system_attributes(delivery, queue, edge)
        if system_names is not None:
            attributes = {name: value for name, value in attributes.items() if name in system_names}
        message.attributes = attributes or None
    if names and delivery.attributes:
        shown = chosen(delivery.attributes, names)
        if shown:
            message.md5_of_message_attributes = md5_of_attributes(shown)
            message.message_attributes = {name: _shown(attribute) for name, attribute in shown.items()}
    return message


def system_attributes(delivery: Delivery, queue: Address, edge: Edge) -> dict[str, str]:
    """Return all that SQS tells of a delivery, as texts; instants in ms since the epoch."""
    told = {
        "SenderId": delivery.sender_id or queue.account,
        "ApproximateFirstReceiveTimestamp": str(delivery.first_received_at),
        "ApproximateReceiveCount": str(delivery.receive_count),
        "SentTimestamp": str(delivery.sent_at),
    }
    if queue.is_fifo:
        told["SequenceNumber"] = sequence_number_of(delivery.sequence_number)
        if delivery.deduplication_id is not None:
            # AWS tells a dead letter's message id instead (developer guide, "Configure a dead-letter queue redrive")
            is_dead_letter = delivery.dead_letter_source is not None
            told["MessageDeduplicationId"] = delivery.message_id if is_dead_letter else delivery.deduplication_id
    if delivery.group_id is not None:
        told["MessageGroupId"] = delivery.group_id
    if delivery.system_attributes and (header := delivery.system_attributes.get(TRACE_HEADER)) is not None:
        told[TRACE_HEADER] = header.string_value or ""
    if delivery.dead_letter_source is not None:
        told["DeadLetterQueueSourceArn"] = edge.addresses.of_queue(delivery.dead_letter_source).arn
    return told


def chosen(attributes: Mapping[str, Attribute], names: Sequence[str]) -> Mapping[str, Attribute]:
    """Return the message attributes that a receiver asked for: ``All``, ``.*``, ``Prefix.*`` or plain names.

    Names that are unknown or impossible are ignored, as recorded of AWS.
    """
    if "All" in names or ".*" in names or "*" in names or "ALL" in names:
        return attributes
    prefixes = tuple(name[:-2] for name in names if name.endswith(".*"))
    return {
        name: attribute
        for name, attribute in attributes.items()
        if name in names or (prefixes and name.startswith(prefixes))
    }


def _shown(attribute: Attribute) -> MessageAttributeValue:
    return MessageAttributeValue(attribute.data_type, attribute.string_value, attribute.binary_value)


def _system_names(asked: ReceiveMessageRequest) -> frozenset[str] | None:
    """Return the system attributes asked for under the old name and the new one; ``None`` for all of them."""
    names = asked.message_system_attribute_names or asked.attribute_names
    if not names:
        return _NONE
    if asked.message_system_attribute_names and asked.attribute_names:
        names = names + asked.attribute_names
    return None if "All" in names or "ALL" in names else frozenset(names)


def _check_attempt_id(attempt_id: str, queue: Address) -> None:
    if not queue.is_fifo:
        raise wrong_queue_type("ReceiveRequestAttemptId", attempt_id)
    if not (
        0 < len(attempt_id) <= _LONGEST_ATTEMPT_ID
        and attempt_id.isascii()
        and attempt_id.isprintable()
        and " " not in attempt_id
    ):
        raise invalid(
            "ReceiveRequestAttemptId",
            attempt_id,
            "ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length.",
        )


def _over_limit(exchange: Exchange, queue: Address, wait_seconds: int | None) -> Step:
    """Refuse a short poll of a queue that holds all the leases it may; a long poll is empty (developer guide)."""

    def refuse() -> Step:
        raise SqsError(
            "Too many messages in flight. Delete messages, or wait for their visibility timeouts.", kind=OVER_LIMIT
        )

    def told(described: QueueReply) -> Step:
        return exchange.answer(_EMPTY) if described.queue.settings.receive_wait_seconds else refuse()

    return refuse() if wait_seconds == 0 else Call(DescribeQueue(queue.queue), told)
