"""aiobotocore: the same client on an event loop, with many calls under way at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from tests.clients.served import PATIENCE_SECONDS, Served, until_it_waits

Named = Callable[[str], str]
CONSUMER_COUNT = 8


@pytest.fixture
async def sqs(served: Served) -> AsyncIterator[Any]:
    config = AioConfig(max_pool_connections=CONSUMER_COUNT + 2)
    async with get_session().create_client("sqs", config=config, **served.arguments()) as client:
        yield client


async def test_consumers_waiting_together_share_what_comes(sqs: Any, named: Named) -> None:
    url = (await sqs.create_queue(QueueName=named("shared")))["QueueUrl"]

    async def consume() -> list[str]:
        seen = []
        while messages := (await sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)).get("Messages"):
            for message in messages:
                seen.append(message["Body"])
                await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return seen

    async with asyncio.timeout(PATIENCE_SECONDS):
        consumers = [asyncio.ensure_future(consume()) for _ in range(CONSUMER_COUNT)]
        batches = [
            [{"Id": str(number), "MessageBody": f"{batch}-{number}"} for number in range(10)] for batch in range(3)
        ]
        await asyncio.gather(*(sqs.send_message_batch(QueueUrl=url, Entries=batch) for batch in batches))
        seen = [body for found in await asyncio.gather(*consumers) for body in found]
    assert sorted(seen) == sorted(entry["MessageBody"] for batch in batches for entry in batch)


async def test_the_paginator_and_typed_exceptions_work(sqs: Any, named: Named) -> None:
    urls = {(await sqs.create_queue(QueueName=named(f"page-{number}")))["QueueUrl"] for number in range(3)}
    pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix=named("page-"), PaginationConfig={"PageSize": 2})
    assert {url async for page in pages for url in page["QueueUrls"]} == urls
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as missing:
        await sqs.get_queue_url(QueueName=named("missing"))
    assert missing.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


async def test_a_cancelled_long_poll_takes_no_message(sqs: Any, served: Served, named: Named) -> None:
    url = (await sqs.create_queue(QueueName=named("cancelled")))["QueueUrl"]
    before = served.waiting_count()
    poll = asyncio.ensure_future(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.to_thread(until_it_waits, served, before)
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    await sqs.send_message(QueueUrl=url, MessageBody="kept")
    asked = {"QueueUrl": url, "WaitTimeSeconds": 5, "AttributeNames": ["ApproximateReceiveCount"]}
    (message,) = (await sqs.receive_message(**asked))["Messages"]
    assert message["Attributes"] == {"ApproximateReceiveCount": "1"}
