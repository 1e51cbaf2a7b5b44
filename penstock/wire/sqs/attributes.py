"""Queue attributes: from AWS's texts to the settings of a queue and back.

Source: SQS API reference, ``CreateQueue``, ``SetQueueAttributes``, ``GetQueueAttributes``. What only SQS understands is
kept verbatim in ``edge_attributes``. ``Penstock.Partitions`` and ``Penstock.Partitioner`` are Penstock's own, and told
of queues that have several.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from penstock.core.errors import InvalidRequest
from penstock.core.partitions import HASH, MOST_PARTITIONS, check_partitioner
from penstock.core.policies import check_policy
from penstock.core.queues import QueueChanges, QueueDescription
from penstock.wire.sqs.errors import INVALID_ATTRIBUTE_NAME, INVALID_ATTRIBUTE_VALUE, SqsError
from penstock.wire.sqs.limits import (
    LARGEST_MESSAGE_BYTES,
    LONGEST_RETENTION_SECONDS,
    LONGEST_VISIBILITY_SECONDS,
    SMALLEST_MESSAGE_BYTES,
    Limits,
)
from penstock.wire.sqs.names import Address, AddressBook
from penstock.wire.sqs.redrive import ALLOW_POLICY, POLICY, RedriveWanted, check_allow_policy, redrive_of

FIFO_QUEUE = "FifoQueue"
_CONTENT_BASED = "ContentBasedDeduplication"
_SCOPE = "DeduplicationScope"
_THROUGHPUT = "FifoThroughputLimit"
_KMS_KEY = "KmsMasterKeyId"
_KMS_REUSE = "KmsDataKeyReusePeriodSeconds"
_MANAGED_SSE = "SqsManagedSseEnabled"
_POLICY = "Policy"
_PARTITIONS = "Penstock.Partitions"
_PARTITIONER = "Penstock.Partitioner"
_PER_GROUP, _PER_MESSAGE_GROUP = "messageGroup", "perMessageGroupId"

_FIELDS = {
    "VisibilityTimeout": "visibility_timeout_seconds",
    "DelaySeconds": "delay_seconds",
    "MessageRetentionPeriod": "retention_seconds",
    "MaximumMessageSize": "max_message_bytes",
    "ReceiveMessageWaitTimeSeconds": "receive_wait_seconds",
}
_OTHERS = (FIFO_QUEUE, _CONTENT_BASED, POLICY, _PARTITIONS, _PARTITIONER)
_CHOICES = {_SCOPE: ("queue", _PER_GROUP), _THROUGHPUT: ("perQueue", _PER_MESSAGE_GROUP)}
_SHORTEST_REUSE_SECONDS, _LONGEST_REUSE_SECONDS, _DEFAULT_REUSE_SECONDS = 60, 86_400, "300"


class Wanted(Struct, frozen=True):
    """What a caller wants of a queue's attributes. ``redrive`` is to be checked before it happens."""

    changes: QueueChanges
    redrive: RedriveWanted | None = None


def wanted_at_creation(
    attributes: Mapping[str, str], tags: Mapping[str, str], queue: Address, limits: Limits, addresses: AddressBook
) -> Wanted:
    """Return how a queue is to be made. Raises SqsError for what AWS refuses."""
    fields, redrive = _fields(attributes, queue, limits, addresses)
    if queue.is_fifo:
        fields["is_fifo"] = True
        fields["deduplicate_per_group"] = attributes.get(_SCOPE) == _PER_GROUP
        if attributes.get(_THROUGHPUT) == _PER_MESSAGE_GROUP and attributes.get(_SCOPE) != _PER_GROUP:
            raise _bad_throughput()
        if fields.get("partitions", 1) > 1:
            if attributes.get(_SCOPE, _PER_GROUP) != _PER_GROUP:
                raise _bad_value(_SCOPE, f"A queue of several partitions deduplicates by {_PER_GROUP}.")
            fields["deduplicate_per_group"] = True
    if limits.max_in_flight is not None:
        fields["max_in_flight"] = limits.max_in_flight
    if tags:
        fields["tags"] = dict(tags)
    return Wanted(QueueChanges(**fields), redrive)


