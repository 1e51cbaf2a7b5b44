"""Dead-letter queues and move tasks: as measured on AWS."""

import base64
import json
from itertools import pairwise
from typing import Any

import pytest

from tests.protocol.sqs_dialects.client import Failed, SqsClient

TASK = "10f57157-fc38-4da9-a113-4de7e12d05dd"
TEXT = {"DataType": "String", "StringValue": "foobar"}


async def pipe(sqs: SqsClient, suffix: str = "", receives: int = 1) -> tuple[str, str, str]:
    """Return a source, its dead-letter queue and the ARN of that."""
    attributes = {"ContentBasedDeduplication": "true"} if suffix else {}
    dlq = await sqs.create("dlq" + suffix, **attributes)
    arn = await sqs.arn(dlq)
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
    return await sqs.create("source" + suffix, RedrivePolicy=policy, **attributes), dlq, arn


async def spend(sqs: SqsClient, url: str, count: int) -> None:
    """Receive until everything has gone to the dead-letter queue."""
    for _ in range(count * 2):
        await sqs.receive(url, 1, VisibilityTimeout=0)


async def filled(sqs: SqsClient, count: int) -> tuple[str, str, str]:
    source, dlq, arn = await pipe(sqs)
    for number in range(count):
        await sqs.send(source, f"message-{number}")
    await spend(sqs, source, count)
    assert await sqs.counts(dlq) == (count, 0, 0)
    return source, dlq, arn


def handle_of(task: str, arn: str) -> str:
    return base64.b64encode(f'{{"taskId":"{task}","sourceArn":"{arn}"}}'.encode()).decode()


async def moves(sqs: SqsClient, arn: str) -> Any:
    return (await sqs("ListMessageMoveTasks", SourceArn=arn)).get("Results", [])


async def test_a_dead_letter_keeps_id_attributes_and_count_and_names_its_source(sqs: SqsClient) -> None:
    source, dlq, _ = await pipe(sqs)
    sent = await sqs.send(source, MessageAttributes={"MyAttribute": TEXT})
    before = await sqs.one(source, VisibilityTimeout=0, AttributeNames=["All"])
    assert "DeadLetterQueueSourceArn" not in before["Attributes"]
    assert await sqs.receive(source) == []
    after = await sqs.one(dlq, AttributeNames=["All"], MessageAttributeNames=["All"])
    assert after["MessageId"] == sent["MessageId"]
    assert after["MessageAttributes"] == {"MyAttribute": TEXT}
    assert after["Attributes"] == {
        **before["Attributes"],
        "ApproximateReceiveCount": "2",
        "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:000000000000:source",
    }


async def test_a_fifo_group_goes_on_after_a_dead_letter(sqs: SqsClient) -> None:
    source, dlq, _ = await pipe(sqs, ".fifo", receives=2)
    first = await sqs.send(source, "1", MessageGroupId="g")
    for _ in range(3):
        await sqs.receive(source, VisibilityTimeout=0)
    assert (await sqs.one(dlq))["MessageId"] == first["MessageId"]
    second = await sqs.send(source, "2", MessageGroupId="g")
    assert (await sqs.one(source))["MessageId"] == second["MessageId"]


async def test_the_deduplication_id_of_a_fifo_dead_letter_is_its_message_id(sqs: SqsClient) -> None:
    source, dlq, _ = await pipe(sqs, ".fifo")
    dead = await sqs.send(source, "dead", MessageGroupId="g", MessageDeduplicationId="same")
    await spend(sqs, source, 1)
    await sqs.send(dlq, "sent there", MessageGroupId="g", MessageDeduplicationId="same")
    received = await sqs.receive(dlq, AttributeNames=["MessageDeduplicationId"])
    assert [(message["Body"], message["Attributes"]["MessageDeduplicationId"]) for message in received] == [
        ("dead", dead["MessageId"]),
        ("sent there", "same"),
    ]


