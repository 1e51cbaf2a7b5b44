"""ReceiveMessage: as measured on AWS; limits; long polls."""

import asyncio
from typing import Any

import pytest

from penstock.core.operations import DescribeQueue, UpdateQueue
from penstock.core.queues import QueueChanges
from tests.protocol.sqs_dialects.client import Failed, SqsClient

ALL = {"Help.Me": "Me", "Hello": "There", "General": "Kenobi"}


async def test_an_empty_answer_has_no_messages(sqs: SqsClient) -> None:
    assert await sqs("ReceiveMessage", QueueUrl=await sqs.create("q")) == {}


@pytest.mark.parametrize(
    ("parameter", "value", "reason"),
    [
        ("MaxNumberOfMessages", 0, "Must be between 1 and 10, if provided."),
        ("MaxNumberOfMessages", 11, "Must be between 1 and 10, if provided."),
        ("WaitTimeSeconds", -1, "Must be >= 0 and <= 20, if provided."),
        ("WaitTimeSeconds", 21, "Must be >= 0 and <= 20, if provided."),
        ("VisibilityTimeout", -1, "Must be >= 0 and <= 43200, if provided."),
        ("VisibilityTimeout", 43_201, "Must be >= 0 and <= 43200, if provided."),
    ],
)
async def test_numbers_have_a_range(sqs: SqsClient, parameter: str, value: int, reason: str) -> None:
    url = await sqs.create("q")
    with pytest.raises(Failed) as failed:
        await sqs("ReceiveMessage", QueueUrl=url, **{parameter: value})
    assert failed.value.code == "InvalidParameterValue"
    assert failed.value.message == f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"


async def test_one_message_is_received_unless_more_are_asked_for(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for number in range(12):
        await sqs.send(url, str(number))
    assert len((await sqs("ReceiveMessage", QueueUrl=url))["Messages"]) == 1
    assert [message["Body"] for message in await sqs.receive(url, 10)] == [str(number) for number in range(1, 11)]


async def test_system_attributes_are_told_when_asked_for_under_either_name(sqs: SqsClient) -> None:
    url = await sqs.create("q", VisibilityTimeout="0")
    await sqs.send(url)
    sqs.clock.advance(1.5)
    told = {
        "SenderId": "000000000000",
        "SentTimestamp": "1700000000000",
        "ApproximateFirstReceiveTimestamp": "1700000001501",
    }
    assert (await sqs.one(url, AttributeNames=["All"]))["Attributes"] == {**told, "ApproximateReceiveCount": "1"}
    sqs.clock.advance(1)
    for number, (old, new) in enumerate([(["All"], ["All"]), (["SenderId"], ["All"]), ([], ["ALL"])], 2):
        message = await sqs.one(url, AttributeNames=old, MessageSystemAttributeNames=new)
        assert message["Attributes"] == {**told, "ApproximateReceiveCount": str(number)}
    message = await sqs.one(url, MessageSystemAttributeNames=["SenderId", "SequenceNumber", "Unknown"])
    assert message["Attributes"] == {"SenderId": "000000000000"}
    assert "Attributes" not in await sqs.one(url)
    assert "Attributes" not in await sqs.one(url, AttributeNames=["Policy"])


@pytest.mark.parametrize(
    ("names", "shown", "md5"),
    [
        (["All"], ALL, "4c360f3fdafd970e05fae2f149d997f5"),
        (["*"], ALL, "4c360f3fdafd970e05fae2f149d997f5"),
        ([".*"], ALL, "4c360f3fdafd970e05fae2f149d997f5"),
        (["Hello", "General"], ["Hello", "General"], "fca026605781cb4126a1e9044df24232"),
        (["Foo", "Hello"], ["Hello"], "a311262e065454b75da111d535b8dacd"),
        (["Hel.*"], ["Hello", "Help.Me"], "83fee93c1bcd8b9a5a923ffacdc636c7"),
        ([], [], None),
        (["Foo", "Help"], [], None),
        (["AWS."], [], None),
        (["..foo"], [], None),
    ],
    ids=str,
)
async def test_message_attributes_are_chosen_by_name_and_prefix(
    sqs: SqsClient, names: list[str], shown: Any, md5: str | None
) -> None:
    url = await sqs.create("q")
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in ALL.items()}
    await sqs.send(url, "msg", MessageAttributes=attributes)
    message = await sqs.one(url, MessageAttributeNames=names)
    assert message.get("MessageAttributes") == ({name: attributes[name] for name in shown} or None)
    assert message.get("MD5OfMessageAttributes") == md5