def wanted_changes(attributes: Mapping[str, str], queue: Address, limits: Limits, addresses: AddressBook) -> Wanted:
    """Return how a queue is to be changed. Raises SqsError for what AWS refuses."""
    fields, redrive = _fields(attributes, queue, limits, addresses)
    if attributes.get(_THROUGHPUT) == _PER_MESSAGE_GROUP and attributes.get(_SCOPE, _PER_GROUP) != _PER_GROUP:
        raise _bad_throughput()
    return Wanted(QueueChanges(**fields), redrive)


def attributes_of(described: QueueDescription, queue: Address, addresses: AddressBook) -> dict[str, str]:
    """Return everything SQS tells of a queue; what is unset is left out."""
    settings, counts, edge = described.settings, described.counts, described.settings.edge_attributes
    told = {
        "QueueArn": queue.arn,
        "ApproximateNumberOfMessages": str(counts.ready),
        "ApproximateNumberOfMessagesNotVisible": str(counts.in_flight),
        "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
        "CreatedTimestamp": str(described.created_at // 1000),
        "LastModifiedTimestamp": str(described.modified_at // 1000),
    }
    for name, field in _FIELDS.items():
        told[name] = str(int(getattr(settings, field)))
    if _POLICY in edge:
        told[_POLICY] = edge[_POLICY]
    if settings.redrive is not None:
        arn = addresses.of_queue(settings.redrive.dead_letter_queue).arn
        told[POLICY] = _text({"deadLetterTargetArn": arn, "maxReceiveCount": settings.redrive.max_receive_count})
    elif POLICY in edge:
        told[POLICY] = edge[POLICY]
    if ALLOW_POLICY in edge:
        told[ALLOW_POLICY] = edge[ALLOW_POLICY]
    if settings.is_fifo:
        told[FIFO_QUEUE] = "true"
        told[_CONTENT_BASED] = _bool_text(settings.content_based_deduplication)
        told[_SCOPE] = edge.get(_SCOPE) or (_PER_GROUP if settings.deduplicate_per_group else "queue")
        told[_THROUGHPUT] = edge.get(_THROUGHPUT, "perQueue")
    if _KMS_KEY in edge:
        told[_KMS_KEY] = edge[_KMS_KEY]
        told[_KMS_REUSE] = edge.get(_KMS_REUSE, _DEFAULT_REUSE_SECONDS)
    told[_MANAGED_SSE] = edge.get(_MANAGED_SSE, "true")
    if settings.partitions > 1:
        told |= {_PARTITIONS: str(settings.partitions), _PARTITIONER: settings.partitioner}
    return told


ATTRIBUTE_NAMES = frozenset(
    {
        "All",
        "QueueArn",
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
        "CreatedTimestamp",
        "LastModifiedTimestamp",
        *_FIELDS,
        _POLICY,
        POLICY,
        ALLOW_POLICY,
        FIFO_QUEUE,
        _CONTENT_BASED,
        _SCOPE,
        _THROUGHPUT,
        _KMS_KEY,
        _KMS_REUSE,
        _MANAGED_SSE,
        _PARTITIONS,
        _PARTITIONER,
    }
)
"""What GetQueueAttributes may be asked for."""


def unknown_attribute(name: str) -> SqsError:
    """The error of naming an attribute that a queue has not."""
    return SqsError(f"Unknown Attribute {name}.", kind=INVALID_ATTRIBUTE_NAME)


def _fields(
    attributes: Mapping[str, str], queue: Address, limits: Limits, addresses: AddressBook
) -> tuple[dict[str, Any], RedriveWanted | None]:
    """Return the fields of QueueChanges that attributes set, and the redrive policy among them."""
    fields: dict[str, Any] = {}
    edge: dict[str, str | None] = {}
    redrive: RedriveWanted | None = None
    for name, text in attributes.items():
        _check_known(name, queue)
        if name in _FIELDS:
            fields[_FIELDS[name]] = _integer(name, text, *_range(name, limits))
        elif name == FIFO_QUEUE:
            if not _boolean(name, text):
                raise _bad_value(name, "Modifying queue type is not supported.")
        elif name == _PARTITIONS:
            fields["partitions"] = _integer(name, text, 1, MOST_PARTITIONS)
        elif name == _PARTITIONER:
            fields["partitioner"] = text
        elif name == _CONTENT_BASED:
            fields["content_based_deduplication"] = _boolean(name, text)
        elif name == POLICY:
            redrive = redrive_of(text, addresses) if text else None
            to_itself = redrive is not None and redrive.target == queue
            # AWS accepts a queue as its own dead-letter queue; the core has no such thing, so it is only shown
            edge[POLICY] = text if to_itself else None
            fields["redrive"] = None if redrive is None or to_itself else redrive.policy
        else:
            edge.update(_EDGE[name](name, text))
    if attributes.get(_KMS_KEY) and attributes.get(_MANAGED_SSE, "").lower() == "true":
        raise SqsError(
            "You can use one type of server-side encryption (SSE) at one time. "
            "You can either enable KMS SSE or SQS SSE.",
            kind=INVALID_ATTRIBUTE_NAME,
        )
    if edge:
        fields["edge_attributes"] = edge
    if "partitions" in fields:
        try:
            check_partitioner(fields.get("partitioner", HASH), fields["partitions"])
        except InvalidRequest as error:
            raise _bad_value(_PARTITIONER, str(error)) from None
    return fields, redrive


def _check_known(name: str, queue: Address) -> None:
    if name not in _FIELDS and name not in _EDGE and name not in _OTHERS:
        raise unknown_attribute(name)
    if queue.is_fifo:
        return
    if name in (FIFO_QUEUE, _CONTENT_BASED):
        raise unknown_attribute(name)
    if name in _CHOICES:
        raise SqsError(f"You can specify the {name} only when FifoQueue is set to true.", kind=INVALID_ATTRIBUTE_NAME)


def _range(name: str, limits: Limits) -> tuple[int, int]:
    return {
        "VisibilityTimeout": (0, LONGEST_VISIBILITY_SECONDS),
        "DelaySeconds": (0, limits.delay_seconds),
        "MessageRetentionPeriod": (limits.retention_seconds, LONGEST_RETENTION_SECONDS),
        "MaximumMessageSize": (SMALLEST_MESSAGE_BYTES, LARGEST_MESSAGE_BYTES),
        "ReceiveMessageWaitTimeSeconds": (0, limits.wait_seconds),
    }[name]


def _integer(name: str, text: str, low: int, high: int) -> int:
    # int() alone would take underscores, spaces and other scripts' digits
    number = int(text) if text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20 else -1
    if not low <= number <= high:
        raise _bad_value(name)
    return number


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise _bad_value(name)
    return text.lower() == "true"


def _of_policy(name: str, text: str) -> dict[str, str | None]:
    if not text:
        return {name: None}
    try:
        check_policy(text)
    except ValueError:
        raise _bad_value(name) from None
    return {name: text}


def _of_allow_policy(name: str, text: str) -> dict[str, str | None]:
    if text:
        check_allow_policy(text)
    return {name: text or None}


def _of_choice(name: str, text: str) -> dict[str, str | None]:
    if text not in _CHOICES[name]:
        raise _bad_value(name)
    return {name: text}


def _of_kms_key(name: str, text: str) -> dict[str, str | None]:
    if not text:
        return {name: None, _KMS_REUSE: None}
    return {name: text, _MANAGED_SSE: "false"}


def _of_kms_reuse(name: str, text: str) -> dict[str, str | None]:
    return {name: str(_integer(name, text, _SHORTEST_REUSE_SECONDS, _LONGEST_REUSE_SECONDS))}


def _of_managed_sse(name: str, text: str) -> dict[str, str | None]:
    if _boolean(name, text):
        return {name: "true", _KMS_KEY: None, _KMS_REUSE: None}
    return {name: "false"}


_EDGE: dict[str, Callable[[str, str], dict[str, str | None]]] = {
    _POLICY: _of_policy,
    ALLOW_POLICY: _of_allow_policy,
    _SCOPE: _of_choice,
    _THROUGHPUT: _of_choice,
    _KMS_KEY: _of_kms_key,
    _KMS_REUSE: _of_kms_reuse,
    _MANAGED_SSE: _of_managed_sse,
}
"""What each attribute that only SQS understands becomes; ``None`` removes one."""


def _bad_value(name: str, reason: str = "") -> SqsError:
    words = f"Invalid value for the parameter {name}." + (f" Reason: {reason}" if reason else "")
    return SqsError(words, kind=INVALID_ATTRIBUTE_VALUE)


def _bad_throughput() -> SqsError:
    return _bad_value(_THROUGHPUT, f"{_PER_MESSAGE_GROUP} is allowed only when {_SCOPE} is {_PER_GROUP}.")


def _bool_text(value: bool) -> str:
    return "true" if value else "false"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
