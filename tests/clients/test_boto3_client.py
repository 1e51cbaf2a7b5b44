"""The boto3 client, nothing changed but endpoint and keys: in JSON, in Query, and signed."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.checksums import md5_of_attributes, md5_of_body
from tests.clients.served import Served, until
from tests.clients.ways import WAYS, boto3_session, protocol_of, server_of

Named = Callable[[str], str]
ATTRIBUTES = {
    "text": {"DataType": "String", "StringValue": "grüße"},
    "number": {"DataType": "Number.int", "StringValue": "42"},
    "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
}


@pytest.fixture(scope="module", params=WAYS)
def sqs(request: pytest.FixtureRequest) -> Iterator[Any]:
    server = server_of(request.param, request)
    client = boto3_session(request.param).client("sqs", **server.arguments())
    assert protocol_of(client) == request.param.partition("-")[0]
    yield client
    client.close()


def make(sqs: Any, name: str, **attributes: str) -> str:
    url: str = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url


def arn_of(sqs: Any, url: str) -> str:
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return str(attributes["QueueArn"])


def receive(sqs: Any, url: str, **more: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = sqs.receive_message(
        QueueUrl=url, **{"MaxNumberOfMessages": 10, "AttributeNames": ["All"], "MessageAttributeNames": ["All"], **more}
    ).get("Messages", [])
    return messages


def test_a_batch_of_ten_is_sent_received_and_deleted(sqs: Any, named: Named) -> None:
    url = make(sqs, named("batch"))
    bodies = [f"message {number} ✓" for number in range(10)]
    entries = [
        {"Id": str(number), "MessageBody": body, "MessageAttributes": ATTRIBUTES} for number, body in enumerate(bodies)
    ]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert "Failed" not in sent
    assert [each["Id"] for each in sent["Successful"]] == [str(number) for number in range(10)]
    assert [each["MD5OfMessageBody"] for each in sent["Successful"]] == [md5_of_body(body) for body in bodies]
    assert {each["MD5OfMessageAttributes"] for each in sent["Successful"]} == {md5_of_attributes(ATTRIBUTES)}

    received = receive(sqs, url)
    assert {message["MessageId"]: message["Body"] for message in received} == {
        each["MessageId"]: bodies[int(each["Id"])] for each in sent["Successful"]
    }
    for message in received:
        assert message["MD5OfBody"] == md5_of_body(message["Body"])
        assert message["MD5OfMessageAttributes"] == md5_of_attributes(ATTRIBUTES)
        assert message["MessageAttributes"] == ATTRIBUTES
        assert message["Attributes"]["ApproximateReceiveCount"] == "1"
        assert {"SenderId", "SentTimestamp", "ApproximateFirstReceiveTimestamp"} <= message["Attributes"].keys()

    handles = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(received)]
    assert len(sqs.delete_message_batch(QueueUrl=url, Entries=handles)["Successful"]) == 10
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == counts["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_a_batch_tells_good_entries_from_bad_ones(sqs: Any, named: Named) -> None:
    url = make(sqs, named("mixed"))
    entries = [{"Id": "good", "MessageBody": "fine"}, {"Id": "bad", "MessageBody": "\ufffe"}]
    told = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [each["Id"] for each in told["Successful"]] == ["good"]
    assert [(each["Id"], each["Code"], each["SenderFault"]) for each in told["Failed"]] == [
        ("bad", "InvalidMessageContents", True)
    ]


def test_a_long_poll_ends_when_a_message_comes(sqs: Any, served: Served, named: Named) -> None:
    url = make(sqs, named("poll"))
    assert receive(sqs, url, WaitTimeSeconds=0) == []
    sqs.send_message(QueueUrl=url, MessageBody="soon", DelaySeconds=1)
    began = time.monotonic()
    (message,) = receive(sqs, url, WaitTimeSeconds=20)
    assert message["Body"] == "soon"
    assert time.monotonic() - began < 10


def test_visibility_decides_who_sees_a_message(sqs: Any, named: Named) -> None:
    url = make(sqs, named("visibility"), VisibilityTimeout="40")
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": each, "MessageBody": each} for each in ("a", "b")])
    first = {each["Body"]: each for each in receive(sqs, url)}
    assert receive(sqs, url) == []
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["a"]["ReceiptHandle"], VisibilityTimeout=0)
    (again,) = receive(sqs, url)
    assert again["Body"] == "a"
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    assert again["ReceiptHandle"] != first["a"]["ReceiptHandle"]
    entry = {"Id": "b", "ReceiptHandle": first["b"]["ReceiptHandle"], "VisibilityTimeout": 0}
    assert sqs.change_message_visibility_batch(QueueUrl=url, Entries=[entry])["Successful"] == [{"Id": "b"}]
    assert [each["Body"] for each in receive(sqs, url)] == ["b"]


def test_spent_messages_go_to_the_dead_letter_queue_and_are_redriven(sqs: Any, named: Named) -> None:
    dead_url = make(sqs, named("dead"))
    dead_arn = arn_of(sqs, dead_url)
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url = make(sqs, named("source"), RedrivePolicy=policy, VisibilityTimeout="0")
    message_id = sqs.send_message(QueueUrl=url, MessageBody="poison")["MessageId"]
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead_url)["queueUrls"] == [url]

    assert [each["Attributes"]["ApproximateReceiveCount"] for _ in range(2) for each in receive(sqs, url)] == ["1", "2"]
    assert receive(sqs, url) == []
    (spent,) = receive(sqs, dead_url, VisibilityTimeout=0, WaitTimeSeconds=5)
    assert spent["MessageId"] == message_id
    assert spent["Attributes"]["DeadLetterQueueSourceArn"] == arn_of(sqs, url)

    assert sqs.start_message_move_task(SourceArn=dead_arn)["TaskHandle"]
    (back,) = receive(sqs, url, WaitTimeSeconds=10)
    assert back["Body"] == "poison"

    def last_task() -> dict[str, Any]:
        task: dict[str, Any] = sqs.list_message_move_tasks(SourceArn=dead_arn)["Results"][0]
        return task

    until(lambda: last_task()["Status"] == "COMPLETED", "the move is over")
    assert last_task()["ApproximateNumberOfMessagesMoved"] == 1
    assert last_task()["SourceArn"] == dead_arn


def test_a_purge_empties_a_queue(sqs: Any, named: Named) -> None:
    url = make(sqs, named("purged"))
    sqs.send_message(QueueUrl=url, MessageBody="a")
    sqs.purge_queue(QueueUrl=url)
    assert receive(sqs, url) == []
    with pytest.raises(sqs.exceptions.PurgeQueueInProgress) as refused:
        sqs.purge_queue(QueueUrl=url)
    assert refused.value.response["Error"]["Code"] == "AWS.SimpleQueueService.PurgeQueueInProgress"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_tags_and_attributes_are_kept(sqs: Any, named: Named) -> None:
    url = sqs.create_queue(QueueName=named("tags"), tags={"team": "blue", "cost": "1"})["QueueUrl"]
    sqs.tag_queue(QueueUrl=url, Tags={"team": "red", "näme": "wört"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["cost"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "red", "näme": "wört"}

    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77", "DelaySeconds": "3"})
    asked = ["VisibilityTimeout", "DelaySeconds", "MessageRetentionPeriod"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"]
    assert attributes == {"VisibilityTimeout": "77", "DelaySeconds": "3", "MessageRetentionPeriod": "345600"}


def test_permissions_become_a_policy(sqs: Any, named: Named) -> None:
    url = make(sqs, named("shared"))
    sqs.add_permission(QueueUrl=url, Label="them", AWSAccountIds=["123456789012"], Actions=["SendMessage"])
    policy = json.loads(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"])
    assert [each["Sid"] for each in policy["Statement"]] == ["them"]
    sqs.remove_permission(QueueUrl=url, Label="them")
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])


def test_the_paginator_lists_every_queue_once(sqs: Any, named: Named) -> None:
    urls = {make(sqs, named(f"page-{number}")) for number in range(7)}
    pages = list(
        sqs.get_paginator("list_queues").paginate(QueueNamePrefix=named("page-"), PaginationConfig={"PageSize": 3})
    )
    assert [len(page["QueueUrls"]) for page in pages] == [3, 3, 1]
    assert {url for page in pages for url in page["QueueUrls"]} == urls
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=named("nothing"))


def test_errors_are_typed_and_have_the_codes_of_aws(sqs: Any, named: Named) -> None:
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as missing:
        sqs.get_queue_url(QueueName=named("missing"))
    assert missing.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert missing.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert missing.value.response["ResponseMetadata"]["RequestId"]

    url = make(sqs, named("errors"), VisibilityTimeout="30")
    with pytest.raises(sqs.exceptions.QueueNameExists) as exists:
        make(sqs, named("errors"), VisibilityTimeout="31")
    assert exists.value.response["Error"]["Code"] == "QueueAlreadyExists"

    def code_of(call: Callable[..., object], **arguments: Any) -> str:
        with pytest.raises(ClientError) as refused:
            call(QueueUrl=url, **arguments)
        return str(refused.value.response["Error"]["Code"])

    assert code_of(sqs.delete_message, ReceiptHandle="garbage") == "ReceiptHandleIsInvalid"
    assert code_of(sqs.receive_message, MaxNumberOfMessages=11) == "InvalidParameterValue"
    assert code_of(sqs.set_queue_attributes, Attributes={"VisibilityTimeout": "x"}) == "InvalidAttributeValue"
    assert code_of(sqs.set_queue_attributes, Attributes={"Nonsense": "1"}) == "InvalidAttributeName"
    assert code_of(sqs.send_message, MessageBody="\x01") == "InvalidMessageContents"
    twice = [{"Id": "a", "MessageBody": "1"}, {"Id": "a", "MessageBody": "2"}]
    assert code_of(sqs.send_message_batch, Entries=twice) == "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"


def test_a_deleted_queue_is_gone(sqs: Any, named: Named) -> None:
    url = make(sqs, named("gone"))
    sqs.delete_queue(QueueUrl=url)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=url, MessageBody="late")
    with pytest.raises(sqs.exceptions.QueueDeletedRecently):
        make(sqs, named("gone"))


def test_a_fifo_queue_keeps_order_and_recognises_repetition(sqs: Any, named: Named) -> None:
    url = make(sqs, named("orders.fifo"), FifoQueue="true", ContentBasedDeduplication="true")
    entries = [
        {"Id": str(number), "MessageBody": f"{group}{number}", "MessageGroupId": group}
        for number, group in enumerate("ababababab")
    ]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]
    assert sorted(sent, key=lambda each: int(each["SequenceNumber"])) == sent
    repeated = sqs.send_message(QueueUrl=url, MessageBody="a0", MessageGroupId="a")
    assert (repeated["MessageId"], repeated["SequenceNumber"]) == (sent[0]["MessageId"], sent[0]["SequenceNumber"])

    received = receive(sqs, url)
    assert [each["Body"] for each in received] == ["a0", "a2", "a4", "a6", "a8", "b1", "b3", "b5", "b7", "b9"]
    assert received[0]["Attributes"]["MessageGroupId"] == "a"
    assert received[0]["Attributes"]["SequenceNumber"] == sent[0]["SequenceNumber"]
    sqs.send_message(QueueUrl=url, MessageBody="a10", MessageGroupId="a", MessageDeduplicationId="x")
    assert receive(sqs, url) == [], "both groups are in flight"
    for each in received[:5]:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
    assert [each["Body"] for each in receive(sqs, url)] == ["a10"]


def test_a_fifo_dead_letter_queue_takes_the_head_of_a_group(sqs: Any, named: Named) -> None:
    dead_url = make(sqs, named("dead.fifo"), FifoQueue="true")
    policy = json.dumps({"deadLetterTargetArn": arn_of(sqs, dead_url), "maxReceiveCount": "1"})
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "0"}
    url = make(sqs, named("source.fifo"), RedrivePolicy=policy, **fifo)
    for body in ("poison", "next"):
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g")
    assert [each["Body"] for each in receive(sqs, url, MaxNumberOfMessages=1)] == ["poison"]
    assert [each["Body"] for each in receive(sqs, url, MaxNumberOfMessages=1)] == ["next"]
    assert [each["Body"] for each in receive(sqs, dead_url, WaitTimeSeconds=5)] == ["poison"]