async def test_sources_of_a_dead_letter_queue_are_listed(sqs: SqsClient) -> None:
    source, dlq, arn = await pipe(sqs)
    other = await sqs.create("other", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 9}))
    assert await sqs("ListDeadLetterSourceQueues", QueueUrl=dlq) == {"queueUrls": [other, source]}
    first = await sqs("ListDeadLetterSourceQueues", QueueUrl=dlq, MaxResults=1)
    assert first["queueUrls"] == [other]
    second = await sqs("ListDeadLetterSourceQueues", QueueUrl=dlq, MaxResults=1, NextToken=first["NextToken"])
    assert second == {"queueUrls": [source]}


async def test_dead_letters_pass_along_a_chain(sqs: SqsClient) -> None:
    urls = [await sqs.create(f"q{number}", VisibilityTimeout="0") for number in range(3)]
    for url, target in pairwise(urls):
        policy = json.dumps({"deadLetterTargetArn": await sqs.arn(target), "maxReceiveCount": 1})
        await sqs("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": policy})
    sent = await sqs.send(urls[0])
    for url in urls:
        assert (await sqs.one(url))["MessageId"] == sent["MessageId"]
        assert url == urls[2] or await sqs.receive(url) == []


async def test_a_move_task_moves_everything_to_its_destination(sqs: SqsClient) -> None:
    _, dlq, arn = await filled(sqs, 2)
    destination = await sqs.create("destination")
    started = await sqs("StartMessageMoveTask", SourceArn=arn, DestinationArn=await sqs.arn(destination))
    decoded = json.loads(base64.b64decode(started["TaskHandle"]))
    assert decoded["sourceArn"] == arn
    assert list(started) == ["TaskHandle"]
    (running,) = await moves(sqs, arn)
    assert (running["Status"], running["TaskHandle"]) == ("RUNNING", started["TaskHandle"])
    await sqs.step_moves()
    (done,) = await moves(sqs, arn)
    assert done == {
        "ApproximateNumberOfMessagesMoved": 2,
        "ApproximateNumberOfMessagesToMove": 2,
        "DestinationArn": await sqs.arn(destination),
        "SourceArn": arn,
        "StartedTimestamp": running["StartedTimestamp"],
        "Status": "COMPLETED",
    }
    assert await sqs.counts(dlq) == (0, 0, 0)
    assert {message["Body"] for message in await sqs.receive(destination)} == {"message-0", "message-1"}