async def test_a_long_poll_ends_with_a_message(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    polling = asyncio.create_task(sqs.receive(url, WaitTimeSeconds=20))
    await sqs.until_polling()
    await sqs.send(url)
    assert len(await polling) == 1


async def test_a_long_poll_ends_with_nothing_when_its_time_is_over(sqs: SqsClient) -> None:
    url = await sqs.create("q", ReceiveMessageWaitTimeSeconds="5")
    polling = asyncio.create_task(sqs("ReceiveMessage", QueueUrl=url))
    await sqs.until_polling()
    sqs.clock.advance(5)
    assert await polling == {}


async def test_over_the_limit_a_short_poll_is_refused_and_a_long_one_empty(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    await sqs.broker.perform(UpdateQueue("q", QueueChanges(max_in_flight=1)))
    for _ in range(2):
        await sqs.send(url)
    await sqs.receive(url, 1)
    for short in ({}, {"WaitTimeSeconds": 0}):
        with pytest.raises(Failed) as failed:
            await sqs("ReceiveMessage", QueueUrl=url, **short)
        assert (failed.value.code, failed.value.status) == ("OverLimit", 403)
    polling = asyncio.create_task(sqs("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=5))
    await sqs.until_polling()
    sqs.clock.advance(5)
    assert await polling == {}


async def test_strict_queues_hold_120000_leases_and_relaxed_ones_any_number(sqs: SqsClient) -> None:
    await sqs.create("strict")
    await sqs.like(limits="relaxed").create("relaxed")
    for name, limit in (("strict", 120_000), ("relaxed", None)):
        assert (await sqs.broker.perform(DescribeQueue(name))).queue.settings.max_in_flight == limit


async def test_a_header_of_other_local_servers_asks_for_more_than_ten(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for _ in range(20):
        await sqs.send(url)
    answer = await sqs("ReceiveMessage", {"x-localstack-sqs-override-message-count": "20"}, QueueUrl=url)
    assert len(answer["Messages"]) == 20


@pytest.mark.parametrize("visibility", [{}, {"VisibilityTimeout": 600}])
async def test_a_header_of_other_local_servers_waits_until_all_have_come(
    sqs: SqsClient, visibility: dict[str, int]
) -> None:
    url = await sqs.create("q")
    header = {"x-localstack-sqs-override-wait-time-seconds": "30"}

    def start(count: int) -> asyncio.Task[Any]:
        return asyncio.create_task(sqs("ReceiveMessage", header, QueueUrl=url, MaxNumberOfMessages=count, **visibility))

    await sqs.send(url)
    await sqs.send(url)
    polling = start(4)
    for _ in range(2):
        await sqs.until_polling()
        sqs.clock.advance(10)
        await sqs.send(url)
    assert len((await polling)["Messages"]) == 4
    await sqs.like(limits="relaxed")("PurgeQueue", QueueUrl=url)
    await sqs.send(url)
    polling = start(2)
    await sqs.until_polling()
    sqs.clock.advance(30)
    assert len((await polling)["Messages"]) == 1
    await sqs.like(limits="relaxed")("PurgeQueue", QueueUrl=url)
    polling = start(2)
    await sqs.until_polling()
    sqs.clock.advance(30)
    assert await polling == {}


@pytest.mark.parametrize("value", ["0", "1001", "-1", "many", ""])
async def test_such_a_header_out_of_range_is_refused(sqs: SqsClient, value: str) -> None:
    await sqs.create("q")
    with pytest.raises(Failed, match="InvalidParameterValue"):
        await sqs("ReceiveMessage", {"x-localstack-sqs-override-message-count": value}, QueueUrl="q")


async def test_retention_ends_messages_even_in_flight(sqs: SqsClient) -> None:
    url = await sqs.create("q", MessageRetentionPeriod="60", VisibilityTimeout="50")
    await sqs.send(url, "held")
    await sqs.send(url, "waiting")
    sqs.clock.advance(20)
    handle = (await sqs.receive(url, 1))[0]["ReceiptHandle"]
    sqs.clock.advance(60)
    assert await sqs.receive(url) == []
    await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=handle)


async def test_relaxed_limits_allow_longer_long_polls(sqs: SqsClient) -> None:
    relaxed = sqs.like(limits="relaxed")
    url = await relaxed.create("q", ReceiveMessageWaitTimeSeconds="21")
    polls = [
        asyncio.create_task(relaxed("ReceiveMessage", QueueUrl=url, **wait)) for wait in ({}, {"WaitTimeSeconds": 600})
    ]
    await sqs.until_polling(2)
    sqs.clock.advance(21)
    assert await polls[0] == {}
    await sqs.until_polling(1)
    sqs.clock.advance(579)
    assert await polls[1] == {}
    with pytest.raises(Failed, match="WaitTimeSeconds is invalid"):
        await sqs("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=21)
    with pytest.raises(Failed, match="MaxNumberOfMessages is invalid"):
        await relaxed("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=11)
