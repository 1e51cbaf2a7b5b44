"""CreateQueue, DeleteQueue, GetQueueUrl, ListQueues, PurgeQueue: as measured on AWS and limits."""

import pytest

from tests.protocol.sqs_dialects.client import Failed, SqsClient

NAME_RULE = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"


async def test_a_queue_url_holds_host_account_and_name(sqs: SqsClient) -> None:
    assert await sqs.create("orders") == "http://localhost:3000/000000000000/orders"
    assert (await sqs("GetQueueUrl", QueueName="orders"))["QueueUrl"] == "http://localhost:3000/000000000000/orders"


async def test_a_fixed_public_url_begins_queue_urls(sqs: SqsClient) -> None:
    public = sqs.like(public_url="https://q.example.com/sqs/")
    url = await public.create("orders")
    assert url == "https://q.example.com/sqs/000000000000/orders"
    await public.send(url)
    assert len(await public.receive(url)) == 1


@pytest.mark.parametrize(
    "url", ["orders", "/000000000000/orders", "http://aws-local:12345/000000000000/orders", "https://x/queue/orders"]
)
async def test_a_queue_is_found_by_any_host_a_path_or_its_name(sqs: SqsClient, url: str) -> None:
    await sqs.create("orders")
    await sqs.send(url)
    assert await sqs.counts("orders") == (1, 0, 0)


@pytest.mark.parametrize("url", ["http://localhost:3000/nonsense", "http://nonsense", "http://nonsense/", "/"])
async def test_an_address_that_names_no_queue_is_refused_as_each_protocol_does(sqs: SqsClient, url: str) -> None:
    with pytest.raises(Failed) as failed:
        await sqs.send(url)
    told = failed.value
    if sqs.protocol == "json":
        assert (told.code, told.status) == ("AWS.SimpleQueueService.NonExistentQueue", 400)
        assert told.message == "The specified queue does not exist."
    else:
        assert (told.code, told.status) == ("InvalidAddress", 404)
        assert told.message == "The address http://localhost:3000/ is not valid for this endpoint."


async def test_a_missing_queue_is_400_and_has_words_for_each_protocol(sqs: SqsClient) -> None:
    for action, parameters in (
        ("GetQueueUrl", {"QueueName": "nowhere"}),
        ("GetQueueAttributes", {"QueueUrl": "nowhere"}),
        ("SendMessage", {"QueueUrl": "nowhere", "MessageBody": "x"}),
        ("ReceiveMessage", {"QueueUrl": "nowhere"}),
        ("DeleteMessage", {"QueueUrl": "nowhere", "ReceiptHandle": "x"}),
        ("DeleteMessageBatch", {"QueueUrl": "nowhere", "Entries": [{"Id": "1", "ReceiptHandle": "x"}]}),
        (
            "ChangeMessageVisibilityBatch",
            {"QueueUrl": "nowhere", "Entries": [{"Id": "1", "ReceiptHandle": "x", "VisibilityTimeout": 1}]},
        ),
        ("PurgeQueue", {"QueueUrl": "nowhere"}),
        ("DeleteQueue", {"QueueUrl": "nowhere"}),
        ("ListQueueTags", {"QueueUrl": "nowhere"}),
        ("TagQueue", {"QueueUrl": "nowhere", "Tags": {"a": "b"}}),
        ("UntagQueue", {"QueueUrl": "nowhere", "TagKeys": ["a"]}),
        ("SetQueueAttributes", {"QueueUrl": "nowhere", "Attributes": {"DelaySeconds": "1"}}),
        ("ListDeadLetterSourceQueues", {"QueueUrl": "nowhere"}),
        ("RemovePermission", {"QueueUrl": "nowhere", "Label": "x"}),
    ):
        with pytest.raises(Failed) as failed:
            await sqs(action, **parameters)
        assert failed.value.code == "AWS.SimpleQueueService.NonExistentQueue", action
        assert failed.value.status == 400
        if sqs.protocol == "json":
            assert failed.value.shape == "QueueDoesNotExist"
            assert failed.value.message == "The specified queue does not exist."
        else:
            assert failed.value.message == "The specified queue does not exist for this wsdl version."


