"""Long polls over HTTP: a client that goes takes no message, a server that stops answers them."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from penstock.broker.local import LocalBroker
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DescribeQueue, Peek, Receive, Send
from penstock.core.queues import QueueCounts
from penstock.store import open_store
from penstock.store.contract import Store
from penstock.store.memory import MemoryStore
from tests.server.raw import Raw, raw, request
from tests.support.server import running_server, serving
from tests.support.turns import until

RECEIVE = json.dumps({"wait_seconds": 20}).encode()


async def wait_for_message(connection: Raw, local: LocalBroker) -> None:
    """Begin a long poll and return when it waits."""
    waiting = local.waiting_count
    await connection.send(request("POST", "/v1/queues/orders/receive", body=RECEIVE))
    await until(lambda: local.waiting_count == waiting + 1, "the long poll waits")


async def opened(store: Store) -> LocalBroker:
    local = LocalBroker(store)
    await local.perform(CreateQueue("orders"))
    return local


async def counts(local: LocalBroker) -> QueueCounts:
    return (await local.perform(DescribeQueue("orders"))).queue.counts


async def test_a_message_ends_the_wait() -> None:
    store = MemoryStore()
    local = await opened(store)
    async with running_server(store, local=local) as url, raw(url) as connection:
        await wait_for_message(connection, local)
        await local.perform(Send("orders", (Draft("hello"),)))
        assert b"hello" in (await connection.answer()).body


async def test_a_client_that_goes_takes_no_message() -> None:
    store = MemoryStore()
    local = await opened(store)
    async with running_server(store, local=local) as url:
        for leave in (Raw.close, Raw.abort):
            async with raw(url) as connection:
                await wait_for_message(connection, local)
                leave(connection)
                await until(lambda: local.waiting_count == 0, "the server has noticed")
        await local.perform(Send("orders", (Draft("hello"),)))
        assert await counts(local) == QueueCounts(ready=1, delayed=0, in_flight=0)


@pytest.mark.parametrize("wait_seconds", [0, 20])
async def test_a_client_that_goes_while_its_message_is_fetched_gives_it_back(wait_seconds: int) -> None:
    class Slow(MemoryStore):
        async def receive(self, *asked, **more):  # type: ignore[no-untyped-def]
            started.set()
            await go_on.wait()
            return await super().receive(*asked, **more)

    started, go_on = asyncio.Event(), asyncio.Event()
    store = Slow()
    local = await opened(store)
    await local.perform(Send("orders", (Draft("hello"),)))
    async with serving(store, local=local) as server:
        listener = server._listener
        for leave in (Raw.close, Raw.abort):
            started.clear()
            go_on.clear()
            async with raw(server.url) as connection:
                body = json.dumps({"wait_seconds": wait_seconds}).encode()
                await connection.send(request("POST", "/v1/queues/orders/receive", body=body))
                await started.wait()
                leave(connection)
                await until(lambda: not listener.connections, "the connection is lost")
                go_on.set()
                await until(lambda: not listener.tasks, "the request is over")
            assert await counts(local) == QueueCounts(ready=1, delayed=0, in_flight=0)
        assert (await local.perform(Peek("orders"))).messages[0].receive_count == 0


async def test_a_client_that_sends_and_leaves_at_once_leaves_its_message_in_the_queue(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/penstock.db")
    local = await opened(store)
    await local.perform(Send("orders", (Draft("hello"),)))
    async with serving(store, local=local) as server:
        for _ in range(20):
            async with raw(server.url) as connection:
                await connection.send(request("POST", "/v1/queues/orders/receive", body=RECEIVE))
            await until(lambda: not server._listener.connections, "the connection is lost")
            await until(lambda: not server._listener.tasks, "the request is over")
            assert await counts(local) == QueueCounts(ready=1, delayed=0, in_flight=0)
    await store.aclose()


async def test_a_client_that_goes_leaves_the_message_to_the_next() -> None:
    store = MemoryStore()
    local = await opened(store)
    async with running_server(store, local=local) as url, raw(url) as gone, raw(url) as stays:
        await wait_for_message(gone, local)
        await wait_for_message(stays, local)
        gone.abort()
        await until(lambda: local.waiting_count == 1, "the server has noticed")
        await local.perform(Send("orders", (Draft("hello"),)))
        assert b"hello" in (await stays.answer()).body


async def test_the_next_request_behind_a_long_poll_is_no_goodbye() -> None:
    store = MemoryStore()
    local = await opened(store)
    async with running_server(store, local=local) as url, raw(url) as connection:
        await wait_for_message(connection, local)
        await connection.send(request("GET", "/health/live"))
        async with raw(url) as other:
            assert (await other.get("/health/live")).status == 200
        assert local.waiting_count == 1
        await local.perform(Send("orders", (Draft("hello"),)))
        assert b"hello" in (await connection.answer()).body
        assert b"live" in (await connection.answer()).body


async def test_a_client_that_goes_with_requests_behind_its_long_poll_takes_no_message() -> None:
    store = MemoryStore()
    local = await opened(store)
    async with running_server(store, local=local) as url:
        for early in (True, False):
            async with raw(url) as connection:
                await wait_for_message(connection, local)
                await connection.send(request("GET", "/health/live") * (1 if early else 5))
                connection.abort()
                await until(lambda: local.waiting_count == 0, "the server has noticed")
        await local.perform(Send("orders", (Draft("hello"),)))
        assert await counts(local) == QueueCounts(ready=1, delayed=0, in_flight=0)


async def test_a_server_that_stops_answers_long_polls_with_nothing() -> None:
    store = MemoryStore()
    local = await opened(store)
    async with serving(store, local=local) as server, raw(server.url) as connection, raw(server.url) as idle:
        assert (await idle.get("/health/live")).status == 200
        await wait_for_message(connection, local)
        async with asyncio.timeout(5):
            await server.stop()
        answer = await connection.answer()
        assert (answer.status, json.loads(answer.body)) == (200, {"deliveries": []})
        assert answer.headers["connection"] == "close"
        assert await connection.rest() == b""
        assert await idle.rest() == b""


async def test_a_request_under_way_is_finished_before_the_server_stops() -> None:
    class Slow(MemoryStore):
        async def describe_queue(self, name, now):  # type: ignore[no-untyped-def]
            started.set()
            await go_on.wait()
            return await super().describe_queue(name, now)

    started, go_on = asyncio.Event(), asyncio.Event()
    store = Slow()
    local = await opened(store)
    async with serving(store, local=local) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/v1/queues/orders"))
        await started.wait()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        go_on.set()
        assert (await connection.answer()).status == 200
        await stopping


async def test_a_request_that_never_ends_is_cut_off_when_the_server_stops(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(MemoryStore):
        async def describe_queue(self, name, now):  # type: ignore[no-untyped-def]
            started.set()
            await asyncio.Event().wait()

    started = asyncio.Event()
    store = Stuck()
    local = await opened(store)
    async with serving(store, local=local, drain_seconds=0.1) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/v1/queues/orders"))
        await started.wait()
        async with asyncio.timeout(5):
            await server.stop()
        with contextlib.suppress(ConnectionError):
            assert await connection.rest() == b""
    assert not caplog.records, caplog.text


async def test_a_message_that_was_received_without_a_lease_is_there_again_at_once() -> None:
    broker = LocalBroker(MemoryStore())
    await broker.perform(CreateQueue("orders"))
    await broker.perform(Send("orders", (Draft("hello"),)))
    for number in range(30):
        reply = await broker.perform(Receive("orders", wait_seconds=0, visibility_timeout_seconds=0))
        assert [each.receive_count for each in reply.deliveries] == [number + 1]
    await broker.aclose()
