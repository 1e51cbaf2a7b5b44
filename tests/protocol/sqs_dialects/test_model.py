"""A walk over botocore's model: every action with valid, missing, wrong-typed and out-of-range parameters.

Every error must be one that the model names for the action, or one that the API reference names for all of them.
"""

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore
import pytest

from penstock.broker.local import LocalBroker
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from penstock.wire.sqs import results
from penstock.wire.sqs.actions import ACTIONS
from penstock.wire.sqs.model import Shape
from tests.protocol.sqs_dialects.client import PROTOCOLS, Failed, Impatient, SqsClient
from tests.protocol.support import Driver

COMMON = {
    "InvalidParameterValueException",
    "MissingRequiredParameterException",
    "SerializationException",
    "InvalidParameterValue",
    "MissingParameter",
}
"""Of all actions: API reference, "Common errors", and what Coral says of JSON it cannot read."""

# measured on AWS, though the model does not name them for these actions (developer guide)
MEASURED = {
    "ChangeMessageVisibility": {"ReceiptHandleIsInvalid"},
    "ReceiveMessage": {"OverLimit"},
}
SCALARS = ("", "x" * 3000, "-1", "0", "99999999999", "ä ", "\x01", "http://x/y", "{}", "null")
WRONG = (5, 5.5, True, [], {}, [5], {"a": 5}, "text", None)


@cache
def model() -> Any:
    folder = Path(botocore.__file__).parent / "data/sqs/2012-11-05"
    return json.loads(gzip.decompress((folder / "service-2.json.gz").read_bytes()))


def members(action: str) -> dict[str, Any]:
    """Return the shape of each member of an action's input."""
    shapes = model()["shapes"]
    given = shapes[model()["operations"][action]["input"]["shape"]]["members"]
    return {name: shapes[member["shape"]] for name, member in given.items()}


def names_of_errors(action: str) -> set[str]:
    """Return both names of every error an action may answer."""
    named = {each["shape"] for each in model()["operations"][action].get("errors", ())} | MEASURED.get(action, set())
    codes = {"QueueNameExists": "QueueAlreadyExists", "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue"}
    return COMMON | named | {codes.get(name, f"AWS.SimpleQueueService.{name}") for name in named}


@pytest.fixture(params=PROTOCOLS)
async def sqs(request: pytest.FixtureRequest) -> SqsClient:
    store, clock = MemoryStore(), ManualClock()
    sqs = SqsClient(request.param, LocalBroker(store, clock), store, clock)
    sqs.driver = Driver(sqs.dialect, Impatient(sqs.broker))
    return sqs


async def valid(sqs: SqsClient) -> dict[str, dict[str, Any]]:
    """Return parameters with which each action succeeds, in an order in which they do."""
    dlq = await sqs.create("dlq")
    arn = await sqs.arn(dlq)
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    url = await sqs.create("q", RedrivePolicy=redrive)
    for _ in range(5):
        await sqs.send(url)
    handles = [message["ReceiptHandle"] for message in await sqs.receive(url)]
    value = {"DataType": "String", "StringValue": "x"}
    at = {"QueueUrl": url}
    return {
        "CreateQueue": {"QueueName": "new", "Attributes": {"DelaySeconds": "1"}, "tags": {"a": "b"}},
        "GetQueueUrl": {"QueueName": "q", "QueueOwnerAWSAccountId": "000000000000"},
        "ListQueues": {"QueueNamePrefix": "", "MaxResults": 1, "NextToken": "YQ=="},
        "GetQueueAttributes": {**at, "AttributeNames": ["All"]},
        "SetQueueAttributes": {**at, "Attributes": {"VisibilityTimeout": "5"}},
        "TagQueue": {**at, "Tags": {"a": "b"}},
        "ListQueueTags": at,
        "UntagQueue": {**at, "TagKeys": ["a"]},
        "AddPermission": {**at, "Label": "l", "AWSAccountIds": ["111122223333"], "Actions": ["*"]},
        "RemovePermission": {**at, "Label": "l"},
        "SendMessage": {
            **at,
            "MessageBody": "x",
            "DelaySeconds": 1,
            "MessageGroupId": "g",
            "MessageAttributes": {"a": value},
            "MessageSystemAttributes": {"AWSTraceHeader": value},
        },
        "SendMessageBatch": {**at, "Entries": [{"Id": "1", "MessageBody": "x"}]},
        "ReceiveMessage": {
            **at,
            "AttributeNames": ["All"],
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
            "MaxNumberOfMessages": 1,
            "VisibilityTimeout": 1,
            "WaitTimeSeconds": 0,
        },
        "ChangeMessageVisibility": {**at, "ReceiptHandle": handles[0], "VisibilityTimeout": 1},
        "ChangeMessageVisibilityBatch": {
            **at,
            "Entries": [{"Id": "1", "ReceiptHandle": handles[1], "VisibilityTimeout": 1}],
        },
        "DeleteMessage": {**at, "ReceiptHandle": handles[2]},
        "DeleteMessageBatch": {**at, "Entries": [{"Id": "1", "ReceiptHandle": handles[3]}]},
        "ListDeadLetterSourceQueues": {"QueueUrl": dlq, "MaxResults": 5, "NextToken": "YQ=="},
        "StartMessageMoveTask": {"SourceArn": arn, "MaxNumberOfMessagesPerSecond": 1},
        "ListMessageMoveTasks": {"SourceArn": arn, "MaxResults": 1},
        "CancelMessageMoveTask": {},
        "PurgeQueue": at,
        "DeleteQueue": at,
    }