async def test_without_a_destination_messages_return_to_their_sources(sqs: SqsClient) -> None:
    source, dlq, arn = await filled(sqs, 2)
    other = await sqs.create("other", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1}))
    await sqs.send(other, "from other")
    await spend(sqs, other, 1)
    await sqs("StartMessageMoveTask", SourceArn=arn)
    await sqs.step_moves()
    (done,) = await moves(sqs, arn)
    assert (done["Status"], done["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 3)
    assert "DestinationArn" not in done
    assert [message["Body"] for message in await sqs.receive(other)] == ["from other"]
    assert len(await sqs.receive(source)) == 2
    assert await sqs.counts(dlq) == (0, 0, 0)


async def test_a_move_task_keeps_its_rate_and_can_be_cancelled(sqs: SqsClient) -> None:
    _, dlq, arn = await filled(sqs, 10)
    target = await sqs.arn(await sqs.create("destination"))
    started = await sqs("StartMessageMoveTask", SourceArn=arn, DestinationArn=target, MaxNumberOfMessagesPerSecond=1)
    with pytest.raises(Failed) as failed:
        await sqs("StartMessageMoveTask", SourceArn=arn)
    assert (failed.value.code, failed.value.message) == (
        "InvalidParameterValue",
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
    )
    await sqs.step_moves()
    sqs.clock.advance(1)
    await sqs.step_moves()
    (running,) = await moves(sqs, arn)
    assert (running["ApproximateNumberOfMessagesMoved"], running["MaxNumberOfMessagesPerSecond"]) == (2, 1)
    answer = await sqs("CancelMessageMoveTask", TaskHandle=started["TaskHandle"])
    assert answer == {"ApproximateNumberOfMessagesMoved": 2}
    (cancelled,) = await moves(sqs, arn)
    assert cancelled["Status"] == "CANCELLED"
    assert "TaskHandle" not in cancelled
    assert await sqs.counts(dlq) == (8, 0, 0)
    with pytest.raises(Failed, match="ResourceNotFoundException: Task does not exist"):
        await sqs("CancelMessageMoveTask", TaskHandle=started["TaskHandle"])


async def test_deleting_the_destination_fails_the_task(sqs: SqsClient) -> None:
    _, dlq, arn = await filled(sqs, 3)
    destination = await sqs.create("destination")
    target = await sqs.arn(destination)
    await sqs("StartMessageMoveTask", SourceArn=arn, DestinationArn=target, MaxNumberOfMessagesPerSecond=1)
    await sqs.step_moves()
    await sqs("DeleteQueue", QueueUrl=destination)
    sqs.clock.advance(1)
    await sqs.step_moves()
    (failed,) = await moves(sqs, arn)
    assert (failed["Status"], failed["FailureReason"]) == ("FAILED", "AWS.SimpleQueueService.NonExistentQueue")
    assert await sqs.counts(dlq) == (2, 0, 0)


async def test_what_a_move_task_cannot_be(sqs: SqsClient) -> None:
    source, _, arn = await pipe(sqs)
    plain = await sqs.arn(await sqs.create("plain"))
    for action, parameters, status, words in (
        ("StartMessageMoveTask", {"SourceArn": plain}, 400, "Source queue must be configured as a Dead Letter Queue."),
        (
            "StartMessageMoveTask",
            {"SourceArn": plain + "-gone"},
            404,
            "The resource that you specified for the SourceArn parameter doesn't exist.",
        ),
        (
            "StartMessageMoveTask",
            {"SourceArn": arn, "DestinationArn": plain + "-gone"},
            404,
            "The resource that you specified for the DestinationArn parameter doesn't exist.",
        ),
        ("CancelMessageMoveTask", {"TaskHandle": "foobared"}, 400, "Value for parameter TaskHandle is invalid."),
        ("CancelMessageMoveTask", {"TaskHandle": handle_of(TASK, arn)}, 404, "Task does not exist."),
        (
            "CancelMessageMoveTask",
            {"TaskHandle": handle_of(TASK, "arn:aws:sqs:us-east-1:878966065785:gone")},
            404,
            "The resource that you specified for the SourceArn parameter doesn't exist.",
        ),
        (
            "ListMessageMoveTasks",
            {"SourceArn": plain + "-gone"},
            404,
            "The resource that you specified for the SourceArn parameter doesn't exist.",
        ),
    ):
        with pytest.raises(Failed) as failed:
            await sqs(action, **parameters)
        assert (failed.value.status, failed.value.message) == (status, words)
        assert failed.value.code == ("ResourceNotFoundException" if status == 404 else "InvalidParameterValue")
    for action, parameters in (
        ("StartMessageMoveTask", {"SourceArn": "no arn"}),
        ("StartMessageMoveTask", {"SourceArn": arn, "DestinationArn": arn}),
        ("StartMessageMoveTask", {"SourceArn": arn, "MaxNumberOfMessagesPerSecond": 0}),
        ("StartMessageMoveTask", {"SourceArn": arn, "MaxNumberOfMessagesPerSecond": 501}),
        ("ListMessageMoveTasks", {"SourceArn": arn, "MaxResults": 11}),
    ):
        with pytest.raises(Failed, match="InvalidParameterValue"):
            await sqs(action, **parameters)
    assert await sqs("ListMessageMoveTasks", SourceArn=await sqs.arn(source)) == {}
