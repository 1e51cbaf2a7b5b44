"""Queue policies: who else may do what with a queue, and who may not (IAM user guide, "Policy evaluation logic").

A caller of the queue's own account may do everything a policy does not deny; a caller of another account only what it
allows. Where a policy cannot be understood it allows nothing, and its denials hold.
"""

import json
from collections.abc import Mapping
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from penstock.core.conditions import Conditions, holds, is_operator


class Caller(Struct, frozen=True):
    """Who asks, and how.

    Attributes:
        account: twelve digits.
        name: of the access key, the user of the account.
        source_ip: address the request came from.
        is_secure: it came over TLS.
        now: ms since the epoch.
    """

    account: str
    name: str = ""
    source_ip: str = ""
    is_secure: bool = False
    now: int = 0


class Verdict(Enum):
    """What a policy says of a request."""

    ALLOWED = auto()
    DENIED = auto()
    SILENT = auto()


class Statement(Struct, frozen=True):
    """One statement, its lists made equal. An ``is_not`` turns what follows into "everybody (everything) but"."""

    is_denial: bool
    principals: tuple[str, ...]
    is_not_principals: bool
    actions: tuple[str, ...]
    is_not_actions: bool
    resources: tuple[str, ...]
    is_not_resources: bool
    conditions: Conditions


Policy = tuple[Statement, ...]


def read_policy(text: str) -> Policy:
    """Return the statements of a policy document.

    Raises:
        ValueError: it is no policy; the words say why.
    """
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("a policy is not so deeply nested") from None
    if not isinstance(document, dict):
        raise ValueError("a policy is a JSON object")
    statements = document.get("Statement", [])
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not all(isinstance(each, dict) for each in statements):
        raise ValueError("Statement must be an object or a list of objects")
    return tuple(_read_statement(each) for each in statements)


def check_policy(text: str) -> None:
    """Refuse what nobody should set as a policy.

    Raises:
        ValueError: it cannot be read, or has conditions with operators that are not known.
    """
    for statement in read_policy(text):
        for operator in statement.conditions:
            if not is_operator(operator):
                raise ValueError(f"{operator} is no condition operator")


def verdict(policy: Policy, caller: Caller, action: str, resource: str) -> Verdict:
    """Return what a policy says: a denial counts more than any number of permissions.

    Args:
        policy: of the queue.
        caller: who asks.
        action: name of the SQS action, such as ``SendMessage``.
        resource: ARN of the queue.
    """
    said = Verdict.SILENT
    for statement in policy:
        if _applies(statement, caller, f"sqs:{action}".lower(), resource):
            if statement.is_denial:
                return Verdict.DENIED
            said = Verdict.ALLOWED
    return said


def _read_statement(statement: Mapping[str, Any]) -> Statement:
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise ValueError("Effect must be Allow or Deny")
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, dict) or not all(isinstance(each, dict) for each in conditions.values()):
        raise ValueError("Condition must map operators to keys and values")
    principal = statement.get("NotPrincipal", statement.get("Principal"))
    return Statement(
        is_denial=effect == "Deny",
        principals=_texts(principal.get("AWS", []) if isinstance(principal, dict) else principal),
        is_not_principals="NotPrincipal" in statement,
        actions=tuple(each.lower() for each in _texts(statement.get("NotAction", statement.get("Action")))),
        is_not_actions="NotAction" in statement,
        resources=_texts(statement.get("NotResource", statement.get("Resource", "*"))),
        is_not_resources="NotResource" in statement,
        conditions={
            operator: {key: _texts(values) for key, values in keys.items()} for operator, keys in conditions.items()
        },
    )


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(str(each).lower() if isinstance(each, bool) else str(each) for each in values)


def _applies(statement: Statement, caller: Caller, action: str, resource: str) -> bool:
    is_named = any(_is_principal(each, caller) for each in statement.principals)
    is_asked = any(fnmatchcase(action, _plain(each)) for each in statement.actions)
    is_about = any(fnmatchcase(resource, _plain(each)) for each in statement.resources)
    return (
        is_named != statement.is_not_principals
        and is_asked != statement.is_not_actions
        and is_about != statement.is_not_resources
        and holds(statement.conditions, _facts(caller), unknown=statement.is_denial)
    )


def _is_principal(principal: str, caller: Caller) -> bool:
    if principal in ("*", caller.account):
        return True
    arn, _, who = principal.rpartition(":")
    if not arn.endswith(f":iam::{caller.account}"):
        return False
    return who == "root" or who == f"user/{caller.name}"


def _plain(pattern: str) -> str:
    """Return a pattern in which only * and ? are wild, as in IAM; fnmatch knows brackets too."""
    return pattern.replace("[", "[[]")


def _facts(caller: Caller) -> Mapping[str, str]:
    return {
        "aws:principalaccount": caller.account,
        "aws:principalarn": f"arn:aws:iam::{caller.account}:user/{caller.name}",
        "aws:sourceaccount": caller.account,
        "aws:username": caller.name,
        "aws:sourceip": caller.source_ip,
        "aws:securetransport": str(caller.is_secure).lower(),
        "aws:currenttime": str(caller.now),
        "aws:epochtime": str(caller.now // 1000),
    }
