"""Queue policies: who else may do what."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.policies import Caller, Verdict, read_policy, verdict

ARN = "arn:aws:sqs:us-east-1:000000000000:orders"
FRIEND = Caller("111111111111", "robin", "10.1.2.3", is_secure=True, now=1_700_000_000_000)


def said(*statements: dict[str, Any], caller: Caller = FRIEND, action: str = "SendMessage", arn: str = ARN) -> Verdict:
    return verdict(
        read_policy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)})), caller, action, arn
    )


def allow(**more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": ARN, **more}


def deny(**more: Any) -> dict[str, Any]:
    return allow(Effect="Deny", **more)


def test_a_policy_that_says_nothing_of_a_request_is_silent() -> None:
    assert said() is Verdict.SILENT
    assert said(allow(), action="ReceiveMessage") is Verdict.SILENT


def test_a_denial_counts_more_than_a_permission() -> None:
    assert said(allow(), deny()) is Verdict.DENIED
    assert said(deny(), allow()) is Verdict.DENIED


@pytest.mark.parametrize(
    "principal",
    [
        "*",
        {"AWS": "*"},
        {"AWS": "111111111111"},
        {"AWS": ["222222222222", "arn:aws:iam::111111111111:root"]},
        {"AWS": "arn:aws:iam::111111111111:user/robin"},
    ],
)
def test_principals_that_are_the_caller(principal: Any) -> None:
    assert said(allow(Principal=principal)) is Verdict.ALLOWED


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": "222222222222"},
        {"AWS": "arn:aws:iam::111111111111:user/batman"},
        {"AWS": "arn:aws:iam::1111111111110:root"},
        {"Service": "sns.amazonaws.com"},
        {"AWS": []},
        None,
    ],
)
def test_principals_that_are_not_the_caller(principal: Any) -> None:
    assert said(allow(Principal=principal)) is Verdict.SILENT


def test_everybody_but() -> None:
    but_others = {"Effect": "Deny", "NotPrincipal": {"AWS": "222222222222"}, "Action": "*", "Resource": "*"}
    but_me = {"Effect": "Deny", "NotPrincipal": {"AWS": "111111111111"}, "Action": "*", "Resource": "*"}
    assert said(but_others) is Verdict.DENIED
    assert said(but_me) is Verdict.SILENT


@pytest.mark.parametrize("action", ["*", "sqs:*", "SQS:SendMessage", "sqs:send*", "sqs:SendMessag?", ["a", "sqs:*"]])
def test_actions_match_without_case_and_with_wildcards(action: Any) -> None:
    assert said(allow(Action=action)) is Verdict.ALLOWED


@pytest.mark.parametrize("action", ["sqs:Receive*", "SendMessage", "sns:SendMessage", "sqs:[s]endmessage", [], None])
def test_actions_that_are_others(action: Any) -> None:
    assert said(allow(Action=action)) is Verdict.SILENT


def test_all_actions_but() -> None:
    statement = {"Effect": "Allow", "Principal": "*", "NotAction": "sqs:DeleteMessage", "Resource": "*"}
    assert said(statement) is Verdict.ALLOWED
    assert said(statement, action="DeleteMessage") is Verdict.SILENT


@pytest.mark.parametrize(
    ("resource", "expected"), [("*", True), (ARN, True), (ARN[:-2] + "*", True), (ARN + "2", False)]
)
def test_resources(resource: str, expected: bool) -> None:
    assert (said(allow(Resource=resource)) is Verdict.ALLOWED) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"StringEquals": {"aws:PrincipalAccount": "111111111111"}}, True),
        ({"StringEquals": {"aws:PrincipalAccount": ["2", "3"]}}, False),
        ({"StringNotEquals": {"aws:PrincipalAccount": "222222222222"}}, True),
        ({"StringNotEquals": {"aws:PrincipalAccount": ["111111111111", "2"]}}, False),
        ({"StringLike": {"aws:username": "rob*"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/robin"}}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, True),
        ({"IpAddress": {"aws:SourceIp": ["192.168.0.0/16", "10.1.2.3"]}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"Bool": {"aws:SecureTransport": False}}, False),
        ({"DateLessThan": {"aws:CurrentTime": "2023-11-14T22:13:21Z"}}, True),
        ({"DateGreaterThan": {"aws:CurrentTime": "2023-11-14T22:13:21Z"}}, False),
        ({"NumericLessThan": {"aws:EpochTime": "1700000001"}}, True),
        ({"Null": {"aws:SourceVpc": "true"}}, True),
        ({"Null": {"aws:username": "true"}}, False),
        ({"StringEquals": {"aws:SourceVpc": "vpc-1"}}, False),
        ({"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}, True),
        ({"StringEquals": {"aws:username": "robin"}, "Bool": {"aws:SecureTransport": "false"}}, False),
    ],
)
def test_conditions(condition: Any, expected: bool) -> None:
    assert (said(allow(Condition=condition)) is Verdict.ALLOWED) is expected


@pytest.mark.parametrize(
    "condition", [{"StringSounds": {"aws:username": "robin"}}, {"IpAddress": {"aws:SourceIp": "no network"}}]
)
def test_what_cannot_be_understood_allows_nothing_and_denies(condition: Any) -> None:
    assert said(allow(Condition=condition)) is Verdict.SILENT
    assert said(deny(Condition=condition)) is Verdict.DENIED


@pytest.mark.parametrize(
    "text", ["", "[]", "1", '{"Statement": 1}', '{"Statement": [1]}', '{"Statement": {"Effect": "Maybe"}}']
)
def test_what_is_no_policy_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one
        read_policy(text)


@given(st.recursive(st.none() | st.booleans() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)))
def test_no_principal_whatever_its_form_is_taken_for_the_caller(principal: Any) -> None:
    if principal != "*" and principal != ["*"]:
        assert said(allow(Principal=principal)) is Verdict.SILENT or "*" in principal
