"""CreateQueue, DeleteQueue, PurgeQueue, GetQueueUrl, ListQueues and ListDeadLetterSourceQueues."""

import binascii
import re
from collections.abc import Callable

from msgspec import structs

from penstock.core.operations import (
    CreateQueue,
    DeleteQueue,
    DescribeQueue,
    ListQueues,
    PurgeQueue,
    QueuesReply,
)
from penstock.core.queues import QueueDescription, changed
from penstock.wire.http import Call, Step
from penstock.wire.sqs.attributes import FIFO_QUEUE, Wanted, attributes_of, unknown_attribute, wanted_at_creation
from penstock.wire.sqs.errors import QUEUE_NAME_EXISTS, SqsError, invalid, missing, no_such_queue
from penstock.wire.sqs.exchange import Exchange
from penstock.wire.sqs.limits import MOST_LISTED
from penstock.wire.sqs.model import (
    CreateQueueRequest,
    GetQueueUrlRequest,
    ListDeadLetterSourceQueuesRequest,
    ListQueuesRequest,
    QueueRequest,
)
from penstock.wire.sqs.names import Address, check_name
from penstock.wire.sqs.redrive import checked, find_queue
from penstock.wire.sqs.results import ListDeadLetterSourceQueuesResult, ListQueuesResult, QueueUrlResult
from penstock.wire.sqs.tags import check_tags

_ACCOUNT = re.compile(r"[0-9]{12}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}(?:\.fifo)?")


def create_queue(asked: CreateQueueRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``CreateQueue``. If the queue exists, only the attributes given are compared."""
    name, attributes = asked.queue_name, asked.attributes or {}
    if not name:
        raise missing("QueueName")
    edge, request = exchange.edge, exchange.request
    queue = edge.addresses.of_name(name, request.account, request.region)
    fifo = attributes.get(FIFO_QUEUE)
    if fifo is not None and fifo.lower() != "true" and not queue.is_fifo:
        raise unknown_attribute(FIFO_QUEUE)
    check_name(name, is_fifo=(fifo or "").lower() == "true")
    tags = asked.tags or {}
    check_tags(tags, name)
    wanted = wanted_at_creation(attributes, tags, queue, edge.limits, edge.addresses)
    made = Call(
        CreateQueue(queue.queue, wanted.changes, edge.limits.name_rest_seconds),
        lambda _: exchange.answer(QueueUrlResult(exchange.queue_url(queue))),
    )

    def found(existing: QueueDescription | None) -> Step:
        if existing is None:
            return checked(wanted.redrive, queue, lambda: made)
        _check_same(existing, wanted, attributes, queue, exchange)
        return exchange.answer(QueueUrlResult(exchange.queue_url(queue)))

    return find_queue(queue, found)


def delete_queue(asked: QueueRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``DeleteQueue``."""
    return Call(DeleteQueue(exchange.queue(asked.queue_url).queue), lambda _: exchange.answer())


def purge_queue(asked: QueueRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``PurgeQueue``."""
    queue = exchange.queue(asked.queue_url)
    return Call(PurgeQueue(queue.queue, exchange.edge.limits.purge_rest_seconds), lambda _: exchange.answer())


def get_queue_url(asked: GetQueueUrlRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``GetQueueUrl``."""
    name, owner = asked.queue_name, asked.queue_owner_aws_account_id
    if not name:
        raise missing("QueueName")
    if not _NAME.fullmatch(name) or (owner and not _ACCOUNT.fullmatch(owner)):
        raise no_such_queue()
    request = exchange.request
    queue = exchange.edge.addresses.of_name(name, owner or request.account, request.region)
    url = exchange.queue_url(queue)
    return Call(DescribeQueue(queue.queue), lambda _: exchange.answer(QueueUrlResult(url)))


def list_queues(asked: ListQueuesRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``ListQueues``: the caller's queues in its region; a token only where MaxResults is given."""
    request, edge = exchange.request, exchange.edge
    most = _most(asked.max_results)
    own = edge.addresses.prefix(request.account, request.region)

    def is_own(queue: str) -> bool:
        # plain names are those of the default account; all others are in a folder
        return "/" not in queue[len(own) :]

    def listed(names: list[str]) -> Step:
        urls = [exchange.queue_url(edge.addresses.of_queue(name)) for name in names[:most]]
        token = _token(names[most - 1]) if asked.max_results is not None and len(names) > most else None
        return exchange.answer(ListQueuesResult(urls or None, token))

    first = ListQueues(prefix=own + (asked.queue_name_prefix or ""), after=_after(asked.next_token))
    return _collect(first, most, is_own, listed, [])


def list_dead_letter_source_queues(asked: ListDeadLetterSourceQueuesRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``ListDeadLetterSourceQueues``."""
    queue, edge = exchange.queue(asked.queue_url), exchange.edge
    most = _most(asked.max_results)
    first = ListQueues(after=_after(asked.next_token), dead_letter_queue=queue.queue)

    def listed(names: list[str]) -> Step:
        urls = [exchange.queue_url(edge.addresses.of_queue(name)) for name in names[:most]]
        token = _token(names[most - 1]) if asked.max_results is not None and len(names) > most else None
        return exchange.answer(ListDeadLetterSourceQueuesResult(urls, token))

    return Call(DescribeQueue(queue.queue), lambda _: _collect(first, most, lambda _name: True, listed, []))


def _collect(
    asked: ListQueues,
    most: int,
    is_wanted: Callable[[str], bool],
    then: Callable[[list[str]], Step],
    found: list[str],
) -> Call:
    """Collect the names of queues, page by page, until there is one more than ``most`` or no more."""
    page = structs.replace(asked, limit=min(MOST_LISTED, most + 1 - len(found)))

    def got(reply: QueuesReply) -> Step:
        names = found + [queue.name for queue in reply.queues if is_wanted(queue.name)]
        if len(names) > most or reply.next_after is None:
            return then(names)
        return _collect(structs.replace(asked, after=reply.next_after), most, is_wanted, then, names)

    return Call(page, got)


def _check_same(
    existing: QueueDescription, wanted: Wanted, attributes: dict[str, str], queue: Address, exchange: Exchange
) -> None:
    addresses = exchange.edge.addresses
    is_now = attributes_of(existing, queue, addresses)
    would_be = structs.replace(existing, settings=changed(existing.settings, wanted.changes))
    then = attributes_of(would_be, queue, addresses)
    for name in attributes:
        if is_now.get(name) != then.get(name):
            raise SqsError(
                f"A queue already exists with the same name and a different value for attribute {name}",
                kind=QUEUE_NAME_EXISTS,
            )


def _most(max_results: int | None) -> int:
    if max_results is None:
        return MOST_LISTED
    if not 1 <= max_results <= MOST_LISTED:
        raise invalid("MaxResults", max_results, f"MaxResults must be an integer between 1 and {MOST_LISTED}.")
    return max_results


def _token(name: str) -> str:
    return binascii.b2a_base64(name.encode(), newline=False).decode()


def _after(token: str | None) -> str:
    if not token:
        return ""
    try:
        return binascii.a2b_base64(token.encode(), strict_mode=True).decode()
    except ValueError:
        raise invalid("NextToken", token, "Invalid NextToken value.") from None
