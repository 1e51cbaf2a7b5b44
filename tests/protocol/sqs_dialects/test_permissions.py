"""AddPermission and RemovePermission: API reference; the policy as recorded of AWS."""

import json
from typing import Any

import pytest

from tests.protocol.sqs_dialects.client import Failed, SqsClient

ARN = "arn:aws:sqs:us-east-1:000000000000:q"


async def policy(sqs: SqsClient, url: str) -> Any:
    text = (await sqs.attributes(url, "Policy")).get("Policy")
    return None if text is None else json.loads(text)


async def add(
    sqs: SqsClient, url: str, label: str, *accounts: str, actions: tuple[str, ...] = ("SendMessage",)
) -> None:
    await sqs("AddPermission", QueueUrl=url, Label=label, AWSAccountIds=list(accounts), Actions=list(actions))


def statement(label: str, principals: Any, action: Any = "SQS:SendMessage") -> dict[str, Any]:
    return {"Sid": label, "Effect": "Allow", "Principal": {"AWS": principals}, "Action": action, "Resource": ARN}


async def test_permissions_make_a_policy_and_the_last_takes_it_away(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    one, two = (f"arn:aws:iam::{account}:root" for account in ("111122223333", "444455556666"))
    await add(sqs, url, "both", "111122223333", "444455556666", actions=("ReceiveMessage", "*"))
    assert await policy(sqs, url) == {
        "Version": "2008-10-17",
        "Id": f"{ARN}/SQSDefaultPolicy",
        "Statement": [statement("both", [one, two], ["SQS:ReceiveMessage", "SQS:*"])],
    }
    await add(sqs, url, "single", "111122223333")
    assert (await policy(sqs, url))["Statement"][1] == statement("single", one)
    await sqs("RemovePermission", QueueUrl=url, Label="both")
    assert (await policy(sqs, url))["Statement"] == [statement("single", one)]
    await sqs("RemovePermission", QueueUrl=url, Label="single")
    assert await policy(sqs, url) is None


async def test_a_permission_joins_a_policy_that_was_set(sqs: SqsClient) -> None:
    mine = {"Version": "2012-10-17", "Statement": {"Sid": "mine", "Effect": "Deny", "Principal": "*"}}
    url = await sqs.create("q", Policy=json.dumps(mine))
    await add(sqs, url, "theirs", "111122223333")
    told = await policy(sqs, url)
    assert told["Version"] == "2012-10-17"
    assert [each["Sid"] for each in told["Statement"]] == ["mine", "theirs"]


async def test_labels_are_used_once_and_removed_once(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    await add(sqs, url, "label", "111122223333")
    with pytest.raises(Failed) as failed:
        await add(sqs, url, "label", "444455556666")
    assert failed.value.code == "InvalidParameterValue"
    assert failed.value.message == "Value label for parameter Label is invalid. Reason: Already exists."
    with pytest.raises(Failed) as failed:
        await sqs("RemovePermission", QueueUrl=url, Label="other")
    assert failed.value.message == "Value other for parameter Label is invalid. Reason: can't find label."


async def test_what_a_permission_cannot_be(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for label, accounts, actions, code in (
        ("a b", ["111122223333"], ["*"], "InvalidParameterValue"),
        ("a" * 81, ["111122223333"], ["*"], "InvalidParameterValue"),
        ("", ["111122223333"], ["*"], "MissingParameter"),
        ("l", ["1"], ["*"], "InvalidParameterValue"),
        ("l", [], ["*"], "MissingParameter"),
        ("l", ["111122223333"], [], "MissingParameter"),
        ("l", ["111122223333"], ["CreateQueue"], "InvalidParameterValue"),
        ("l", ["111122223333"], ["Nonsense"], "InvalidParameterValue"),
        ("l", ["111122223333"], ["SendMessage"] * 8, "OverLimit"),
    ):
        with pytest.raises(Failed) as failed:
            await sqs("AddPermission", QueueUrl=url, Label=label, AWSAccountIds=accounts, Actions=actions)
        assert failed.value.code == code
    assert await policy(sqs, url) is None
