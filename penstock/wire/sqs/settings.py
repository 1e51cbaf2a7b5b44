"""GetQueueAttributes and SetQueueAttributes."""

from penstock.core.operations import DescribeQueue, QueueReply, UpdateQueue
from penstock.wire.http import Call, Step
from penstock.wire.sqs.attributes import ATTRIBUTE_NAMES, attributes_of, unknown_attribute, wanted_changes
from penstock.wire.sqs.errors import missing
from penstock.wire.sqs.exchange import Exchange
from penstock.wire.sqs.model import GetQueueAttributesRequest, SetQueueAttributesRequest
from penstock.wire.sqs.redrive import checked
from penstock.wire.sqs.results import GetQueueAttributesResult


def get_queue_attributes(asked: GetQueueAttributesRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``GetQueueAttributes``."""
    queue = exchange.queue(asked.queue_url)
    names = asked.attribute_names or []
    for name in names:
        if name not in ATTRIBUTE_NAMES:
            raise unknown_attribute(name)

    def described(reply: QueueReply) -> Step:
        told = attributes_of(reply.queue, queue, exchange.edge.addresses)
        if "All" not in names:
            told = {name: told[name] for name in names if name in told}
        return exchange.answer(GetQueueAttributesResult(told or None))

    return Call(DescribeQueue(queue.queue), described)


def set_queue_attributes(asked: SetQueueAttributesRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``SetQueueAttributes``."""
    queue = exchange.queue(asked.queue_url)
    if not asked.attributes:
        raise missing("Attributes")
    edge = exchange.edge
    wanted = wanted_changes(asked.attributes, queue, edge.limits, edge.addresses)
    update = Call(UpdateQueue(queue.queue, wanted.changes), lambda _: exchange.answer())
    return checked(wanted.redrive, queue, lambda: update)
