"""GetQueueAttributes and SetQueueAttributes: as measured on AWS; API reference."""

import json

import pytest

from tests.protocol.sqs_dialects.client import Failed, SqsClient

STANDARD = {
    "ApproximateNumberOfMessages": "0",
    "ApproximateNumberOfMessagesDelayed": "0",
    "ApproximateNumberOfMessagesNotVisible": "0",
    "CreatedTimestamp": "1700000000",
    "DelaySeconds": "0",
    "LastModifiedTimestamp": "1700000000",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
FIFO = {
    **STANDARD,
    "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q.fifo",
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}


async def set_to(sqs: SqsClient, url: str, **attributes: str) -> None:
    await sqs("SetQueueAttributes", QueueUrl=url, Attributes=attributes)


async def test_a_new_queue_tells_exactly_these(sqs: SqsClient) -> None:
    assert await sqs.attributes(await sqs.create("q")) == STANDARD
    assert await sqs.attributes(await sqs.create("q.fifo")) == FIFO


async def test_only_what_was_asked_for_is_told_and_nothing_where_it_is_unset(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    assert await sqs.attributes(url, "QueueArn", "DelaySeconds") == {
        "QueueArn": STANDARD["QueueArn"],
        "DelaySeconds": "0",
    }
    assert await sqs("GetQueueAttributes", QueueUrl=url) == {}
    assert await sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["Policy", "RedrivePolicy"]) == {}


async def test_an_unknown_attribute_is_refused(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for action, parameters in (
        ("GetQueueAttributes", {"AttributeNames": ["Foobar"]}),
        ("SetQueueAttributes", {"Attributes": {"Foobar": "1"}}),
        ("CreateQueue", {"QueueName": "other", "Attributes": {"Foobar": "1"}}),
        ("SetQueueAttributes", {"Attributes": {"QueueArn": "1"}}),
        ("SetQueueAttributes", {"Attributes": {"All": "1"}}),
    ):
        where = {} if action == "CreateQueue" else {"QueueUrl": url}
        with pytest.raises(Failed) as failed:
            await sqs(action, **where, **parameters)
        assert (failed.value.code, failed.value.status) == ("InvalidAttributeName", 400)
        assert failed.value.message.startswith("Unknown Attribute ")


async def test_attributes_change_and_the_modification_is_noted(sqs: SqsClient) -> None:
    url = await sqs.create("q", VisibilityTimeout="20", MessageRetentionPeriod="604800")
    sqs.clock.advance(5)
    await set_to(sqs, url, MaximumMessageSize="2048", VisibilityTimeout="69", DelaySeconds="420")
    assert await sqs.attributes(url) == {
        **STANDARD,
        "VisibilityTimeout": "69",
        "MessageRetentionPeriod": "604800",
        "MaximumMessageSize": "2048",
        "DelaySeconds": "420",
        "LastModifiedTimestamp": "1700000005",
    }


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("VisibilityTimeout", 0, 43_200),
        ("DelaySeconds", 0, 900),
        ("MaximumMessageSize", 1024, 1_048_576),
        ("MessageRetentionPeriod", 60, 1_209_600),
        ("ReceiveMessageWaitTimeSeconds", 0, 20),
        ("KmsDataKeyReusePeriodSeconds", 60, 86_400),
    ],
)
async def test_numbers_have_a_range(sqs: SqsClient, name: str, low: int, high: int) -> None:
    url = await sqs.create("q")
    for value in (low, high):
        await set_to(sqs, url, **{name: str(value)})
    for value in (str(low - 1), str(high + 1), "x", "", " 5", "1_0", "5.0", "٣"):
        with pytest.raises(Failed) as failed:
            await set_to(sqs, url, **{name: value})
        assert failed.value.code == "InvalidAttributeValue"
        assert failed.value.message == f"Invalid value for the parameter {name}."


async def test_relaxed_limits_allow_longer_delays_and_shorter_retention(sqs: SqsClient) -> None:
    relaxed = sqs.like(limits="relaxed")
    url = await relaxed.create("q", DelaySeconds="100000", MessageRetentionPeriod="2")
    assert (await relaxed.attributes(url, "DelaySeconds"))["DelaySeconds"] == "100000"


