"""HttpBroker against a real server: it is the in-process broker, further away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from penstock.broker.local import LocalBroker
from penstock.client.http import HttpBroker
from penstock.core.errors import InvalidRequest, NotAuthenticated, PenstockError, QueueNotFound, StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DescribeQueue, Find, Receive, Send, Settle
from penstock.core.settlements import Settled, Settlement
from penstock.server.options import Key
from penstock.server.server import Server
from penstock.store.memory import MemoryStore
from tests.support.server import running_server, serving
from tests.support.turns import until


class Near:
    """A server in this process and a broker that speaks to it."""

    def __init__(self, server: Server, local: LocalBroker) -> None:
        self.server, self.local = server, local
        self.broker = HttpBroker(server.url)

    @property
    def connection_count(self) -> int:
        return len(self.server._listener.connections)


@pytest.fixture
async def near() -> AsyncIterator[Near]:
    store = MemoryStore()
    local = LocalBroker(store)
    async with serving(store, local=local) as server:
        near = Near(server, local)
        yield near
        await near.broker.aclose()


async def _queue(broker: Any, *bodies: str) -> None:
    await broker.perform(CreateQueue("orders"))
    if bodies:
        await broker.perform(Send("orders", tuple(map(Draft, bodies))))


async def test_messages_are_sent_received_and_deleted_in_batches(near: Near) -> None:
    await _queue(near.broker, *map(str, range(10)))
    received = await near.broker.perform(Receive("orders", 10, 20))
    assert [delivery.body for delivery in received.deliveries] == [str(number) for number in range(10)]
    settled = await near.broker.perform(
        Settle(tuple(Settlement("orders", each.receipt_handle) for each in received.deliveries))
    )
    assert {outcome.result for outcome in settled.outcomes} == {Settled.DONE}
    assert (await near.broker.perform(DescribeQueue("orders"))).queue.counts.in_flight == 0


async def test_a_queue_of_another_region_is_reached(near: Near) -> None:
    name = "eu-west-1/000000000001/orders"
    await near.broker.perform(CreateQueue(name))
    assert (await near.broker.perform(DescribeQueue(name))).queue.name == name


@pytest.mark.parametrize(
    "operation",
    [
        DescribeQueue("nowhere"),
        DescribeQueue(""),
        DescribeQueue("a/b?c#d"),
        Receive("orders", 0),
        Receive("orders", wait_seconds=-1.5),
        Send("orders", ()),
        Send("orders", (Draft("x", message_id="X"),)),
        Send("orders", (Draft("x", delay_seconds=float("inf")),)),
        Receive("orders", wait_seconds=float("nan")),
        Find(()),
    ],
    ids=repr,
)
async def test_errors_are_the_same_as_in_process(near: Near, operation: Any) -> None:
    await _queue(near.broker)
    with pytest.raises(PenstockError) as here:
        await near.local.perform(operation)
    with pytest.raises(type(here.value)) as there:
        await near.broker.perform(operation)
    assert there.value.problem == here.value.problem


async def test_a_text_no_request_can_carry_is_refused_here(near: Near) -> None:
    for operation in (Send("orders", (Draft("\ud800"),)), DescribeQueue("\ud800")):
        with pytest.raises(InvalidRequest):
            await near.broker.perform(operation)


async def test_one_connection_serves_call_after_call(near: Near) -> None:
    await _queue(near.broker)
    for _ in range(10):
        await near.broker.perform(DescribeQueue("orders"))
    assert near.connection_count == 1


async def test_a_long_poll_is_answered_when_a_message_comes(near: Near) -> None:
    await _queue(near.broker)
    poll = asyncio.create_task(near.broker.perform(Receive("orders", 1, 20)))
    await until(lambda: near.local.waiting_count == 1, "the poll waits")
    await near.broker.perform(Send("orders", (Draft("hi"),)))
    assert [each.body for each in (await poll).deliveries] == ["hi"]


async def test_a_cancelled_long_poll_leaves_the_server_and_takes_nothing(near: Near) -> None:
    await _queue(near.broker)
    poll = asyncio.create_task(near.broker.perform(Receive("orders", 1, 20)))
    await until(lambda: near.local.waiting_count == 1, "the poll waits")
    poll.cancel()
    await until(lambda: near.local.waiting_count == 0, "the server noticed")
    await near.broker.perform(Send("orders", (Draft("hi"),)))
    assert len((await near.broker.perform(Receive("orders", 1, 0))).deliveries) == 1


async def test_many_long_polls_do_not_keep_others_waiting(near: Near) -> None:
    await _queue(near.broker)
    polls = [asyncio.create_task(near.broker.perform(Receive("orders", 1, 20))) for _ in range(100)]
    await until(lambda: near.local.waiting_count == 100, "all wait")
    await near.broker.perform(Send("orders", tuple(Draft(str(number)) for number in range(100))))
    replies = await asyncio.gather(*polls)
    assert sorted(int(each.body) for reply in replies for each in reply.deliveries) == list(range(100))


async def test_an_operation_goes_on_after_the_server_was_away() -> None:
    store = MemoryStore()
    async with serving(store) as server:
        port = server.port
        broker = HttpBroker(server.url)
        await _queue(broker, "hi")
    with pytest.raises(StoreUnavailable):
        await broker.perform(DescribeQueue("orders"))
    store = MemoryStore()
    async with serving(store, port=port):
        with pytest.raises(QueueNotFound):
            await broker.perform(DescribeQueue("orders"))
    await broker.aclose()


async def test_a_server_with_keys_wants_the_token() -> None:
    async with running_server(MemoryStore(), keys=[Key("id", "secret")]) as url:
        stranger, friend = HttpBroker(url), HttpBroker(url, token="id:secret")
        with pytest.raises(NotAuthenticated):
            await stranger.perform(CreateQueue("orders"))
        assert (await friend.perform(CreateQueue("orders"))).was_created
        await stranger.aclose()
        await friend.aclose()


async def test_a_closed_broker_performs_nothing(near: Near) -> None:
    await near.broker.aclose()
    with pytest.raises(StoreUnavailable):
        await near.broker.perform(CreateQueue("orders"))


@pytest.mark.parametrize("base_url", ["", "localhost:3000", "ftp://x", "http://", "http://h:port", "http://h\r\nx/"])
async def test_an_address_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(InvalidRequest):
        HttpBroker(base_url)


async def test_a_token_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        HttpBroker("http://localhost", token="a\r\nb: c")
