"""SendMessageBatch, DeleteMessageBatch, ChangeMessageVisibilityBatch: as measured on AWS."""

from typing import Any

import pytest

from tests.protocol.sqs_dialects.client import Failed, SqsClient

PREFIX = "AWS.SimpleQueueService."
BATCHES = ("SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")


def entries(action: str, *ids: str) -> list[dict[str, Any]]:
    rest: dict[str, Any] = {"ReceiptHandle": "x"}
    if action == "SendMessageBatch":
        rest = {"MessageBody": "x"}
    elif action == "ChangeMessageVisibilityBatch":
        rest["VisibilityTimeout"] = 1
    return [{"Id": each, **rest} for each in ids]


async def send(sqs: SqsClient, url: str, *messages: dict[str, Any]) -> Any:
    return await sqs("SendMessageBatch", QueueUrl=url, Entries=[{"MessageBody": "x", **each} for each in messages])


@pytest.mark.parametrize("action", BATCHES)
async def test_a_batch_has_one_to_ten_entries(sqs: SqsClient, action: str) -> None:
    url = await sqs.create("q")
    with pytest.raises(Failed) as failed:
        await sqs(action, QueueUrl=url, Entries=entries(action, *(str(number) for number in range(20))))
    assert failed.value.code == PREFIX + "TooManyEntriesInBatchRequest"
    assert failed.value.message == "Maximum number of entries per request are 10. You have sent 20."
    for nothing in ({}, {"Entries": []}):
        with pytest.raises(Failed) as failed:
            await sqs(action, QueueUrl=url, **nothing)
        assert (failed.value.code, failed.value.status) == (PREFIX + "EmptyBatchRequest", 400)


@pytest.mark.parametrize("action", BATCHES)
async def test_ids_are_short_plain_and_distinct(sqs: SqsClient, action: str) -> None:
    url = await sqs.create("q")
    for bad in ("", "a" * 81, "invalid:id", "a b", "ä"):
        with pytest.raises(Failed) as failed:
            await sqs(action, QueueUrl=url, Entries=entries(action, bad))
        assert failed.value.code == PREFIX + "InvalidBatchEntryId"
        assert failed.value.message == (
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            "It can be at most 80 letters long."
        )
    with pytest.raises(Failed) as failed:
        await sqs(action, QueueUrl=url, Entries=entries(action, "a", "b", "a"))
    assert (failed.value.code, failed.value.message) == (PREFIX + "BatchEntryIdsNotDistinct", "Id a repeated.")
    assert await sqs.counts(url) == (0, 0, 0)