async def test_creating_compares_only_the_attributes_given(sqs: SqsClient) -> None:
    url = await sqs.create("q", ReceiveMessageWaitTimeSeconds="1", DelaySeconds="1")
    assert await sqs.create("q") == url
    assert await sqs.create("q", DelaySeconds="1") == url
    with pytest.raises(Failed) as failed:
        await sqs.create("q", ReceiveMessageWaitTimeSeconds="1", DelaySeconds="2")
    assert failed.value.code == "QueueAlreadyExists"
    assert failed.value.message == (
        "A queue already exists with the same name and a different value for attribute DelaySeconds"
    )
    if sqs.protocol == "json":
        assert failed.value.shape == "QueueNameExists"


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("VisibilityTimeout", "1", "2"),
        ("MaximumMessageSize", "1024", "2048"),
        ("KmsMasterKeyId", "a", "b"),
        ("SqsManagedSseEnabled", "true", "false"),
        ("ContentBasedDeduplication", "true", "false"),
        ("DeduplicationScope", "messageGroup", "queue"),
        ("Policy", '{"Id":"a"}', '{"Id":"b"}'),
    ],
)
async def test_a_conflict_names_the_attribute_that_differs(sqs: SqsClient, name: str, value: str, other: str) -> None:
    await sqs.create("q.fifo", **{name: value})
    await sqs.create("q.fifo", **{name: value})
    with pytest.raises(Failed, match=f"different value for attribute {name}$"):
        await sqs.create("q.fifo", **{name: other})


@pytest.mark.parametrize("name", ["a" * 81, "with space", "slash/es", "dot.ted", "", "x.fifo.y", "ä"])
async def test_a_bad_name_is_refused(sqs: SqsClient, name: str) -> None:
    with pytest.raises(Failed) as failed:
        await sqs("CreateQueue", QueueName=name)
    assert failed.value.code == ("InvalidParameterValue" if name else "MissingParameter")
    assert not name or failed.value.message == NAME_RULE


async def test_a_fifo_queue_needs_the_suffix_and_the_suffix_needs_a_fifo_queue(sqs: SqsClient) -> None:
    with pytest.raises(Failed, match="InvalidParameterValue: The name of a FIFO queue can only include"):
        await sqs("CreateQueue", QueueName="plain", Attributes={"FifoQueue": "true"})
    with pytest.raises(Failed, match=f"InvalidParameterValue: {NAME_RULE}"):
        await sqs("CreateQueue", QueueName="x.fifo")
    await sqs.create("a" * 75 + ".fifo")
    with pytest.raises(Failed, match="InvalidParameterValue"):
        await sqs.create("a" * 76 + ".fifo")


async def test_the_name_of_a_deleted_queue_rests_for_a_minute_in_strict_mode(sqs: SqsClient) -> None:
    await sqs("DeleteQueue", QueueUrl=await sqs.create("q"))
    with pytest.raises(Failed) as failed:
        await sqs.create("q")
    assert failed.value.code == "AWS.SimpleQueueService.QueueDeletedRecently"
    assert failed.value.message == (
        "You must wait 60 seconds after deleting a queue before you can create another with the same name."
    )
    sqs.clock.advance(60)
    await sqs.create("q")
    relaxed = sqs.like(limits="relaxed")
    await relaxed("DeleteQueue", QueueUrl="q")
    await relaxed.create("q")


