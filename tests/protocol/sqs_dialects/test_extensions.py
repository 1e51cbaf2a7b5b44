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


# -- cancel ------------------------------------------------------------------------------------------------------------


async def cancel(sqs: SqsClient, url: str, message_id: str) -> None:
    assert await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=f"Penstock.Cancel:{message_id}") == {}


async def test_a_message_that_waits_or_is_delayed_is_cancelled_by_its_id(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    waiting = (await sqs.send(url))["MessageId"]
    delayed = (await sqs.send(url, DelaySeconds=900))["MessageId"]
    for message_id in (waiting, delayed, delayed):
        await cancel(sqs, url, message_id)
    assert await sqs.counts(url) == (0, 0, 0)


async def test_a_message_whose_lease_is_over_is_cancelled_too(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    message_id = (await sqs.send(url))["MessageId"]
    await sqs.one(url, VisibilityTimeout=1)
    sqs.clock.advance(1)
    await cancel(sqs, url, message_id)
    assert await sqs.counts(url) == (0, 0, 0)


async def test_cancelling_lets_a_group_go_on(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo", ContentBasedDeduplication="true", DelaySeconds="60")
    first = (await sqs.send(url, "first", MessageGroupId="g"))["MessageId"]
    await sqs("SetQueueAttributes", QueueUrl=url, Attributes={"DelaySeconds": "0"})
    await sqs.send(url, "second", MessageGroupId="g")
    assert await sqs.receive(url) == []
    await cancel(sqs, url, first)
    assert (await sqs.one(url))["Body"] == "second"


async def test_a_message_in_flight_is_not_cancelled(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    message_id = (await sqs.send(url))["MessageId"]
    held = await sqs.one(url)
    with pytest.raises(Failed) as failed:
        await cancel(sqs, url, message_id)
    assert (failed.value.code, failed.value.status) == ("ReceiptHandleIsInvalid", 400)
    assert failed.value.message == (
        f'The input receipt handle "Penstock.Cancel:{message_id}" is not a valid receipt handle. '
        "Reason: The message is in flight."
    )
    assert await sqs.counts(url) == (0, 1, 0)
    await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=held["ReceiptHandle"])


async def test_a_message_of_another_queue_is_not_cancelled(sqs: SqsClient) -> None:
    url, other = await sqs.create("q"), await sqs.create("other")
    message_id = (await sqs.send(other))["MessageId"]
    await cancel(sqs, url, message_id)
    assert await sqs.counts(other) == (1, 0, 0)


@pytest.mark.parametrize("message_id", ["", "x", "00000000-0000-7000-8000-00000000000G"])
async def test_what_is_no_message_id_cannot_be_cancelled(sqs: SqsClient, message_id: str) -> None:
    url = await sqs.create("q")
    with pytest.raises(Failed, match=f'ReceiptHandleIsInvalid: .*"Penstock.Cancel:{message_id}"'):
        await cancel(sqs, url, message_id)


@pytest.mark.parametrize("message_id", ["x", "00000000-0000-7000-8000-000000000000"])
async def test_cancelling_in_a_queue_that_is_not_there_says_so(sqs: SqsClient, message_id: str) -> None:
    with pytest.raises(Failed, match=r"AWS\.SimpleQueueService\.NonExistentQueue"):
        await cancel(sqs, "http://localhost:3000/000000000000/missing", message_id)


async def test_a_batch_cancels_and_deletes(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for _ in range(2):
        await sqs.send(url)
    held, kept = await sqs.receive(url)
    ids = [(await sqs.send(url, DelaySeconds=delay))["MessageId"] for delay in (0, 900)]
    handles = [
        f"Penstock.Cancel:{ids[0]}",
        "garbage",
        f"Penstock.Cancel:{kept['MessageId']}",
        "Penstock.Cancel:x",
        f"Penstock.Cancel:{ids[1]}",
        held["ReceiptHandle"],
    ]
    answer = await sqs(
        "DeleteMessageBatch",
        QueueUrl=url,
        Entries=[{"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(handles)],
    )
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "4", "5"]
    assert {entry["Id"]: entry["Code"] for entry in answer["Failed"]} == dict.fromkeys("123", "ReceiptHandleIsInvalid")
    assert await sqs.counts(url) == (0, 1, 0)


async def test_a_batch_may_cancel_only(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    ids = [(await sqs.send(url))["MessageId"] for _ in range(3)]
    entries = [{"Id": str(at), "ReceiptHandle": f"Penstock.Cancel:{each}"} for at, each in enumerate(ids)]
    answer = await sqs("DeleteMessageBatch", QueueUrl=url, Entries=entries)
    assert answer == {"Successful": [{"Id": "0"}, {"Id": "1"}, {"Id": "2"}]}
    assert await sqs.counts(url) == (0, 0, 0)


# -- reschedule --------------------------------------------------------------------------------------------------------


async def reschedule(sqs: SqsClient, url: str, message_id: str, seconds: int) -> None:
    handle = f"Penstock.Reschedule:{message_id}"
    assert await sqs("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds) == {}


async def test_a_message_that_nobody_holds_is_rescheduled_by_its_id(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    waiting = (await sqs.send(url, "waiting"))["MessageId"]
    delayed = (await sqs.send(url, "delayed", DelaySeconds=900))["MessageId"]
    await reschedule(sqs, url, waiting, 30 * 86_400)
    await reschedule(sqs, url, delayed, 0)
    assert (await sqs.one(url))["Body"] == "delayed"
    assert await sqs.counts(url) == (0, 1, 1)
    await reschedule(sqs, url, waiting, 60)
    sqs.clock.advance(59.9)
    assert "waiting" not in [each["Body"] for each in await sqs.receive(url)]
    sqs.clock.advance(0.1)
    assert "waiting" in [each["Body"] for each in await sqs.receive(url)]


async def test_what_cannot_be_rescheduled_is_told(sqs: SqsClient) -> None:
    url, other = await sqs.create("q"), await sqs.create("other")
    message_id = (await sqs.send(url))["MessageId"]
    with pytest.raises(Failed, match=r"InvalidParameterValue: .*is not waiting"):
        await reschedule(sqs, other, message_id, 5)
    with pytest.raises(Failed, match=r"InvalidParameterValue: .*VisibilityTimeout"):
        await reschedule(sqs, url, message_id, -1)
    with pytest.raises(Failed, match=r'ReceiptHandleIsInvalid: .*"Penstock.Reschedule:x"'):
        await reschedule(sqs, url, "x", 5)
    for named in ("x", message_id):
        with pytest.raises(Failed, match=r"AWS\.SimpleQueueService\.NonExistentQueue"):
            await reschedule(sqs, "http://localhost:3000/000000000000/missing", named, 5)
    await sqs.one(url)
    with pytest.raises(Failed, match=r"ReceiptHandleIsInvalid: .*in flight"):
        await reschedule(sqs, url, message_id, 5)
    assert await sqs.counts(url) == (0, 1, 0)


async def test_a_batch_reschedules_and_changes_visibility(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    await sqs.send(url)
    held = await sqs.one(url)
    first, second = [(await sqs.send(url))["MessageId"] for _ in range(2)]
    changes = [
        (f"Penstock.Reschedule:{first}", 86_400),
        (held["ReceiptHandle"], 0),
        ("Penstock.Reschedule:x", 1),
        (held["ReceiptHandle"], 50_000),
        (f"Penstock.Reschedule:{second}", 50_000),
    ]
    entries = [
        {"Id": str(at), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
        for at, (handle, seconds) in enumerate(changes)
    ]
    answer = await sqs("ChangeMessageVisibilityBatch", QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "1", "4"]
    assert {entry["Id"]: entry["Code"] for entry in answer["Failed"]} == {
        "2": "ReceiptHandleIsInvalid",
        "3": "InvalidParameterValue",
    }
    assert await sqs.counts(url) == (1, 0, 2)
