"""FIFO queues and fair ones: as measured on AWS; developer guide, "How fair queues work"."""

import asyncio
from typing import Any

import pytest

from tests.protocol.sqs_dialects.client import Failed, SqsClient


async def fifo(sqs: SqsClient, *bodies: str, **attributes: str) -> str:
    """Return a queue to which ``g1-m1`` and the like were sent, each to the group its second character names."""
    url = await sqs.create("q.fifo", **{"ContentBasedDeduplication": "true", **attributes})
    for body in bodies:
        await sqs.send(url, body, MessageGroupId=f"group-{body[1]}")
    return url


async def bodies(sqs: SqsClient, url: str, count: int = 10, **parameters: Any) -> list[str]:
    return [message["Body"] for message in await sqs.receive(url, count, **parameters)]


async def delete(sqs: SqsClient, url: str, message: Any) -> None:
    await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


async def test_group_and_deduplication_id_are_required(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo")
    with pytest.raises(Failed) as failed:
        await sqs.send(url, MessageDeduplicationId="d")
    assert (failed.value.code, failed.value.message) == (
        "MissingParameter",
        "The request must contain the parameter MessageGroupId.",
    )
    with pytest.raises(Failed) as failed:
        await sqs.send(url, MessageGroupId="g")
    assert (failed.value.code, failed.value.message) == (
        "InvalidParameterValue",
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
    )


async def test_a_message_has_a_delay_only_from_its_queue(sqs: SqsClient) -> None:
    url = await fifo(sqs, DelaySeconds="2")
    with pytest.raises(Failed) as failed:
        await sqs.send(url, MessageGroupId="g", DelaySeconds=2)
    assert failed.value.message == (
        "Value 2 for parameter DelaySeconds is invalid. "
        "Reason: The request include parameter that is not valid for this queue type."
    )
    await sqs.send(url, MessageGroupId="g", DelaySeconds=0)
    assert await sqs.receive(url) == []
    sqs.clock.advance(2)
    assert len(await sqs.receive(url)) == 1


async def test_sequence_numbers_have_twenty_digits_and_grow(sqs: SqsClient) -> None:
    url = await fifo(sqs)
    sent = [await sqs.send(url, f"m{number}", MessageGroupId="g") for number in range(3)]
    numbers = [each["SequenceNumber"] for each in sent]
    assert [len(number) for number in numbers] == [20, 20, 20]
    assert sorted(numbers) == numbers
    assert len(set(numbers)) == 3
    received = await sqs.receive(url, AttributeNames=["SequenceNumber"])
    assert [message["Attributes"]["SequenceNumber"] for message in received] == numbers


async def test_all_system_attributes_are_told(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo", VisibilityTimeout="0")
    sent = await sqs.send(url, MessageGroupId="group-1", MessageDeduplicationId="dedup-1")
    for count in ("1", "2"):
        assert (await sqs.one(url, AttributeNames=["All"]))["Attributes"] == {
            "ApproximateFirstReceiveTimestamp": "1700000000001",
            "ApproximateReceiveCount": count,
            "MessageDeduplicationId": "dedup-1",
            "MessageGroupId": "group-1",
            "SenderId": "000000000000",
            "SentTimestamp": "1700000000000",
            "SequenceNumber": sent["SequenceNumber"],
        }


async def test_one_group_is_drained_before_the_next(sqs: SqsClient) -> None:
    url = await fifo(sqs, "g1-m1", "g2-m1", "g1-m2", "g1-m3")
    assert await bodies(sqs, url) == ["g1-m1", "g1-m2", "g1-m3", "g2-m1"]


async def test_a_group_goes_to_the_back_of_the_rotation(sqs: SqsClient) -> None:
    url = await fifo(sqs, "g1-m1", "g2-m1", "g2-m2", "g3-m1", "g1-m2")
    assert await bodies(sqs, url, 3, VisibilityTimeout=0) == ["g1-m1", "g1-m2", "g2-m1"]
    assert await bodies(sqs, url, VisibilityTimeout=0) == ["g3-m1", "g1-m1", "g1-m2", "g2-m1", "g2-m2"]


async def test_a_message_in_flight_locks_its_group_also_against_later_ones(sqs: SqsClient) -> None:
    url = await fifo(sqs, "g1-m1", "g1-m2", "g2-m1")
    (first,) = await sqs.receive(url, 1)
    await sqs.send(url, "g1-m3", MessageGroupId="group-1")
    assert await bodies(sqs, url) == ["g2-m1"]
    assert await sqs.counts(url) == (2, 2, 0)
    await delete(sqs, url, first)
    assert await bodies(sqs, url) == ["g1-m2", "g1-m3"]


async def test_deleting_all_in_flight_wakes_who_waits_for_the_group(sqs: SqsClient) -> None:
    url = await fifo(sqs, "g1-m1", "g1-m2")
    (first,) = await sqs.receive(url, 1)
    polling = asyncio.create_task(sqs.receive(url, WaitTimeSeconds=20))
    await sqs.until_polling()
    await delete(sqs, url, first)
    assert [message["Body"] for message in await polling] == ["g1-m2"]


async def test_order_survives_redelivery(sqs: SqsClient) -> None:
    url = await fifo(sqs, "g1-m1", "g1-m2", "g1-m3", VisibilityTimeout="1")
    for _ in range(3):
        assert await bodies(sqs, url) == ["g1-m1", "g1-m2", "g1-m3"]
        sqs.clock.advance(1)


async def test_ending_one_visibility_returns_that_message_alone(sqs: SqsClient) -> None:
    url = await fifo(sqs, "g1-m1", "g1-m2", "g2-m1")
    first, _ = await sqs.receive(url, 2)
    await sqs("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    assert await bodies(sqs, url, 3) == ["g2-m1", "g1-m1"]


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_messages_behind_a_hidden_one_stay_hidden(sqs: SqsClient, position: int) -> None:
    url = await fifo(sqs, "g1-m1", "g1-m2", "g1-m3", VisibilityTimeout="1")
    handle = (await sqs.receive(url))[position]["ReceiptHandle"]
    await sqs("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=4)
    sqs.clock.advance(2)
    assert await bodies(sqs, url) == ["g1-m1", "g1-m2"][:position]


async def test_an_expired_handle_cannot_delete(sqs: SqsClient) -> None:
    url = await fifo(sqs, "g1-m1", VisibilityTimeout="1")
    old = await sqs.one(url)
    sqs.clock.advance(1)
    for _ in range(2):
        with pytest.raises(Failed) as failed:
            await delete(sqs, url, old)
        assert (failed.value.code, failed.value.message) == (
            "InvalidParameterValue",
            f"Value {old['ReceiptHandle']} for parameter ReceiptHandle is invalid. "
            "Reason: The receipt handle has expired.",
        )
        new = await sqs.one(url, VisibilityTimeout=9)
        sqs.clock.advance(9)
    del new
    fresh = await sqs.one(url)
    await delete(sqs, url, fresh)
    await delete(sqs, url, fresh)


async def test_a_duplicate_is_accepted_and_not_delivered_even_after_deletion(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo")
    sent = [await sqs.send(url, MessageGroupId=group, MessageDeduplicationId="d") for group in ("a", "a", "b")]
    assert len({(each["MessageId"], each["SequenceNumber"]) for each in sent}) == 1
    await delete(sqs, url, await sqs.one(url))
    await sqs.send(url, MessageGroupId="a", MessageDeduplicationId="d")
    assert await sqs.receive(url) == []
    sqs.clock.advance(300)
    await sqs.send(url, MessageGroupId="a", MessageDeduplicationId="d")
    assert len(await sqs.receive(url)) == 1


async def test_content_deduplicates_where_the_queue_wants_it(sqs: SqsClient) -> None:
    url = await fifo(sqs, "g1", "g1", "g2")
    assert await bodies(sqs, url) == ["g1", "g2"]


@pytest.mark.parametrize("throughput", [{}, {"FifoThroughputLimit": "perMessageGroupId"}])
async def test_deduplication_may_be_kept_for_each_group(sqs: SqsClient, throughput: dict[str, str]) -> None:
    url = await fifo(sqs, DeduplicationScope="messageGroup", **throughput)
    for group in ("a", "b", "a"):
        await sqs.send(url, "same", MessageGroupId=group)
    assert await bodies(sqs, url) == ["same", "same"]


async def test_a_purge_forgets_what_was_deduplicated(sqs: SqsClient) -> None:
    url = await fifo(sqs, "g1")
    await sqs("PurgeQueue", QueueUrl=url)
    await sqs.send(url, "g1", MessageGroupId="group-1")
    assert await bodies(sqs, url) == ["g1"]


async def test_asking_again_with_the_same_attempt_id_gives_the_same_messages(sqs: SqsClient) -> None:
    url = await fifo(sqs, "g1-m1", "g2-m1")
    first = await sqs.receive(url, 1, ReceiveRequestAttemptId="attempt")
    again = await sqs.receive(url, 1, ReceiveRequestAttemptId="attempt")
    assert first == again
    assert await bodies(sqs, url) == ["g2-m1"]
    standard = await sqs.create("standard")
    for queue, bad in ((standard, "attempt"), (url, ""), (url, "a" * 129), (url, "a b")):
        with pytest.raises(Failed, match=r"InvalidParameterValue: Value .* for parameter ReceiveRequestAttemptId"):
            await sqs.receive(queue, ReceiveRequestAttemptId=bad)


async def test_a_quiet_tenant_of_a_standard_queue_is_served_before_a_noisy_one(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for number in range(50):
        await sqs.send(url, f"noisy-{number}", MessageGroupId="noisy")
    for _ in range(4):
        await sqs.receive(url)
    await sqs.send(url, "quiet", MessageGroupId="quiet")
    assert (await bodies(sqs, url, 1)) == ["quiet"]
    assert len(await bodies(sqs, url)) == 10
