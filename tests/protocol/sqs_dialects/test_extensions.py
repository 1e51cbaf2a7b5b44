"""Penstock's own message attributes, reachable through the same SDK calls."""

import pytest

from tests.protocol.sqs_dialects.client import Failed, SqsClient


def number(value: object) -> dict[str, str]:
    return {"DataType": "Number", "StringValue": str(value)}


async def test_a_message_may_be_delayed_beyond_a_quarter_of_an_hour(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    await sqs.send(url, MessageAttributes={"Penstock.DelaySeconds": number(86_400)})
    sqs.clock.advance(86_399)
    assert await sqs.receive(url) == []
    sqs.clock.advance(1)
    message = await sqs.one(url, MessageAttributeNames=["All"])
    assert message["MessageAttributes"] == {"Penstock.DelaySeconds": number(86_400)}


async def test_a_message_may_say_when_it_is_to_be_delivered(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo", ContentBasedDeduplication="true")
    at = sqs.clock.now_ms() + 5000
    await sqs.send(url, MessageGroupId="g", MessageAttributes={"Penstock.DeliverAt": number(at)})
    assert await sqs.receive(url) == []
    sqs.clock.advance(5)
    assert len(await sqs.receive(url)) == 1


async def test_a_message_may_have_a_priority(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for priority in (0, 9, 5):
        await sqs.send(url, str(priority), MessageAttributes={"Penstock.Priority": number(priority)})
    assert [message["Body"] for message in await sqs.receive(url)] == ["9", "5", "0"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Penstock.Priority", number(10)),
        ("Penstock.Priority", number(-1)),
        ("Penstock.Priority", {"DataType": "String", "StringValue": "5"}),
        ("Penstock.DelaySeconds", number("1e30")),
        ("Penstock.DeliverAt", number(-5)),
        ("Penstock.DeliverAt", {"DataType": "Binary", "BinaryValue": b"5"}),
    ],
    ids=str,
)
async def test_values_out_of_range_are_refused(sqs: SqsClient, name: str, value: dict[str, object]) -> None:
    url = await sqs.create("q")
    with pytest.raises(Failed, match="InvalidParameterValue"):
        await sqs.send(url, MessageAttributes={name: value})
