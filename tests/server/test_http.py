"""HTTP itself: odd, slow, large and broken requests get a plain answer and harm nobody."""

import asyncio
import contextlib
import json
import socket

import pytest

from penstock.store.memory import MemoryStore
from tests.server.raw import raw, request
from tests.support.server import running_server, serving
from tests.support.turns import until

CREATE = b'{"queue": "orders"}'


async def test_requests_in_one_packet_are_answered_in_order() -> None:
    async with running_server(MemoryStore()) as url, raw(url) as connection:
        await connection.send(
            request("POST", "/v1/queues", body=CREATE)
            + request("GET", "/v1/queues/orders")
            + request("GET", "/nowhere")
        )
        statuses = [(await connection.answer()).status for _ in range(3)]
    assert statuses == [201, 200, 404]


async def test_a_body_may_come_in_chunks_and_byte_by_byte() -> None:
    head = b"POST /v1/queues HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in CREATE) + b"0\r\n\r\n"
    async with running_server(MemoryStore()) as url, raw(url) as connection:
        for byte in head + chunks:
            await connection.send(bytes((byte,)))
        assert (await connection.answer()).status == 201


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET \xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\naccept: */*\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\naccept: */*\r\nHost: y\r\n\r\n",
        b"GET " + b"/x" * 40_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
    ids=lambda each: repr(each[:24]),
)
async def test_what_is_not_http_gets_400(rubbish: bytes) -> None:
    async with running_server(MemoryStore()) as url, raw(url) as connection:
        await connection.send(rubbish)
        answer = await connection.rest()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"Traceback" not in answer
        async with raw(url) as another:
            assert (await another.get("/health/live")).status == 200


async def test_rubbish_behind_a_good_request_leaves_its_answer_alone() -> None:
    async with running_server(MemoryStore()) as url, raw(url) as connection:
        await connection.send(request("GET", "/health/live") + b"\x00\x01\x02 rubbish\r\n\r\n")
        assert (await connection.answer()).status == 200


async def test_endless_headers_get_431() -> None:
    async with running_server(MemoryStore()) as url, raw(url) as connection:
        await connection.send(b"GET / HTTP/1.1\r\nhost: x\r\n")
        for _ in range(200):
            await connection.send(b"x-filler: " + b"y" * 1000 + b"\r\n")
        assert (await connection.rest()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "path",
    ["/%ff%fe", "/%00", "//", "/../../etc/passwd", "/v1/queues/%2e%2e", "/v1/%F0%28", "/?%", "/?a=%zz&Action=%ff", "*"],
)
async def test_odd_paths_are_the_callers_mistake(path: str) -> None:
    async with running_server(MemoryStore()) as url:
        for method in ("GET", "POST", "DELETE", "OPTIONS", "PATCH", "PUT"):
            async with raw(url) as connection:
                await connection.send(request(method, path))
                assert 200 <= (await connection.answer()).status < 500, method


@pytest.mark.parametrize("prefix", ["", "/v1", "/aweq", "/wq", "/_aws/sqs/messages"])
async def test_head_and_options_are_answered_without_a_body(prefix: str) -> None:
    async with running_server(MemoryStore()) as url:
        for method in ("HEAD", "OPTIONS"):
            async with raw(url) as connection:
                await connection.send(request(method, f"{prefix}/"))
                answer = await connection.answer(has_body=method != "HEAD")
                assert answer.status < 500
                assert (await connection.get("/health/live")).status == 200, "the connection is in step"


