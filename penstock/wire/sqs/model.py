"""The parameters of every SQS action, as both protocols are decoded into; nothing is required here, so that the
actions can say what is missing in AWS's words.

Source: botocore's service model (sqs, 2012-11-05). Members are named in snake case; ``rename`` gives AWS's names.
"""

from msgspec import Struct, field


class Shape(Struct, rename="pascal", gc=False, omit_defaults=True):
    """Base of the shapes: members have AWS's names on the wire, unknown ones are ignored."""


class MessageAttributeValue(Shape):
    """One message attribute or message system attribute. The list values are reserved and not supported by AWS."""

    data_type: str | None = None
    string_value: str | None = None
    binary_value: bytes | None = None
    string_list_values: list[str] | None = None
    binary_list_values: list[bytes] | None = None


class SendMessageRequest(Shape):
    queue_url: str | None = None
    message_body: str | None = None
    delay_seconds: int | None = None
    message_attributes: dict[str, MessageAttributeValue] | None = None
    message_system_attributes: dict[str, MessageAttributeValue] | None = None
    message_deduplication_id: str | None = None
    message_group_id: str | None = None


class SendMessageBatchRequestEntry(Shape):
    id: str | None = None
    message_body: str | None = None
    delay_seconds: int | None = None
    message_attributes: dict[str, MessageAttributeValue] | None = None
    message_system_attributes: dict[str, MessageAttributeValue] | None = None
    message_deduplication_id: str | None = None
    message_group_id: str | None = None


class SendMessageBatchRequest(Shape):
    queue_url: str | None = None
    entries: list[SendMessageBatchRequestEntry] | None = None


class ReceiveMessageRequest(Shape):
    queue_url: str | None = None
    attribute_names: list[str] | None = None
    message_system_attribute_names: list[str] | None = None
    message_attribute_names: list[str] | None = None
    max_number_of_messages: int | None = None
    visibility_timeout: int | None = None
    wait_time_seconds: int | None = None
    receive_request_attempt_id: str | None = None


class DeleteMessageRequest(Shape):
    queue_url: str | None = None
    receipt_handle: str | None = None


class DeleteMessageBatchRequestEntry(Shape):
    id: str | None = None
    receipt_handle: str | None = None


class DeleteMessageBatchRequest(Shape):
    queue_url: str | None = None
    entries: list[DeleteMessageBatchRequestEntry] | None = None


class ChangeMessageVisibilityRequest(Shape):
    queue_url: str | None = None
    receipt_handle: str | None = None
    visibility_timeout: int | None = None


class ChangeMessageVisibilityBatchRequestEntry(Shape):
    id: str | None = None
    receipt_handle: str | None = None
    visibility_timeout: int | None = None


class ChangeMessageVisibilityBatchRequest(Shape):
    queue_url: str | None = None
    entries: list[ChangeMessageVisibilityBatchRequestEntry] | None = None


class CreateQueueRequest(Shape):
    queue_name: str | None = None
    attributes: dict[str, str] | None = None
    tags: dict[str, str] | None = field(default=None, name="tags")


class QueueRequest(Shape):
    """Of the actions that name a queue and nothing else."""

    queue_url: str | None = None


class GetQueueUrlRequest(Shape):
    queue_name: str | None = None
    queue_owner_aws_account_id: str | None = field(default=None, name="QueueOwnerAWSAccountId")


class ListQueuesRequest(Shape):
    queue_name_prefix: str | None = None
    next_token: str | None = None
    max_results: int | None = None


class ListDeadLetterSourceQueuesRequest(Shape):
    queue_url: str | None = None
    next_token: str | None = None
    max_results: int | None = None


class GetQueueAttributesRequest(Shape):
    queue_url: str | None = None
    attribute_names: list[str] | None = None


class SetQueueAttributesRequest(Shape):
    queue_url: str | None = None
    attributes: dict[str, str] | None = None


class TagQueueRequest(Shape):
    queue_url: str | None = None
    tags: dict[str, str] | None = None


class UntagQueueRequest(Shape):
    queue_url: str | None = None
    tag_keys: list[str] | None = None


class AddPermissionRequest(Shape):
    queue_url: str | None = None
    label: str | None = None
    aws_account_ids: list[str] | None = field(default=None, name="AWSAccountIds")
    actions: list[str] | None = None


class RemovePermissionRequest(Shape):
    queue_url: str | None = None
    label: str | None = None


class StartMessageMoveTaskRequest(Shape):
    source_arn: str | None = None
    destination_arn: str | None = None
    max_number_of_messages_per_second: int | None = None


class ListMessageMoveTasksRequest(Shape):
    source_arn: str | None = None
    max_results: int | None = None


class CancelMessageMoveTaskRequest(Shape):
    task_handle: str | None = None
