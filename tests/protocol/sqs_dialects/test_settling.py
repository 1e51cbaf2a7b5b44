"""DeleteMessage and ChangeMessageVisibility: as measured on AWS; what old receipt handles still do."""

import pytest

from tests.protocol.sqs_dialects.client import Failed, SqsClient


async def change(sqs: SqsClient, url: str, handle: str, seconds: int) -> None:
    await sqs("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds)


async def delete(sqs: SqsClient, url: str, handle: str) -> None:
    assert await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=handle) == {}


async def held(sqs: SqsClient, **attributes: str) -> tuple[str, str]:
    """Return a queue and the handle of its one message."""
    url = await sqs.create("q", **attributes)
    await sqs.send(url)
    return url, (await sqs.one(url))["ReceiptHandle"]


async def test_a_deleted_message_is_gone_and_may_be_deleted_again(sqs: SqsClient) -> None:
    url, handle = await held(sqs)
    for _ in range(3):
        await delete(sqs, url, handle)
    assert await sqs.counts(url) == (0, 0, 0)


async def test_an_expired_handle_of_a_standard_queue_still_deletes(sqs: SqsClient) -> None:
    url, handle = await held(sqs, VisibilityTimeout="1")
    sqs.clock.advance(2)
    await delete(sqs, url, handle)
    assert await sqs.counts(url) == (0, 0, 0)


async def test_an_expired_handle_of_a_standard_queue_still_changes_visibility(sqs: SqsClient) -> None:
    url, handle = await held(sqs, VisibilityTimeout="1")
    sqs.clock.advance(2)
    await change(sqs, url, handle, 10)
    assert await sqs.counts(url) == (0, 1, 0)


async def test_an_older_handle_changes_the_visibility_of_a_later_delivery_but_does_not_delete_it(
    sqs: SqsClient,
) -> None:
    url = await sqs.create("q")
    await sqs.send(url)
    first = (await sqs.one(url, VisibilityTimeout=0))["ReceiptHandle"]
    second = (await sqs.one(url, VisibilityTimeout=30))["ReceiptHandle"]
    assert first != second
    await delete(sqs, url, first)
    assert await sqs.counts(url) == (0, 1, 0)
    await change(sqs, url, first, 0)
    assert await sqs.counts(url) == (1, 0, 0)
    await delete(sqs, url, second)
    assert await sqs.counts(url) == (0, 0, 0)


async def test_visibility_is_extended_and_given_back(sqs: SqsClient) -> None:
    url, handle = await held(sqs, VisibilityTimeout="2")
    for _ in range(4):
        sqs.clock.advance(1)
        await change(sqs, url, handle, 2)
        assert await sqs.receive(url) == []
    await change(sqs, url, handle, 0)
    assert len(await sqs.receive(url)) == 1
    assert await sqs.receive(url) == []


async def test_a_change_of_a_deleted_message_is_refused(sqs: SqsClient) -> None:
    url, handle = await held(sqs)
    await delete(sqs, url, handle)
    with pytest.raises(Failed) as failed:
        await change(sqs, url, handle, 42)
    assert failed.value.code == "InvalidParameterValue"
    assert failed.value.message == (
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available "
        "for visibility timeout change."
    )


async def test_garbage_is_no_receipt_handle(sqs: SqsClient) -> None:
    url, handle = await held(sqs)
    other = await sqs.create("other")
    for where, garbage in ((url, "garbage"), (url, handle[:20]), (other, handle)):
        with pytest.raises(Failed) as failed:
            await delete(sqs, where, garbage)
        assert failed.value.code == "ReceiptHandleIsInvalid"
        assert failed.value.message == f'The input receipt handle "{garbage}" is not a valid receipt handle.'
        with pytest.raises(Failed, match="ReceiptHandleIsInvalid"):
            await change(sqs, where, garbage, 5)


@pytest.mark.parametrize("seconds", [-1, 43_201])
async def test_visibility_lasts_at_most_twelve_hours(sqs: SqsClient, seconds: int) -> None:
    url, handle = await held(sqs)
    with pytest.raises(
        Failed, match=f"InvalidParameterValue: Value {seconds} for parameter VisibilityTimeout is invalid"
    ):
        await change(sqs, url, handle, seconds)


@pytest.mark.parametrize(
    ("action", "parameters", "missing"),
    [
        ("DeleteMessage", {}, "ReceiptHandle"),
        ("ChangeMessageVisibility", {"VisibilityTimeout": 1}, "ReceiptHandle"),
        ("ChangeMessageVisibility", {"ReceiptHandle": "x"}, "VisibilityTimeout"),
        ("DeleteMessageBatch", {"Entries": [{"Id": "1"}]}, "DeleteMessageBatchRequestEntry.1.ReceiptHandle"),
        (
            "ChangeMessageVisibilityBatch",
            {"Entries": [{"Id": "1", "ReceiptHandle": "x"}]},
            "ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout",
        ),
    ],
)
async def test_what_is_missing_is_named(
    sqs: SqsClient, action: str, parameters: dict[str, object], missing: str
) -> None:
    url = await sqs.create("q")
    with pytest.raises(Failed) as failed:
        await sqs(action, QueueUrl=url, **parameters)
    assert (failed.value.code, failed.value.message) == (
        "MissingParameter",
        f"The request must contain the parameter {missing}.",
    )


async def test_a_missing_queue_url_is_named(sqs: SqsClient) -> None:
    with pytest.raises(Failed, match="MissingParameter: The request must contain the parameter QueueUrl"):
        await sqs("DeleteMessage", ReceiptHandle="x")


async def test_a_message_is_held_for_at_most_twelve_hours_after_its_receive(sqs: SqsClient) -> None:
    url, handle = await held(sqs)
    sqs.clock.advance(10)
    await change(sqs, url, handle, 43_189)
    with pytest.raises(Failed) as failed:
        await change(sqs, url, handle, 43_191)
    assert failed.value.code == "InvalidParameterValue"
    assert failed.value.message == (
        "Value 43191 for parameter VisibilityTimeout is invalid. "
        "Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
    )
    assert await sqs.counts(url) == (0, 1, 0)
    sqs.clock.advance(43_000)
    answer = await sqs(
        "ChangeMessageVisibilityBatch",
        QueueUrl=url,
        Entries=[
            {"Id": "1", "ReceiptHandle": handle, "VisibilityTimeout": 43_201},
            {"Id": "2", "ReceiptHandle": handle, "VisibilityTimeout": 191},
            {"Id": "3", "ReceiptHandle": handle, "VisibilityTimeout": 180},
        ],
    )
    assert answer["Successful"] == [{"Id": "3"}]
    first, second = answer["Failed"]
    assert first["Message"].endswith("VisibilityTimeout must be an integer between 0 and 43200.")
    assert second["Code"] == "InvalidParameterValue"
    assert second["Message"].startswith("Value 191 for parameter VisibilityTimeout")
    assert second["Message"].endswith("is beyond the limit [43200 seconds]")
    await sqs.like(limits="relaxed")(
        "ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=43_200
    )
    await change(sqs, url, handle, 0)
    assert await sqs.counts(url) == (1, 0, 0)