async def test_an_offer_of_another_protocol_is_declined_by_answering() -> None:
    upgrade = (
        "connection: Upgrade, HTTP2-Settings",
        "upgrade: h2c",
        "http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    )
    async with running_server(MemoryStore()) as url, raw(url) as connection:
        assert (await connection.get("/health/live", *upgrade)).status == 200
        assert (await connection.post("/v1/queues", CREATE, *upgrade)).status == 201
        assert (await connection.get("/v1/queues/orders")).status == 200


# -- too large -----------------------------------------------------------------------------------------------------


async def test_a_body_over_the_limit_gets_413_in_the_dialects_words_and_changes_nothing() -> None:
    async with running_server(MemoryStore(), max_body_bytes=2000) as url:
        async with raw(url) as connection:
            answer = await connection.post("/v1/queues", CREATE + b" " * 2000)
            assert (answer.status, json.loads(answer.body)["code"]) == (413, "message_too_large")
        async with raw(url) as connection:
            answer = await connection.post("/", b"x" * 2001, "x-amz-target: AmazonSQS.SendMessage")
            assert answer.status == 413
            assert "__type" in json.loads(answer.body)
            assert await connection.rest() == b""
        async with raw(url) as connection:
            assert (await connection.get("/v1/queues/orders")).status == 404


async def test_a_chunked_body_over_the_limit_gets_413() -> None:
    async with running_server(MemoryStore(), max_body_bytes=2000) as url, raw(url) as connection:
        await connection.send(b"POST /v1/queues HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(30):
            await connection.send(b"64\r\n" + b" " * 100 + b"\r\n")
        assert (await connection.answer()).status == 413


async def test_a_client_that_asks_before_it_sends_is_told_at_once() -> None:
    async with running_server(MemoryStore(), max_body_bytes=2000) as url, raw(url) as connection:
        head = b"POST /v1/queues HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
        await connection.send(head % 5000)
        assert (await connection.answer()).status == 413
    async with running_server(MemoryStore()) as url, raw(url) as connection:
        await connection.send(head % len(CREATE))
        assert (await connection.answer()).status == 100
        await connection.send(CREATE)
        assert (await connection.answer()).status == 201


# -- slow and silent -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "half",
    [
        b"POST / HT",
        b"POST / HTTP/1.1\r\nhost: x\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{",
    ],
)
async def test_half_a_request_gets_408(half: bytes) -> None:
    async with running_server(MemoryStore(), read_seconds=0.2) as url, raw(url) as connection:
        await connection.send(half)
        assert (await connection.rest()).startswith(b"HTTP/1.1 408 ")


async def test_a_drop_at_a_time_does_not_gain_time() -> None:
    async with running_server(MemoryStore(), read_seconds=0.3) as url, raw(url) as connection:
        closed = asyncio.create_task(connection.rest())
        async with asyncio.timeout(10):
            await connection.send(b"GET / HTTP/1.1\r\n")
            while not closed.done():
                await connection.send(b"x: y\r\n")
                await asyncio.wait((closed,), timeout=0.05)
        # a drop that crosses the close on its way resets the connection, and the answer goes with it
        with contextlib.suppress(ConnectionResetError):
            assert closed.result().startswith(b"HTTP/1.1 408 ")


async def test_a_silent_connection_is_closed_without_a_word() -> None:
    async with running_server(MemoryStore(), idle_seconds=0.2) as url:
        async with raw(url) as connection:
            assert await connection.rest() == b""
        async with raw(url) as connection:
            assert (await connection.get("/health/live")).status == 200
            assert await connection.rest() == b""


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    async with serving(MemoryStore(), idle_seconds=0.3) as server:
        connections = server._listener.connections
        async with raw(server.url) as connection:
            await connection.post("/v1/queues", CREATE)
            body = json.dumps({"messages": [{"body": "x" * 100_000}] * 40}).encode()
            assert (await connection.post("/v1/queues/orders/messages", body)).status == 200
        await until(lambda: not connections, "the first connection is gone")
        with socket.create_connection(("127.0.0.1", server.port)) as silent:
            silent.sendall(request("GET", "/v1/queues/orders/messages?limit=40") * 20)
            await until(lambda: len(connections) == 1, "it is connected")
            await until(lambda: not connections, "it is cut off")


async def test_many_connections_do_not_disturb_one_another() -> None:
    async with running_server(MemoryStore()) as url:
        opened = [await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2])) for _ in range(300)]
        for _, writer in opened:
            writer.write(b"POST /v1/queues HTTP/1.1\r\n")
        async with raw(url) as connection:
            assert (await connection.get("/health/ready")).status == 200
        for _, writer in opened:
            writer.close()
