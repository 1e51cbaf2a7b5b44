"""WQ's interface as its users know it."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.broker.local import LocalBroker
from penstock.core.errors import StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, Receive, Send
from penstock.store.contract import Store
from penstock.store.memory import MemoryStore
from penstock.store.sqlite import SqliteStore
from penstock.testing import ManualClock
from penstock.wire.http import Response
from penstock.wire.wq import Wq
from tests.protocol.support import Driver, json_of, request


class Client:
    """A server without sockets, and its client."""

    def __init__(self, prefix: str = "", store: Store | None = None) -> None:
        self.clock = ManualClock()
        self.broker = LocalBroker(store or MemoryStore(), self.clock)
        self.dialect = Wq(prefix)
        self._prefix = prefix
        self._driver = Driver(self.dialect, self.broker)

    async def start(self) -> "Client":
        await self.broker.perform(self.dialect.queue_settings())
        return self

    async def ask(self, method: str, target: str, body: bytes = b"") -> Response:
        return await self._driver.ask(request(method, self._prefix + target, body))

    async def send(self, body: bytes) -> str:
        response = await self.ask("POST", "/", body)
        assert response.status == 201
        ((name, message_id),) = json_of(response).items()
        assert name == "messageID"
        return str(message_id)

    async def receive(self, query: str = "") -> list[dict[str, Any]]:
        response = await self.ask("GET", f"/{query}")
        assert response.status == 200
        messages: list[dict[str, Any]] = json_of(response)["messages"]
        return messages

    async def confirm(self, message_id: str) -> int:
        return (await self.ask("PATCH", f"/{message_id}")).status


@pytest.fixture(params=["", "/wq"])
async def client(request: pytest.FixtureRequest) -> Client:
    return await Client(request.param).start()


async def test_a_message_is_posted_locked_and_confirmed(client: Client) -> None:
    message_id = await client.send(b'{"to": ["ann"], "n": 1}')
    assert str(UUID(message_id)) == message_id
    assert await client.receive() == [{"id": message_id, "body": {"to": ["ann"], "n": 1}}]
    assert await client.receive() == []
    assert await client.confirm(message_id) == 204
    assert await client.confirm(message_id) == 404
    client.clock.advance(1000)
    assert await client.receive() == []


@pytest.mark.parametrize("body", [b'"text"', b"0", b"null", b"[]", b'{"a":1.50}', b' {"a" : "\xc3\xbc"} ', b"1" * 400])
async def test_any_json_comes_back_as_it_was_posted(client: Client, body: bytes) -> None:
    await client.send(body)
    response = await client.ask("GET", "/")
    assert b'"body":' + body.strip() in response.body.replace(b'"body": ', b'"body":')


@pytest.mark.parametrize("body", [b"", b"{", b"hi", b"\xff", b'"\xff"', b"{} {}", b"NaN", b'"\\ud800"', b"[" * 100_000])
async def test_what_is_no_json_is_a_400(client: Client, body: bytes) -> None:
    assert (await client.ask("POST", "/", body)).status == 400
    assert await client.receive() == []


async def test_ten_come_at_once_unless_an_amount_is_given(client: Client) -> None:
    for number in range(15):
        await client.send(b"%d" % number)
    assert [message["body"] for message in await client.receive()] == list(range(10))
    assert [message["body"] for message in await client.receive("?amount=2")] == [10, 11]


@pytest.mark.parametrize("amount", ["0", "-1", "x", "", "1001", "9" * 30, "%ff", "ü"])
async def test_a_bad_amount_is_a_400(client: Client, amount: str) -> None:
    assert (await client.ask("GET", f"/?amount={amount}")).status == 400


async def test_a_lock_ends_and_the_message_goes_to_the_end(client: Client) -> None:
    first = await client.send(b"1")
    await client.receive()
    client.clock.advance(0.5)
    await client.send(b"2")
    client.clock.advance(0.5)
    assert await client.confirm(first) == 404
    assert [message["body"] for message in await client.receive()] == [2, 1]
    assert await client.confirm(first) == 204


async def test_a_lock_goes_on_across_a_restart_and_ends_when_it_would_have(tmp_path: Path) -> None:
    path = tmp_path / "penstock.db"
    before = await Client(store=await SqliteStore.open(path, durability="os")).start()
    await before.send(b"1")
    (message_id,) = (each["id"] for each in await before.receive())
    await before.broker.aclose()
    after = Client(store=await SqliteStore.open(path, durability="os"))
    after.clock.advance(0.999)
    assert await after.receive() == []
    after.clock.advance(0.001)
    assert await after.confirm(message_id) == 404
    assert [message["id"] for message in await after.receive()] == [message_id]
    assert await after.confirm(message_id) == 204
    await after.broker.aclose()


async def test_only_what_is_locked_here_is_confirmed(client: Client) -> None:
    waiting = await client.send(b"1")
    assert await client.confirm(waiting) == 404
    message_id = "00000000-0000-4000-8000-000000000001"
    await client.broker.perform(CreateQueue("other"))
    await client.broker.perform(Send("other", (Draft("x", message_id=message_id),)))
    await client.broker.perform(Receive("other"))
    for unknown in (message_id, "no-uuid", "00000000-0000-4000-8000-000000000002"):
        assert await client.confirm(unknown) == 404


async def test_a_message_of_another_dialect_that_is_no_json_is_a_text(client: Client) -> None:
    await client.broker.perform(Send("wq", (Draft('say "hi'), Draft('{"a":1}'))))
    assert [message["body"] for message in await client.receive()] == ['say "hi', {"a": 1}]


async def test_wrong_methods(client: Client) -> None:
    assert (await client.ask("DELETE", "/")).status == 405
    assert (await client.ask("GET", "/x")).status == 405


def test_the_mount_point_may_do_without_its_slash() -> None:
    assert not isinstance(Wq("/wq").decode(request("GET", "/wq")), Response)


async def test_a_message_over_the_limit_is_refused(client: Client) -> None:
    assert (await client.ask("POST", "/", b'"%s"' % (b"x" * (1 << 20)))).status == 413


def test_a_failing_store_is_a_500_with_a_short_text() -> None:
    response = Wq().refuse(request("GET", "/"), StoreUnavailable("disk full at block 5"))
    assert (response.status, response.body) == (500, b"The queue cannot be reached.")


@given(st.binary(max_size=30))
def test_a_posted_body_is_taken_or_refused(body: bytes) -> None:
    Wq().decode(request("POST", "/", body))