async def test_a_standard_queue_has_no_fifo_attributes(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for name, value, words in (
        ("FifoQueue", "false", "Unknown Attribute FifoQueue."),
        ("FifoQueue", "true", "Unknown Attribute FifoQueue."),
        ("ContentBasedDeduplication", "false", "Unknown Attribute ContentBasedDeduplication."),
        ("DeduplicationScope", "queue", "You can specify the DeduplicationScope only when FifoQueue is set to true."),
        (
            "FifoThroughputLimit",
            "perQueue",
            "You can specify the FifoThroughputLimit only when FifoQueue is set to true.",
        ),
    ):
        with pytest.raises(Failed) as failed:
            await set_to(sqs, url, **{name: value})
        assert (failed.value.code, failed.value.message) == ("InvalidAttributeName", words)
        if (name, value) != ("FifoQueue", "true"):
            with pytest.raises(Failed) as failed:
                await sqs.create("another", **{name: value})
            assert (failed.value.code, failed.value.message) == ("InvalidAttributeName", words)


async def test_the_kind_of_a_queue_cannot_change(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo")
    await set_to(sqs, url, FifoQueue="true")
    with pytest.raises(Failed) as failed:
        await set_to(sqs, url, FifoQueue="false")
    assert failed.value.code == "InvalidAttributeValue"
    assert failed.value.message == (
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."
    )


async def test_booleans_come_in_any_case_and_are_told_in_lower_case(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo", FifoQueue="True", ContentBasedDeduplication="True")
    assert (await sqs.attributes(url, "ContentBasedDeduplication"))["ContentBasedDeduplication"] == "true"
    with pytest.raises(Failed, match="InvalidAttributeValue"):
        await set_to(sqs, url, ContentBasedDeduplication="yes")


async def test_policies_are_kept_as_sent_and_go_with_the_empty_text(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    policy = '{\n "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "\'$sqs_queue_arn\'"}]}'
    await set_to(sqs, url, Policy="")
    await set_to(sqs, url, Policy=policy)
    assert await sqs.attributes(url, "Policy") == {"Policy": policy}
    await set_to(sqs, url, Policy="")
    assert await sqs.attributes(url) == STANDARD
    statement = (
        '{"Effect": "Deny", "Principal": "*", "Action": "*", "Condition": {"StringSounds": {"aws:username": "x"}}}'
    )
    for wrong in ("{", "[]", "text", "1", '{"Statement": [{"Action": "*"}]}', f'{{"Statement": {statement}}}'):
        with pytest.raises(Failed, match="InvalidAttributeValue: Invalid value for the parameter Policy"):
            await set_to(sqs, url, Policy=wrong)


async def test_encryption_is_shown_as_aws_shows_it(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    names = ("KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled")
    await set_to(sqs, url, KmsMasterKeyId="key", KmsDataKeyReusePeriodSeconds="6000")
    assert await sqs.attributes(url, *names) == {
        "KmsMasterKeyId": "key",
        "KmsDataKeyReusePeriodSeconds": "6000",
        "SqsManagedSseEnabled": "false",
    }
    await set_to(sqs, url, KmsMasterKeyId="", KmsDataKeyReusePeriodSeconds="300")
    assert await sqs.attributes(url, *names) == {"SqsManagedSseEnabled": "false"}
    await set_to(sqs, url, SqsManagedSseEnabled="true")
    assert await sqs.attributes(url, *names) == {"SqsManagedSseEnabled": "true"}
    with pytest.raises(Failed) as failed:
        await set_to(sqs, url, KmsMasterKeyId="key", SqsManagedSseEnabled="true")
    assert failed.value.code == "InvalidAttributeName"
    assert failed.value.message == (
        "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE."
    )


async def test_changing_the_scope_changes_the_attribute_but_not_the_behaviour(sqs: SqsClient) -> None:
    url = await sqs.create("q.fifo", DeduplicationScope="queue")
    await sqs.send(url, "1", MessageGroupId="a", MessageDeduplicationId="same")
    await set_to(sqs, url, DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    assert await sqs.attributes(url, "DeduplicationScope", "FifoThroughputLimit") == {
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    }
    await sqs.send(url, "2", MessageGroupId="b", MessageDeduplicationId="same")
    await sqs.send(url, "3", MessageGroupId="c", MessageDeduplicationId="new")
    await sqs.send(url, "4", MessageGroupId="d", MessageDeduplicationId="new")
    assert [message["Body"] for message in await sqs.receive(url)] == ["1", "3"]


async def test_throughput_per_group_needs_deduplication_per_group(sqs: SqsClient) -> None:
    with pytest.raises(Failed, match="InvalidAttributeValue"):
        await sqs.create("q.fifo", FifoThroughputLimit="perMessageGroupId")
    with pytest.raises(Failed, match="InvalidAttributeValue"):
        await sqs.create("q.fifo", DeduplicationScope="everything")


async def test_a_redrive_policy_is_checked_and_told(sqs: SqsClient) -> None:
    target = await sqs.arn(await sqs.create("dlq"))
    url = await sqs.create("q")
    await set_to(sqs, url, RedrivePolicy=json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": "42"}))
    told = json.loads((await sqs.attributes(url, "RedrivePolicy"))["RedrivePolicy"])
    assert told == {"deadLetterTargetArn": target, "maxReceiveCount": 42}
    await set_to(sqs, url, RedrivePolicy="")
    assert await sqs.attributes(url, "RedrivePolicy") == {}


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("{", "Redrive policy is not a valid JSON map."),
        ("[]", "Redrive policy is not a valid JSON map."),
        ('{"maxReceiveCount":1}', "Redrive policy does not contain mandatory attribute: deadLetterTargetArn."),
        ('{"deadLetterTargetArn":"ARN"}', "Redrive policy does not contain mandatory attribute: maxReceiveCount."),
        ('{"deadLetterTargetArn": "dummy", "maxReceiveCount": 42}', "Invalid value for deadLetterTargetArn."),
        ('{"deadLetterTargetArn": 5, "maxReceiveCount": 42}', "Invalid value for deadLetterTargetArn."),
        ('{"deadLetterTargetArn":"ARN","maxReceiveCount":0}', "Invalid value for maxReceiveCount: 0, "),
        ('{"deadLetterTargetArn":"ARN","maxReceiveCount":1001}', "Invalid value for maxReceiveCount: 1001, "),
        ('{"deadLetterTargetArn":"ARN","maxReceiveCount":"x"}', "Invalid value for maxReceiveCount: x, "),
        ('{"deadLetterTargetArn":"ARN","maxReceiveCount":true}', "Invalid value for maxReceiveCount: True, "),
        ('{"deadLetterTargetArn":"ARN-gone","maxReceiveCount":1}', "Dead letter target does not exist."),
        ('{"deadLetterTargetArn":"ARN.fifo","maxReceiveCount":1}', "Dead-letter queue must be same type of queue"),
        (
            '{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:111122223333:dlq","maxReceiveCount":1}',
            "Dead-letter target owner should be same as the source.",
        ),
    ],
)
async def test_a_bad_redrive_policy_is_refused(sqs: SqsClient, policy: str, reason: str) -> None:
    policy = policy.replace("ARN", await sqs.arn(await sqs.create("dlq")))
    await sqs.create("dlq.fifo")
    url = await sqs.create("q")
    with pytest.raises(Failed) as failed:
        await set_to(sqs, url, RedrivePolicy=policy)
    assert failed.value.code == "InvalidParameterValue"
    assert failed.value.message.startswith(f"Value {policy} for parameter RedrivePolicy is invalid. Reason: {reason}")
    with pytest.raises(Failed, match="for parameter RedrivePolicy is invalid"):
        await sqs.create("new", RedrivePolicy=policy)


async def test_a_queue_may_name_itself_as_its_dead_letter_queue(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    policy = json.dumps({"deadLetterTargetArn": await sqs.arn(url), "maxReceiveCount": 1})
    await set_to(sqs, url, RedrivePolicy=policy)
    assert await sqs.attributes(url, "RedrivePolicy") == {"RedrivePolicy": policy}
    await sqs.send(url)
    for _ in range(3):
        await sqs.one(url, VisibilityTimeout=0)
    await set_to(sqs, url, RedrivePolicy="")
    assert await sqs.attributes(url, "RedrivePolicy") == {}


async def test_a_redrive_allow_policy_says_who_may_use_a_dead_letter_queue(sqs: SqsClient) -> None:
    dlq, friend, stranger = [await sqs.create(name) for name in ("dlq", "friend", "stranger")]
    redrive = json.dumps({"deadLetterTargetArn": await sqs.arn(dlq), "maxReceiveCount": 3})
    allow = json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [await sqs.arn(friend)]})
    await set_to(sqs, dlq, RedriveAllowPolicy=allow)
    assert await sqs.attributes(dlq, "RedriveAllowPolicy") == {"RedriveAllowPolicy": allow}
    await set_to(sqs, friend, RedrivePolicy=redrive)
    with pytest.raises(Failed, match="InvalidParameterValue"):
        await set_to(sqs, stranger, RedrivePolicy=redrive)
    await set_to(sqs, dlq, RedriveAllowPolicy='{"redrivePermission":"denyAll"}')
    with pytest.raises(Failed, match="InvalidParameterValue"):
        await set_to(sqs, friend, RedrivePolicy=redrive)
    await set_to(sqs, dlq, RedriveAllowPolicy="")
    await set_to(sqs, stranger, RedrivePolicy=redrive)
    for wrong in ("x", "[]", "{}", '{"redrivePermission":"some"}', '{"redrivePermission":"byQueue"}'):
        with pytest.raises(Failed, match="for parameter RedriveAllowPolicy is invalid"):
            await set_to(sqs, dlq, RedriveAllowPolicy=wrong)


async def test_counts_are_exact(sqs: SqsClient) -> None:
    url = await sqs.create("q", VisibilityTimeout="5")
    for _ in range(6):
        await sqs.send(url)
    await sqs.send(url, DelaySeconds=2)
    await sqs.receive(url, 1)
    assert await sqs.counts(url) == (5, 1, 1)
    sqs.clock.advance(5)
    assert await sqs.counts(url) == (7, 0, 0)