async def test_a_second_purge_within_a_minute_is_refused_in_strict_mode(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    await sqs.send(url)
    await sqs("PurgeQueue", QueueUrl=url)
    assert await sqs.counts(url) == (0, 0, 0)
    with pytest.raises(Failed) as failed:
        await sqs("PurgeQueue", QueueUrl=url)
    assert failed.value.code == "AWS.SimpleQueueService.PurgeQueueInProgress"
    assert failed.value.status == 403
    assert failed.value.message == "Only one PurgeQueue operation on q is allowed every 60 seconds."
    await sqs.like(limits="relaxed")("PurgeQueue", QueueUrl=url)
    sqs.clock.advance(60)
    await sqs("PurgeQueue", QueueUrl=url)


async def test_listing_leaves_out_what_is_empty_and_pages_where_asked(sqs: SqsClient) -> None:
    assert await sqs("ListQueues") == {}
    urls = [await sqs.create(f"a-{number}") for number in range(5)] + [await sqs.create("b-0")]
    assert (await sqs("ListQueues"))["QueueUrls"] == urls
    assert (await sqs("ListQueues", QueueNamePrefix="b"))["QueueUrls"] == urls[5:]
    assert await sqs("ListQueues", QueueNamePrefix="c") == {}
    first = await sqs("ListQueues", QueueNamePrefix="a", MaxResults=2)
    assert first["QueueUrls"] == urls[:2]
    rest = await sqs("ListQueues", QueueNamePrefix="a", MaxResults=3, NextToken=first["NextToken"])
    assert rest == {"QueueUrls": urls[2:5]}


@pytest.mark.parametrize("parameters", [{"MaxResults": 0}, {"MaxResults": 1001}, {"NextToken": "not base64!"}])
async def test_listing_out_of_range_is_refused(sqs: SqsClient, parameters: dict[str, object]) -> None:
    with pytest.raises(Failed, match="InvalidParameterValue"):
        await sqs("ListQueues", **parameters)


async def test_regions_and_accounts_have_queues_of_their_own(sqs: SqsClient) -> None:
    abroad, other = sqs.like(region="eu-central-1"), sqs.like(account="111122223333")
    mine, theirs, others = await sqs.create("q"), await abroad.create("q"), await other.create("q")
    assert mine == theirs  # the region is the caller's, not the URL's
    await sqs.send(mine)
    assert await abroad.receive(theirs) == []
    assert (await sqs("ListQueues"))["QueueUrls"] == [mine]
    assert (await abroad("ListQueues"))["QueueUrls"] == [theirs]
    assert (await other("ListQueues"))["QueueUrls"] == [others]
    assert others == "http://localhost:3000/111122223333/q"
    assert await other.arn(others) == "arn:aws:sqs:us-east-1:111122223333:q"
    # another account's queue is reached by its URL, and its URL by the owner's number
    assert len(await other.receive(mine)) == 1
    assert (await other("GetQueueUrl", QueueName="q", QueueOwnerAWSAccountId="000000000000"))["QueueUrl"] == mine


async def test_partitions_follow_the_region(sqs: SqsClient) -> None:
    china = sqs.like(region="cn-north-1")
    assert await china.arn(await china.create("q")) == "arn:aws-cn:sqs:cn-north-1:000000000000:q"


async def test_tags_are_merged_removed_and_left_out_when_there_are_none(sqs: SqsClient) -> None:
    url = await sqs.create("q", tags={"a": "1"})
    await sqs("TagQueue", QueueUrl=url, Tags={"b": "", "A": "2"})
    assert await sqs("ListQueueTags", QueueUrl=url) == {"Tags": {"a": "1", "b": "", "A": "2"}}
    await sqs("UntagQueue", QueueUrl=url, TagKeys=["a", "A", "missing"])
    assert await sqs("ListQueueTags", QueueUrl=url) == {"Tags": {"b": ""}}
    await sqs("UntagQueue", QueueUrl=url, TagKeys=["b"])
    assert await sqs("ListQueueTags", QueueUrl=url) == {}


@pytest.mark.parametrize("keys", [[""], ["a", "b" * 129]])
async def test_a_tag_key_to_remove_has_1_to_128_characters(sqs: SqsClient, keys: list[str]) -> None:
    url = await sqs.create("q", tags={"a": "1"})
    with pytest.raises(Failed, match="InvalidParameterValue: Tag keys must be between 1 and 128 characters"):
        await sqs("UntagQueue", QueueUrl=url, TagKeys=keys)
    assert await sqs("ListQueueTags", QueueUrl=url) == {"Tags": {"a": "1"}}


async def test_a_queue_has_at_most_fifty_tags(sqs: SqsClient) -> None:
    url = await sqs.create("q", tags={f"t{number}": "" for number in range(50)})
    await sqs("TagQueue", QueueUrl=url, Tags={"t0": "again"})
    with pytest.raises(Failed, match="InvalidParameterValue: Too many tags added for queue q"):
        await sqs("TagQueue", QueueUrl=url, Tags={"one more": ""})
