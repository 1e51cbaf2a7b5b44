"""Every action by its name: the parameters it is decoded into, and the function that performs it."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from penstock.wire import (
    sqs_model,
    sqs_moves,
    sqs_permissions,
    sqs_queues,
    sqs_receiving,
    sqs_sending,
    sqs_settings,
    sqs_settling,
    sqs_tags,
)
from penstock.wire.http import Step
from penstock.wire.sqs_exchange import Exchange


class Action(Struct, frozen=True):
    """One action of the API.

    Attributes:
        request: the struct that holds its parameters.
        perform: from parameters to the first step.
    """

    name: str
    request: type[sqs_model.Shape]
    perform: Callable[[Any, Exchange], Step]


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action("AddPermission", sqs_model.AddPermissionRequest, sqs_permissions.add_permission),
        Action("CancelMessageMoveTask", sqs_model.CancelMessageMoveTaskRequest, sqs_moves.cancel_message_move_task),
        Action(
            "ChangeMessageVisibility",
            sqs_model.ChangeMessageVisibilityRequest,
            sqs_settling.change_message_visibility,
        ),
        Action(
            "ChangeMessageVisibilityBatch",
            sqs_model.ChangeMessageVisibilityBatchRequest,
            sqs_settling.change_message_visibility_batch,
        ),
        Action("CreateQueue", sqs_model.CreateQueueRequest, sqs_queues.create_queue),
        Action("DeleteMessage", sqs_model.DeleteMessageRequest, sqs_settling.delete_message),
        Action("DeleteMessageBatch", sqs_model.DeleteMessageBatchRequest, sqs_settling.delete_message_batch),
        Action("DeleteQueue", sqs_model.QueueRequest, sqs_queues.delete_queue),
        Action("GetQueueAttributes", sqs_model.GetQueueAttributesRequest, sqs_settings.get_queue_attributes),
        Action("GetQueueUrl", sqs_model.GetQueueUrlRequest, sqs_queues.get_queue_url),
        Action(
            "ListDeadLetterSourceQueues",
            sqs_model.ListDeadLetterSourceQueuesRequest,
            sqs_queues.list_dead_letter_source_queues,
        ),
        Action("ListMessageMoveTasks", sqs_model.ListMessageMoveTasksRequest, sqs_moves.list_message_move_tasks),
        Action("ListQueueTags", sqs_model.QueueRequest, sqs_tags.list_queue_tags),
        Action("ListQueues", sqs_model.ListQueuesRequest, sqs_queues.list_queues),
        Action("PurgeQueue", sqs_model.QueueRequest, sqs_queues.purge_queue),
        Action("ReceiveMessage", sqs_model.ReceiveMessageRequest, sqs_receiving.receive_message),
        Action("RemovePermission", sqs_model.RemovePermissionRequest, sqs_permissions.remove_permission),
        Action("SendMessage", sqs_model.SendMessageRequest, sqs_sending.send_message),
        Action("SendMessageBatch", sqs_model.SendMessageBatchRequest, sqs_sending.send_message_batch),
        Action("SetQueueAttributes", sqs_model.SetQueueAttributesRequest, sqs_settings.set_queue_attributes),
        Action("StartMessageMoveTask", sqs_model.StartMessageMoveTaskRequest, sqs_moves.start_message_move_task),
        Action("TagQueue", sqs_model.TagQueueRequest, sqs_tags.tag_queue),
        Action("UntagQueue", sqs_model.UntagQueueRequest, sqs_tags.untag_queue),
    )
}
