"""TagQueue, UntagQueue and ListQueueTags.

Source: SQS developer guide, "Amazon SQS cost allocation tags".
"""

from collections.abc import Mapping

from penstock.core.operations import DescribeQueue, QueueReply, UpdateQueue
from penstock.core.queues import QueueChanges
from penstock.wire.http import Call, Step
from penstock.wire.sqs.errors import SqsError, missing
from penstock.wire.sqs.exchange import Exchange
from penstock.wire.sqs.limits import MOST_TAGS
from penstock.wire.sqs.model import QueueRequest, TagQueueRequest, UntagQueueRequest
from penstock.wire.sqs.results import ListQueueTagsResult

_LONGEST_KEY, _LONGEST_VALUE = 128, 256


def tag_queue(asked: TagQueueRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``TagQueue``."""
    queue, tags = exchange.queue(asked.queue_url), asked.tags
    if not tags:
        raise missing("Tags")
    check_tags(tags, queue.name)

    def described(reply: QueueReply) -> Step:
        check_tags({**reply.queue.settings.tags, **tags}, queue.name)
        return Call(UpdateQueue(queue.queue, QueueChanges(tags=dict(tags))), lambda _: exchange.answer())

    return Call(DescribeQueue(queue.queue), described)


def untag_queue(asked: UntagQueueRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``UntagQueue``; a tag that is not there is ignored."""
    queue = exchange.queue(asked.queue_url)
    if not asked.tag_keys:
        raise missing("TagKeys")
    for key in asked.tag_keys:
        _check_key(key)
    changes = QueueChanges(tags=dict.fromkeys(asked.tag_keys))
    return Call(UpdateQueue(queue.queue, changes), lambda _: exchange.answer())


def list_queue_tags(asked: QueueRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``ListQueueTags``."""
    queue = exchange.queue(asked.queue_url)
    return Call(
        DescribeQueue(queue.queue),
        lambda reply: exchange.answer(ListQueueTagsResult(dict(reply.queue.settings.tags) or None)),
    )


def check_tags(tags: Mapping[str, str], queue: str) -> None:
    """Refuse tags that a queue cannot have."""
    if len(tags) > MOST_TAGS:
        raise SqsError(f"Too many tags added for queue {queue}.")
    for key, value in tags.items():
        _check_key(key)
        if len(value) > _LONGEST_VALUE:
            raise SqsError(f"Tag values must be between 0 and {_LONGEST_VALUE} characters in length.")
        if key.lower().startswith("aws:"):
            raise SqsError("Tag keys can't start with the reserved prefix aws:.")


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= _LONGEST_KEY:
        raise SqsError(f"Tag keys must be between 1 and {_LONGEST_KEY} characters in length.")
