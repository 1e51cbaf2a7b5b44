"""boto3's resources: queues and messages as objects, which find everything out by themselves."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.ways import WAYS, boto3_session, server_of

Named = Callable[[str], str]


@pytest.fixture(scope="module", params=WAYS)
def sqs(request: pytest.FixtureRequest) -> Iterator[Any]:
    resource = boto3_session(request.param).resource("sqs", **server_of(request.param, request).arguments())
    yield resource
    resource.meta.client.close()


def test_queues_are_found_by_name_and_by_prefix(sqs: Any, named: Named) -> None:
    queue = sqs.create_queue(QueueName=named("found"))
    assert sqs.get_queue_by_name(QueueName=named("found")).url == queue.url
    assert [each.url for each in sqs.queues.filter(QueueNamePrefix=named("found"))] == [queue.url]
    assert queue.attributes["QueueArn"].endswith(f":{named('found')}")
    with pytest.raises(sqs.meta.client.exceptions.QueueDoesNotExist):
        sqs.get_queue_by_name(QueueName=named("other"))


def test_messages_settle_themselves(sqs: Any, named: Named) -> None:
    queue = sqs.create_queue(QueueName=named("messages"))
    queue.send_messages(Entries=[{"Id": str(number), "MessageBody": str(number)} for number in range(10)])
    messages = queue.receive_messages(MaxNumberOfMessages=10, WaitTimeSeconds=1)
    assert sorted(int(message.body) for message in messages) == list(range(10))
    messages[0].change_visibility(VisibilityTimeout=0)
    for message in messages[1:]:
        message.delete()
    (again,) = queue.receive_messages(MaxNumberOfMessages=10, AttributeNames=["ApproximateReceiveCount"])
    assert (again.body, again.attributes) == (messages[0].body, {"ApproximateReceiveCount": "2"})
    queue.delete_messages(Entries=[{"Id": "it", "ReceiptHandle": again.receipt_handle}])
    queue.reload()
    assert queue.attributes["ApproximateNumberOfMessages"] == "0"


def test_a_dead_letter_queue_knows_its_sources(sqs: Any, named: Named) -> None:
    dead = sqs.create_queue(QueueName=named("dead"))
    policy = f'{{"deadLetterTargetArn":"{dead.attributes["QueueArn"]}","maxReceiveCount":3}}'
    source = sqs.create_queue(QueueName=named("source"), Attributes={"RedrivePolicy": policy})
    assert [each.url for each in dead.dead_letter_source_queues.all()] == [source.url]


def test_a_queue_is_changed_purged_and_deleted(sqs: Any, named: Named) -> None:
    queue = sqs.create_queue(QueueName=named("changed.fifo"), Attributes={"FifoQueue": "true"})
    queue.set_attributes(Attributes={"ContentBasedDeduplication": "true"})
    assert queue.send_message(MessageBody="a", MessageGroupId="g")["SequenceNumber"]
    queue.purge()
    assert queue.receive_messages() == []
    queue.delete()
    assert list(sqs.queues.filter(QueueNamePrefix=named("changed"))) == []
