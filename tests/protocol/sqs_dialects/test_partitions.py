"""Queues of several partitions through the SDKs: two attributes of Penstock's own, and partitions by their URLs."""

import pytest

from tests.protocol.sqs_dialects.client import Failed, SqsClient

PARTITIONS = {"Penstock.Partitions": "4", "Penstock.Partitioner": "qugo:2"}
OWN = list(PARTITIONS)


async def test_a_queue_has_as_many_partitions_as_its_attribute_says(sqs: SqsClient) -> None:
    url = await sqs.create("q", **PARTITIONS)
    assert await sqs.create("q", **PARTITIONS) == url
    assert await sqs.create("q") == url
    assert await sqs.attributes(url, *OWN) == PARTITIONS
    assert PARTITIONS.items() <= (await sqs.attributes(url, "All")).items()
    with pytest.raises(Failed, match=r"Penstock\.Partitions"):
        await sqs.create("q", **{"Penstock.Partitions": "2"})
    assert [each.rpartition("/")[2] for each in (await sqs("ListQueues"))["QueueUrls"]] == ["q"]


async def test_other_queues_tell_nothing_of_partitions(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    assert not any(name.startswith("Penstock") for name in await sqs.attributes(url, "All"))
    assert await sqs.attributes(url, *OWN) == {}


@pytest.mark.parametrize(
    "attributes",
    [
        {"Penstock.Partitions": "0"},
        {"Penstock.Partitions": "65"},
        {"Penstock.Partitions": "many"},
        {"Penstock.Partitions": "4", "Penstock.Partitioner": "none"},
        {"Penstock.Partitions": "4", "Penstock.Partitioner": "qugo:3"},
    ],
    ids=str,
)
async def test_what_cannot_be_meant_is_refused(sqs: SqsClient, attributes: dict[str, str]) -> None:
    with pytest.raises(Failed, match="InvalidAttributeValue"):
        await sqs.create("q", **attributes)


async def test_messages_go_through_the_whole_queue(sqs: SqsClient) -> None:
    url = await sqs.create("q", **PARTITIONS)
    entries = [{"Id": str(key), "MessageBody": f"order {key}", "MessageGroupId": str(key)} for key in range(8)]
    entries.append({"Id": "x", "MessageBody": "no number", "MessageGroupId": "x"})
    sent = await sqs("SendMessageBatch", QueueUrl=url, Entries=entries)
    assert len(sent["Successful"]) == 8
    (failed,) = sent["Failed"]
    assert (failed["Id"], failed["SenderFault"]) == ("x", True)
    assert "only integers" in failed["Message"]
    received = await sqs.receive(url)
    assert sorted(message["Body"] for message in received) == [f"order {key}" for key in range(8)]
    assert await sqs.counts(url) == (0, 8, 0)
    for message in received:
        await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert await sqs.counts(url) == (0, 0, 0)


async def test_one_partition_is_received_from_by_its_url(sqs: SqsClient) -> None:
    url = await sqs.create("q", **PARTITIONS)
    for key in range(8):
        await sqs.send(url, f"order {key}", MessageGroupId=str(key))
    received = await sqs.receive(f"{url}#3")
    assert sorted(message["Body"] for message in received) == ["order 3", "order 7"]
    await sqs("DeleteMessage", QueueUrl=f"{url}#3", ReceiptHandle=received[0]["ReceiptHandle"])
    await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=received[1]["ReceiptHandle"])
    assert await sqs.counts(url) == (6, 0, 0)
    with pytest.raises(Failed, match=r"NonExistentQueue|QueueDoesNotExist"):
        await sqs.receive(f"{url}#4")
    with pytest.raises(Failed):
        await sqs.send(f"{url}#3", "past the partitioner")


async def test_a_fifo_queue_of_several_deduplicates_per_group(sqs: SqsClient) -> None:
    with pytest.raises(Failed, match="DeduplicationScope"):
        await sqs.create("q.fifo", **{"Penstock.Partitions": "4"}, DeduplicationScope="queue")
    url = await sqs.create("q.fifo", **{"Penstock.Partitions": "4"}, ContentBasedDeduplication="true")
    assert (await sqs.attributes(url, "DeduplicationScope"))["DeduplicationScope"] == "messageGroup"
    for group in ("a", "b", "a"):
        await sqs.send(url, "same", MessageGroupId=group)
    assert await sqs.counts(url) == (2, 0, 0)


async def test_dead_letters_are_redriven_to_the_queue_they_came_from(sqs: SqsClient) -> None:
    dead = await sqs.create("dead")
    arn = await sqs.arn(dead)
    policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 1}}'
    url = await sqs.create("q", **PARTITIONS, RedrivePolicy=policy, VisibilityTimeout="1")
    for key in range(8):
        await sqs.send(url, f"order {key}", MessageGroupId=str(key))
    await sqs.receive(url)
    sqs.clock.advance(1)
    assert await sqs.receive(url) == []
    assert await sqs.counts(dead) == (8, 0, 0)
    (seen,) = await sqs.receive(dead, 1, AttributeNames=["All"], VisibilityTimeout=0)
    assert seen["Attributes"]["DeadLetterQueueSourceArn"] == await sqs.arn(url)
    sqs.clock.advance(1)
    await sqs("StartMessageMoveTask", SourceArn=arn)
    await sqs.step_moves()
    assert await sqs.counts(url) == (8, 0, 0)
    assert sorted(each["Body"] for each in await sqs.receive(f"{url}#0")) == ["order 0", "order 4"]
