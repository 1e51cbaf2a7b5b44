"""AddPermission and RemovePermission: statements of a queue's policy, by label.

Source: SQS API reference, ``AddPermission``; the form of the policy as recorded of AWS.
"""

import re
from typing import Any

import msgspec

from penstock.core.operations import DescribeQueue, QueueReply, UpdateQueue
from penstock.core.queues import QueueChanges, QueueDescription
from penstock.wire.http import Call, Step
from penstock.wire.sqs.errors import OVER_LIMIT, SqsError, invalid, missing
from penstock.wire.sqs.exchange import Exchange
from penstock.wire.sqs.model import AddPermissionRequest, RemovePermissionRequest
from penstock.wire.sqs.names import Address, partition_of

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_MOST_ACTIONS = 7
SHAREABLE = frozenset(
    {
        "*",
        "ChangeMessageVisibility",
        "DeleteMessage",
        "GetQueueAttributes",
        "GetQueueUrl",
        "ListDeadLetterSourceQueues",
        "PurgeQueue",
        "ReceiveMessage",
        "SendMessage",
    }
)
"""What a policy may let other accounts do; ``*`` is all the others."""

_OWNERS_ONLY = frozenset(
    {
        "AddPermission",
        "CancelMessageMoveTask",
        "CreateQueue",
        "DeleteQueue",
        "ListMessageMoveTasks",
        "ListQueues",
        "ListQueueTags",
        "RemovePermission",
        "SetQueueAttributes",
        "StartMessageMoveTask",
        "TagQueue",
        "UntagQueue",
    }
)


def add_permission(asked: AddPermissionRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``AddPermission``."""
    queue, label = exchange.queue(asked.queue_url), _label(asked.label)
    accounts, actions = asked.aws_account_ids or [], asked.actions or []
    if not accounts:
        raise missing("AWSAccountIds")
    if not actions:
        raise missing("Actions")
    for account in accounts:
        if not _ACCOUNT.fullmatch(account):
            raise invalid("PrincipalId", f"[{account}]", "Unable to verify.")
    if len(actions) > _MOST_ACTIONS:
        raise SqsError(f"{len(actions)} Actions were found, maximum allowed is {_MOST_ACTIONS}.", kind=OVER_LIMIT)
    for action in actions:
        _check_action(action)
    principals = [f"arn:{partition_of(queue.region)}:iam::{account}:root" for account in accounts]
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": _one_or_many(principals)},
        "Action": _one_or_many([f"SQS:{action}" for action in actions]),
        "Resource": queue.arn,
    }

    def described(reply: QueueReply) -> Step:
        policy = _policy_of(reply.queue, queue)
        if any(_sid(each) == label for each in policy["Statement"]):
            raise invalid("Label", label, "Already exists.")
        return _keep(exchange, queue, {**policy, "Statement": [*policy["Statement"], statement]})

    return Call(DescribeQueue(queue.queue), described)


def remove_permission(asked: RemovePermissionRequest, exchange: Exchange) -> Step:
    """SQS API reference, ``RemovePermission``; with its last statement the policy goes."""
    queue, label = exchange.queue(asked.queue_url), _label(asked.label)

    def described(reply: QueueReply) -> Step:
        policy = _policy_of(reply.queue, queue)
        left = [each for each in policy["Statement"] if _sid(each) != label]
        if len(left) == len(policy["Statement"]):
            raise invalid("Label", label, "can't find label.")
        return _keep(exchange, queue, {**policy, "Statement": left})

    return Call(DescribeQueue(queue.queue), described)


def _keep(exchange: Exchange, queue: Address, policy: dict[str, Any]) -> Call:
    text = msgspec.json.encode(policy).decode() if policy["Statement"] else None
    changes = QueueChanges(edge_attributes={"Policy": text})
    return Call(UpdateQueue(queue.queue, changes), lambda _: exchange.answer())


def _policy_of(described: QueueDescription, queue: Address) -> dict[str, Any]:
    text = described.settings.edge_attributes.get("Policy")
    if text is None:
        return {"Version": "2008-10-17", "Id": f"{queue.arn}/SQSDefaultPolicy", "Statement": []}
    policy: dict[str, Any] = msgspec.json.decode(text)
    statements = policy.get("Statement", [])
    return {**policy, "Statement": statements if isinstance(statements, list) else [statements]}


def _sid(statement: object) -> object:
    return statement.get("Sid") if isinstance(statement, dict) else None


def _label(label: str | None) -> str:
    if not label:
        raise missing("Label")
    if not _LABEL.fullmatch(label):
        raise invalid(
            "Label", label, "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length."
        )
    return label


def _check_action(action: str) -> None:
    if action in SHAREABLE:
        return
    reason = (
        "Only the queue owner is allowed to invoke this action."
        if action in _OWNERS_ONLY
        else "Please refer to the appropriate WSDL for a list of valid actions. "
    )
    raise invalid("ActionName", f"SQS:{action}", reason)


def _one_or_many(items: list[str]) -> str | list[str]:
    return items[0] if len(items) == 1 else items
