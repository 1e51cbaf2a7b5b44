"""Requests with bytes changed at random: whatever comes, no answer is a failure of the server."""

import asyncio
import re
from random import Random

import pytest

from penstock.store.memory import MemoryStore
from tests.server.raw import PATIENCE_SECONDS, raw, request
from tests.support.server import running_server

FORM = ("content-type: application/x-www-form-urlencoded",)
JSON = ("content-type: application/x-amz-json-1.0", "x-amz-target: AmazonSQS.SendMessage")
SEEDS = (
    request("POST", "/", JSON, b'{"QueueUrl": "http://x/000000000000/orders", "MessageBody": "hello"}'),
    request(
        "POST", "/", FORM, b"Action=SendMessageBatch&QueueUrl=/000000000000/orders&Entry.1.Id=a&Entry.1.MessageBody=b"
    ),
    request("GET", "/000000000000/orders?Action=GetQueueAttributes&AttributeName.1=All"),
    request("POST", "/v1/queues/orders/messages", (), b'{"messages": [{"body": "hello", "delay_seconds": 3}]}'),
    request("POST", "/v1/queues/orders/receive", (), b'{"max_messages": 3, "wait_seconds": 0}'),
    request("POST", "/aweq/send-message", FORM, b"message=hello"),
    request("GET", "/aweq/receive-message?count=3"),
    request("POST", "/wq/", (), b'{"a": [1, 2, 3]}'),
    request("PATCH", "/wq/00000000-0000-4000-8000-000000000000"),
    request("GET", "/_aws/sqs/messages?QueueUrl=http://x/000000000000/orders"),
    request("POST", "/", ("transfer-encoding: chunked", *FORM), b"")[:-2]
    + b"\r\n10\r\nAction=ListQueue\r\n1\r\ns\r\n0\r\n\r\n",
    request("GET", "/health/ready"),
)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def mangled(seed: bytes, random: Random) -> bytes:
    """Return a request with some bytes replaced, left out, doubled or put in."""
    data = bytearray(seed)
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(data))
        match random.randrange(4):
            case 0:
                data[at] = random.randrange(256)
            case 1:
                del data[at : at + random.choice((1, 4))]
            case 2:
                data[at:at] = data[at : at + 8]
            case _:
                data[at:at] = random.choice((b"\0", b"\r\n", b"%", b"\xff", b'"', b"-1", b"9" * 30, "ü".encode()))
    return bytes(data)


@pytest.mark.parametrize("number", range(4))
async def test_no_mangled_request_is_a_failure_of_the_server(number: int, caplog: pytest.LogCaptureFixture) -> None:
    random = Random(number)
    async with running_server(MemoryStore(), limits="relaxed", read_seconds=0.3) as url:
        async with raw(url) as connection:
            await connection.post("/v1/queues", b'{"queue": "orders"}')
        for _ in range(30):
            tried = [mangled(random.choice(SEEDS), random) for _ in range(10)]
            for data, answer in zip(
                tried, await asyncio.gather(*(exchanged(url, each) for each in tried)), strict=True
            ):
                statuses = [int(status) for status in _STATUS.findall(answer)]
                assert all(status < 500 for status in statuses), (data, answer)
        async with raw(url) as connection:
            assert (await connection.get("/health/ready")).status == 200
    assert not caplog.records, caplog.text


async def exchanged(url: str, data: bytes) -> bytes:
    """Send bytes, then ask for the connection to be closed, and return all that comes back."""
    async with raw(url) as connection, asyncio.timeout(PATIENCE_SECONDS):
        try:
            await connection.send(data + request("GET", "/health/live", ("connection: close",)))
            return await connection.rest()
        except ConnectionError:
            return b""
