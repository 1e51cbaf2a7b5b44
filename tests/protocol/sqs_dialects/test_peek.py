"""``/_aws/sqs/messages``: sees everything, changes nothing."""

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from penstock.broker.local import LocalBroker
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from penstock.wire.http import Request, Response
from penstock.wire.sqs import SqsJson, SqsPeek
from penstock.wire.sqs.peek import MOST_SHOWN_BYTES
from tests.protocol.sqs_dialects.client import ACCOUNT, HOST, REGION, REQUEST_ID, SqsClient, form
from tests.protocol.support import Driver

PATH = "/_aws/sqs/messages"


@pytest.fixture
async def sqs() -> SqsClient:
    store, clock = MemoryStore(), ManualClock()
    return SqsClient("json", LocalBroker(store, clock), store, clock)


async def ask(sqs: SqsClient, path: str = PATH, accept: str = "application/json", **parameters: str) -> Response:
    headers = {b"host": HOST.encode(), b"accept": accept.encode()}
    request = Request("GET", path, form(parameters), headers, b"", "http", ACCOUNT, REGION, REQUEST_ID)
    return await Driver(SqsPeek(), sqs.broker).ask(request)


async def peek(sqs: SqsClient, **parameters: str) -> list[Any]:
    response = await ask(sqs, **parameters)
    assert response.status == 200
    result = json.loads(response.body)["ReceiveMessageResponse"]["ReceiveMessageResult"]
    messages = result.get("Message", [])
    return messages if isinstance(messages, list) else [messages]


def attributes(message: Any) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in message["Attribute"]}


async def test_messages_are_shown_and_stay_as_they_are(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for body in "ab":
        await sqs.send(url, body, MessageAttributes={"k": {"DataType": "String", "StringValue": "x"}})
    for _ in range(2):
        first, second = await peek(sqs, QueueUrl=url)
        assert (first["Body"], second["Body"]) == ("a", "b")
        assert first["MD5OfBody"] == "0cc175b9c0f1b6a831c399e269772661"
        assert first["MessageAttribute"] == {"Name": "k", "Value": {"DataType": "String", "StringValue": "x"}} or (
            first["MessageAttribute"] == [{"Name": "k", "Value": {"DataType": "String", "StringValue": "x"}}]
        )
        told = attributes(first)
        assert told["ApproximateReceiveCount"] == "0"
        assert told["SenderId"] == ACCOUNT
        assert {"SentTimestamp", "ApproximateFirstReceiveTimestamp"} <= told.keys()
    assert await sqs.counts(url) == (2, 0, 0)


async def test_an_answer_of_large_messages_ends_early(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for _ in range(25):
        await sqs.send(url, "x" * 1_000_000)
    shown = await peek(sqs, QueueUrl=url)
    assert len(shown) == 20, "four pages of five"
    assert sum(len(each["Body"]) for each in shown) >= MOST_SHOWN_BYTES


async def test_the_default_is_xml(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    await sqs.send(url, "a<b")
    response = await ask(sqs, accept="", QueueUrl=url)
    root = ElementTree.fromstring(response.body)
    assert root.findtext("{*}ReceiveMessageResult/{*}Message/{*}Body") == "a<b"


async def test_invisible_and_delayed_messages_are_shown_where_asked(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for body, delay in (("held", 0), ("ready", 0), ("late", 10)):
        await sqs.send(url, body, DelaySeconds=delay)
    await sqs.receive(url, 1)
    assert [message["Body"] for message in await peek(sqs, QueueUrl=url)] == ["ready"]
    shown = await peek(sqs, QueueUrl=url, ShowInvisible="True", ShowDelayed="1")
    assert [(each["Body"], attributes(each)["IsVisible"], attributes(each)["IsDelayed"]) for each in shown] == [
        ("held", "false", "false"),
        ("ready", "true", "false"),
        ("late", "true", "true"),
    ]
    assert (await ask(sqs, QueueUrl=url, ShowDelayed="maybe")).status == 400


async def test_a_fifo_group_in_flight_is_hidden_as_a_whole(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo", ContentBasedDeduplication="true")
    for body, group in (("1", "a"), ("2", "a"), ("3", "b")):
        await sqs.send(url, body, MessageGroupId=group)
    await sqs.receive(url, 1)
    assert [message["Body"] for message in await peek(sqs, QueueUrl=url)] == ["3"]
    shown = await peek(sqs, QueueUrl=url, ShowInvisible="true")
    assert [attributes(each)["IsVisible"] for each in shown] == ["false", "true", "true"]


async def test_a_queue_may_be_named_in_the_path(sqs: SqsClient) -> None:
    abroad = sqs.like(region="eu-west-1")
    await abroad.send(await abroad.create("q"), "abroad")
    response = await ask(sqs, f"{PATH}/eu-west-1/000000000000/q")
    assert json.loads(response.body)["ReceiveMessageResponse"]["ReceiveMessageResult"]["Message"]["Body"] == "abroad"
    missing = await ask(sqs, f"{PATH}/us-east-1/000000000000/q")
    assert missing.status == 400
    assert json.loads(missing.body)["ErrorResponse"]["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


async def test_what_names_no_queue_is_refused(sqs: SqsClient) -> None:
    for parameters, status, code in (
        ({}, 400, "AWS.SimpleQueueService.NonExistentQueue"),
        ({"QueueUrl": "http://localhost:3000/nonsense"}, 404, "InvalidAddress"),
        ({"QueueUrl": "http://localhost:3000/000000000000/gone"}, 400, "AWS.SimpleQueueService.NonExistentQueue"),
        ({"QueueUrl": "q", "Action": "SendMessage"}, 400, "InvalidRequest"),
    ):
        response = await ask(sqs, **parameters)
        assert (response.status, json.loads(response.body)["ErrorResponse"]["Error"]["Code"]) == (status, code)


async def test_it_serves_as_the_endpoint_of_an_sdk(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    await sqs.send(url)
    await sqs.send(url)
    driver = Driver(SqsJson(), sqs.broker)

    async def call(action: str) -> Response:
        request = sqs.request(action, {"QueueUrl": url, "MaxNumberOfMessages": 1}, {})
        request.path = PATH
        return await driver.ask(request)

    answer = json.loads((await call("ReceiveMessage")).body)
    assert [message["Attributes"]["ApproximateReceiveCount"] for message in answer["Messages"]] == ["0", "0"]
    refused = await call("SendMessage")
    assert dict(refused.headers)[b"x-amzn-query-error"] == b"InvalidRequest;Sender"
    assert json.loads(refused.body)["message"] == "This endpoint only accepts ReceiveMessage calls"
