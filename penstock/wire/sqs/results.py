"""The answers of every SQS action, as both protocols encode them. What is ``None`` is left out.

Source: botocore's service model (sqs, 2012-11-05); what is left out as recorded of AWS.
"""

from msgspec import field

from penstock.wire.sqs.model import MessageAttributeValue, Shape


class SendMessageResult(Shape):
    md5_of_message_body: str = field(name="MD5OfMessageBody")
    message_id: str
    md5_of_message_attributes: str | None = field(default=None, name="MD5OfMessageAttributes")
    md5_of_message_system_attributes: str | None = field(default=None, name="MD5OfMessageSystemAttributes")
    sequence_number: str | None = None


class BatchResultErrorEntry(Shape):
    id: str
    sender_fault: bool
    code: str
    message: str


class SendMessageBatchResultEntry(Shape):
    id: str
    message_id: str
    md5_of_message_body: str = field(name="MD5OfMessageBody")
    md5_of_message_attributes: str | None = field(default=None, name="MD5OfMessageAttributes")
    md5_of_message_system_attributes: str | None = field(default=None, name="MD5OfMessageSystemAttributes")
    sequence_number: str | None = None


class SendMessageBatchResult(Shape):
    successful: list[SendMessageBatchResultEntry] | None = None
    failed: list[BatchResultErrorEntry] | None = None


class Message(Shape):
    message_id: str
    receipt_handle: str
    md5_of_body: str = field(name="MD5OfBody")
    body: str
    attributes: dict[str, str] | None = None
    md5_of_message_attributes: str | None = field(default=None, name="MD5OfMessageAttributes")
    message_attributes: dict[str, MessageAttributeValue] | None = None


class ReceiveMessageResult(Shape):
    messages: list[Message] | None = None


class BatchResultEntry(Shape):
    """An entry of a batch of deletes or visibility changes that succeeded."""

    id: str


class BatchResult(Shape):
    """Of a batch of deletes or visibility changes."""

    successful: list[BatchResultEntry] | None = None
    failed: list[BatchResultErrorEntry] | None = None


class QueueUrlResult(Shape):
    queue_url: str


class ListQueuesResult(Shape):
    queue_urls: list[str] | None = None
    next_token: str | None = None


class ListDeadLetterSourceQueuesResult(Shape):
    queue_urls: list[str] = field(name="queueUrls")
    next_token: str | None = None


class GetQueueAttributesResult(Shape):
    attributes: dict[str, str] | None = None


class ListQueueTagsResult(Shape):
    tags: dict[str, str] | None = None


class StartMessageMoveTaskResult(Shape):
    task_handle: str


class CancelMessageMoveTaskResult(Shape):
    approximate_number_of_messages_moved: int


class ListMessageMoveTasksResultEntry(Shape):
    status: str
    source_arn: str
    approximate_number_of_messages_moved: int
    approximate_number_of_messages_to_move: int
    started_timestamp: int
    task_handle: str | None = None
    destination_arn: str | None = None
    max_number_of_messages_per_second: int | None = None
    failure_reason: str | None = None


class ListMessageMoveTasksResult(Shape):
    results: list[ListMessageMoveTasksResultEntry] | None = None