def variations(action: str, parameters: dict[str, Any], *, with_wrong_types: bool) -> Iterator[dict[str, Any]]:
    """Yield parameters with one of them missing, out of range or of a wrong type."""
    for name, shape in members(action).items():
        yield {key: value for key, value in parameters.items() if key != name}
        if shape["type"] in ("string", "integer", "long"):
            texts: tuple[Any, ...] = SCALARS
            if shape["type"] != "string" and with_wrong_types:
                texts = (-1, 0, 1001, 1 << 40, 1 << 70)
            yield from ({**parameters, name: text} for text in texts)
        elif shape["type"] == "map":
            yield from ({**parameters, name: {text: text}} for text in SCALARS if not with_wrong_types or text)
        else:
            yield from ({**parameters, name: [text] * count} for text in SCALARS for count in (1, 11))
        if with_wrong_types:
            yield from ({**parameters, name: wrong} for wrong in WRONG)


def test_every_action_of_the_model_is_there_with_its_members() -> None:
    assert set(ACTIONS) == set(model()["operations"])
    for action in ACTIONS.values():
        assert _encoded_names(action.request) == set(members(action.name)), action.name


def test_results_have_the_members_of_the_model() -> None:
    shapes = model()["shapes"]
    for name, kind in vars(results).items():
        if name in shapes and isinstance(kind, type) and issubclass(kind, Shape):
            expected = set(shapes[name]["members"]) - {"StringListValues", "BinaryListValues"}
            assert expected <= _encoded_names(kind), name


def _encoded_names(kind: type[Shape]) -> set[str]:
    return set(kind.__struct_encode_fields__)


async def test_valid_parameters_succeed(sqs: SqsClient) -> None:
    task: dict[str, Any] = {}
    for action, parameters in (await valid(sqs)).items():
        answer = await sqs(action, **(task if action == "CancelMessageMoveTask" else parameters))
        shape = model()["operations"][action].get("output", {}).get("shape")
        allowed = set(model()["shapes"][shape]["members"]) if shape else set()
        assert set(answer) <= allowed
        if action == "StartMessageMoveTask":
            task = answer


@pytest.mark.parametrize("action", sorted(ACTIONS))
async def test_every_error_is_one_that_the_model_names(sqs: SqsClient, action: str) -> None:
    parameters = (await valid(sqs))[action]
    named = names_of_errors(action)
    for varied in variations(action, parameters, with_wrong_types=sqs.protocol == "json"):
        failed = await sqs.failure(action, **varied)
        if failed is not None:
            assert {failed.shape, failed.code} <= named, (failed, varied)
            assert (failed.fault, failed.status // 100) == ("Sender", 4)
            assert failed.message


async def test_missing_required_parameters_are_missing_parameters(sqs: SqsClient) -> None:
    given = await valid(sqs)
    shapes = model()["shapes"]
    for action, operation in model()["operations"].items():
        for name in shapes[operation["input"]["shape"]].get("required", ()):
            left = {key: value for key, value in given[action].items() if key != name}
            with pytest.raises(Failed) as failed:
                await sqs(action, **left)
            expected = "AWS.SimpleQueueService.EmptyBatchRequest" if name == "Entries" else "MissingParameter"
            assert failed.value.code == expected, (action, name)