async def test_a_batch_answers_each_entry_in_order(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    attributes = {"k": {"DataType": "String", "StringValue": "x"}}
    answer = await send(sqs, url, {"Id": "1", "MessageBody": "a", "MessageAttributes": attributes}, {"Id": "two"})
    assert list(answer) == ["Successful"]
    first, second = answer["Successful"]
    assert (first["Id"], second["Id"]) == ("1", "two")
    assert first["MD5OfMessageAttributes"] == "a45daa70926828a2f0a1db3418e6feb4"
    assert set(second) == {"Id", "MessageId", "MD5OfMessageBody"}
    received = await sqs.receive(url)
    assert [message["MessageId"] for message in received] == [first["MessageId"], second["MessageId"]]


async def test_bad_characters_and_sizes_fail_their_entry_alone(sqs: SqsClient) -> None:
    url = await sqs.create("q", MaximumMessageSize="1024")
    answer = await send(
        sqs,
        url,
        {"Id": "1", "MessageBody": "\x01"},
        {"Id": "2", "MessageBody": "a" * 1025},
        {"Id": "3", "MessageBody": "a" * 1024},
        {"Id": "4", "MessageAttributes": {"a": {"DataType": "String", "StringValue": ""}}},
        {"Id": "5", "DelaySeconds": 901},
        {"Id": "6", "MessageGroupId": "a b"},
        {"Id": "7", "MessageDeduplicationId": "d"},
    )
    assert [entry["Id"] for entry in answer["Successful"]] == ["3"]
    codes = {entry["Id"]: (entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]}
    assert codes == {
        "1": ("InvalidMessageContents", True),
        **dict.fromkeys(("2", "4", "5", "6", "7"), ("InvalidParameterValue", True)),
    }
    words = {entry["Id"]: entry["Message"] for entry in answer["Failed"]}
    assert words["2"] == "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes."
    assert words["7"] == "The request include parameter that is not valid for this queue type"


async def test_a_batch_in_which_all_fail_has_no_successful(sqs: SqsClient) -> None:
    answer = await send(sqs, await sqs.create("q"), {"Id": "1", "MessageBody": "\x01"})
    assert list(answer) == ["Failed"]


async def test_a_batch_as_a_whole_is_at_most_a_mebibyte(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    attribute = {"k": {"DataType": "String", "StringValue": "x"}}
    size = len("k") + len("String") + len("x")
    first = {"Id": "1", "MessageBody": "a" * (1_048_576 - size), "MessageAttributes": attribute}
    with pytest.raises(Failed) as failed:
        await send(sqs, url, first, {"Id": "2", "MessageBody": "a"})
    assert failed.value.code == PREFIX + "BatchRequestTooLong"
    assert failed.value.message == "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes."
    assert await sqs.counts(url) == (0, 0, 0)
    small = await sqs.create("small", MaximumMessageSize="2048")
    assert (
        len((await send(sqs, small, *({"Id": each, "MessageBody": "a" * 2048} for each in "abc")))["Successful"]) == 3
    )


async def test_a_missing_group_or_deduplication_id_fails_the_whole_fifo_batch(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo")
    good = {"Id": "1", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    with pytest.raises(Failed) as failed:
        await send(sqs, url, good, {"Id": "2", "MessageDeduplicationId": "e"})
    assert failed.value.code == "InvalidParameterValue"
    assert failed.value.message == "The request must contain the parameter MessageGroupId."
    for batch in ((good, {"Id": "2", "MessageGroupId": "g"}), ({"Id": "2", "MessageGroupId": "g"},)):
        with pytest.raises(Failed) as failed:
            await send(sqs, url, *batch)
        assert failed.value.code == "InvalidParameterValue"
        assert failed.value.message == (
            "The queue should either have ContentBasedDeduplication enabled "
            "or MessageDeduplicationId provided explicitly"
        )
    assert await sqs.counts(url) == (0, 0, 0)
    await sqs("SetQueueAttributes", QueueUrl=url, Attributes={"ContentBasedDeduplication": "true"})
    answer = await send(sqs, url, good, {"Id": "2", "MessageGroupId": "g", "MessageBody": "other"})
    first, second = answer["Successful"]
    assert int(first["SequenceNumber"]) < int(second["SequenceNumber"])


async def test_an_entry_without_a_body_fails_the_request(sqs: SqsClient) -> None:
    with pytest.raises(Failed) as failed:
        await send(sqs, await sqs.create("q"), {"Id": "1"}, {"Id": "2", "MessageBody": ""})
    assert (failed.value.code, failed.value.message) == (
        "MissingParameter",
        "The request must contain the parameter SendMessageBatchRequestEntry.2.MessageBody.",
    )


async def test_deletes_and_changes_answer_each_entry(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    await send(sqs, url, *({"Id": each} for each in "abc"))
    handles = [message["ReceiptHandle"] for message in await sqs.receive(url)]
    answer = await sqs(
        "ChangeMessageVisibilityBatch",
        QueueUrl=url,
        Entries=[
            {"Id": "1", "ReceiptHandle": handles[0], "VisibilityTimeout": 0},
            {"Id": "2", "ReceiptHandle": "garbage", "VisibilityTimeout": 5},
            {"Id": "3", "ReceiptHandle": handles[1], "VisibilityTimeout": 43_201},
        ],
    )
    assert answer["Successful"] == [{"Id": "1"}]
    assert {entry["Id"]: entry["Code"] for entry in answer["Failed"]} == {
        "2": "ReceiptHandleIsInvalid",
        "3": "InvalidParameterValue",
    }
    assert await sqs.counts(url) == (1, 2, 0)
    answer = await sqs(
        "DeleteMessageBatch",
        QueueUrl=url,
        Entries=[
            {"Id": "1", "ReceiptHandle": handles[1]},
            {"Id": "2", "ReceiptHandle": "garbage"},
            {"Id": "3", "ReceiptHandle": handles[2]},
        ],
    )
    assert answer["Successful"] == [{"Id": "1"}, {"Id": "3"}]
    (failed,) = answer["Failed"]
    assert failed == {
        "Id": "2",
        "SenderFault": True,
        "Code": "ReceiptHandleIsInvalid",
        "Message": 'The input receipt handle "garbage" is not a valid receipt handle.',
    }
    again = await sqs("DeleteMessageBatch", QueueUrl=url, Entries=[{"Id": "1", "ReceiptHandle": handles[1]}])
    assert again == {"Successful": [{"Id": "1"}]}


async def test_changes_that_are_all_out_of_range_fail_one_by_one(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    await sqs.send(url)
    handle = (await sqs.one(url))["ReceiptHandle"]
    entry = {"Id": "1", "ReceiptHandle": handle, "VisibilityTimeout": -1}
    answer = await sqs("ChangeMessageVisibilityBatch", QueueUrl=url, Entries=[entry])
    assert [each["Code"] for each in answer["Failed"]] == ["InvalidParameterValue"]


async def test_a_fifo_batch_asks_for_the_queue_only_where_entries_differ(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo", ContentBasedDeduplication="true")
    asked: list[str] = []
    perform = sqs.broker.perform

    async def noted(operation: Any) -> Any:
        asked.append(type(operation).__name__)
        return await perform(operation)

    sqs.broker.perform = noted  # type: ignore[method-assign]
    grouped = [{"Id": each, "MessageGroupId": "g", "MessageBody": each} for each in "abc"]
    with_ids = [{**each, "MessageDeduplicationId": str(each["Id"])} for each in grouped]
    for batch, operations in (
        (grouped, ["Send"]),
        (with_ids, ["Send"]),
        ((with_ids[0], grouped[1]), ["DescribeQueue", "Send"]),
    ):
        asked.clear()
        assert len((await send(sqs, url, *batch))["Successful"]) == len(batch)
        assert asked == operations


async def test_a_fifo_batch_without_ids_fails_as_a_whole_whatever_else_is_wrong(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo", MaximumMessageSize="1024")
    good = {"Id": "1", "MessageGroupId": "g"}
    large = {"Id": "2", "MessageGroupId": "g", "MessageBody": "x" * 1025}
    illegal = {"Id": "3", "MessageGroupId": "g", "MessageBody": "\x01"}
    for batch in ((good, large), (large,), (good, illegal), (large, illegal)):
        with pytest.raises(Failed) as failed:
            await send(sqs, url, *batch)
        assert failed.value.code == "InvalidParameterValue"
        assert failed.value.message.startswith("The queue should either have ContentBasedDeduplication enabled")
    assert await sqs.counts(url) == (0, 0, 0)
    await sqs("SetQueueAttributes", QueueUrl=url, Attributes={"ContentBasedDeduplication": "true"})
    answer = await send(sqs, url, large, illegal)
    assert [entry["Id"] for entry in answer["Failed"]] == ["2", "3"]
