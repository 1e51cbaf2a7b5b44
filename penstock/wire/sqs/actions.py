"""Every action by its name: the parameters it is decoded into, and the function that performs it."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from penstock.wire.http import Step
from penstock.wire.sqs import (
    model,
    moves,
    permissions,
    queues,
    receiving,
    sending,
    settings,
    settling,
    tags,
)
from penstock.wire.sqs.exchange import Exchange


class Action(Struct, frozen=True):
    """One action of the API.

    Attributes:
        request: the struct that holds its parameters.
        perform: from parameters to the first step.
    """

    name: str
    request: type[model.Shape]
    perform: Callable[[Any, Exchange], Step]


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action("AddPermission", model.AddPermissionRequest, permissions.add_permission),
        Action("CancelMessageMoveTask", model.CancelMessageMoveTaskRequest, moves.cancel_message_move_task),
        Action(
            "ChangeMessageVisibility",
            model.ChangeMessageVisibilityRequest,
            settling.change_message_visibility,
        ),
        Action(
            "ChangeMessageVisibilityBatch",
            model.ChangeMessageVisibilityBatchRequest,
            settling.change_message_visibility_batch,
        ),
        Action("CreateQueue", model.CreateQueueRequest, queues.create_queue),
        Action("DeleteMessage", model.DeleteMessageRequest, settling.delete_message),
        Action("DeleteMessageBatch", model.DeleteMessageBatchRequest, settling.delete_message_batch),
        Action("DeleteQueue", model.QueueRequest, queues.delete_queue),
        Action("GetQueueAttributes", model.GetQueueAttributesRequest, settings.get_queue_attributes),
        Action("GetQueueUrl", model.GetQueueUrlRequest, queues.get_queue_url),
        Action(
            "ListDeadLetterSourceQueues",
            model.ListDeadLetterSourceQueuesRequest,
            queues.list_dead_letter_source_queues,
        ),
        Action("ListMessageMoveTasks", model.ListMessageMoveTasksRequest, moves.list_message_move_tasks),
        Action("ListQueueTags", model.QueueRequest, tags.list_queue_tags),
        Action("ListQueues", model.ListQueuesRequest, queues.list_queues),
        Action("PurgeQueue", model.QueueRequest, queues.purge_queue),
        Action("ReceiveMessage", model.ReceiveMessageRequest, receiving.receive_message),
        Action("RemovePermission", model.RemovePermissionRequest, permissions.remove_permission),
        Action("SendMessage", model.SendMessageRequest, sending.send_message),
        Action("SendMessageBatch", model.SendMessageBatchRequest, sending.send_message_batch),
        Action("SetQueueAttributes", model.SetQueueAttributesRequest, settings.set_queue_attributes),
        Action("StartMessageMoveTask", model.StartMessageMoveTaskRequest, moves.start_message_move_task),
        Action("TagQueue", model.TagQueueRequest, tags.tag_queue),
        Action("UntagQueue", model.UntagQueueRequest, tags.untag_queue),
    )
}
