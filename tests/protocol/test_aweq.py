"""AweQ's interface as its users know it."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.broker.local import LocalBroker
from penstock.core.errors import StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, Find, Send
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from penstock.wire.aweq import Aweq
from penstock.wire.http import Request, Response
from tests.protocol.support import Driver, json_of, request

ALL = "Requested batch-size available."
FEWER = "Fewer messages available than requested."
NONE = "No messages available in queue."


class Client:
    """A server without sockets, and its client."""

    def __init__(self, prefix: str = "", **options: float) -> None:
        self.clock = ManualClock()
        self.broker = LocalBroker(MemoryStore(), self.clock)
        self.dialect = Aweq(prefix, **options)  # type: ignore[arg-type]
        self._prefix = prefix
        self._driver = Driver(self.dialect, self.broker)

    async def start(self) -> "Client":
        await self.broker.perform(self.dialect.queue_settings())
        return self

    async def ask(
        self, method: str, target: str, body: bytes = b"", content_type: str = "application/json"
    ) -> Response:
        asked = request(method, self._prefix + target, body, content_type=content_type)
        response = await self._driver.ask(asked)
        assert dict(response.headers)[b"access-control-allow-origin"] == b"*"
        return response

    async def send(self, message: str) -> str:
        answer = json_of(await self.ask("POST", "/send-message", msgspec.json.encode({"message": message})))
        assert answer["status"] == "okay"
        key: str = answer["key"]
        return key

    async def receive(self, count: int = 1) -> list[dict[str, Any]]:
        answer = json_of(await self.ask("GET", f"/receive-message?count={count}"))
        assert answer["status"] == "okay"
        messages: list[dict[str, Any]] = answer["messages"]
        assert answer["message"] == (ALL if len(messages) == count else FEWER if messages else NONE)
        return messages

    async def delete(self, key: str) -> None:
        response = await self.ask("DELETE", f"/delete-message/{key}")
        assert (response.status, json_of(response)) == (200, {"status": "okay"})

    async def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = json_of(await self.ask("GET", "/get-stats"))["stats"]
        return stats


@pytest.fixture(params=["", "/aweq"])
async def client(request: pytest.FixtureRequest) -> Client:
    return await Client(request.param).start()


async def test_a_message_keeps_its_key_from_send_to_delete(client: Client) -> None:
    key = await client.send("hi")
    assert str(UUID(key)) == key
    sent_at = client.clock.now_ms()
    client.clock.advance(5)
    assert await client.receive() == [{"key": key, "timestamp": sent_at, "retry_count": 0, "message": "hi"}]
    await client.delete(key)
    client.clock.advance(1000)
    assert await client.receive() == []


async def test_count_is_one_unless_given(client: Client) -> None:
    await client.send("a")
    await client.send("b")
    answer = json_of(await client.ask("GET", "/receive-message"))
    assert (answer["message"], len(answer["messages"])) == (ALL, 1)


async def test_messages_come_in_order_and_to_one_consumer_only(client: Client) -> None:
    for number in range(10):
        await client.send(str(number))
    first, second = await client.receive(4), await client.receive(100)
    assert [message["message"] for message in first + second] == [str(number) for number in range(10)]


async def test_what_is_not_deleted_returns_to_the_end_in_its_order(client: Client) -> None:
    for text in "ab":
        await client.send(text)
    await client.receive(2)
    client.clock.advance(60)
    await client.send("c")
    client.clock.advance(59)
    assert [message["message"] for message in await client.receive(10)] == ["c"]
    client.clock.advance(1)
    again = await client.receive(10)
    assert [(message["message"], message["retry_count"]) for message in again] == [("a", 1), ("b", 1)]


async def test_how_long_a_checkout_lasts_can_be_chosen() -> None:
    client = await Client(checkout_lifetime_seconds=5).start()
    await client.send("a")
    await client.receive()
    assert (await client.stats())["checkout_lifetime"] == "5s"
    client.clock.advance(4.999)
    assert await client.receive() == []
    client.clock.advance(0.001)
    assert [(each["message"], each["retry_count"]) for each in await client.receive()] == [("a", 1)]


async def test_a_key_deletes_whoever_holds_the_message(client: Client) -> None:
    waiting, held = await client.send("waiting"), await client.send("held")
    client.clock.advance(1)
    await client.receive(2)
    client.clock.advance(121)
    await client.receive(1)
    await client.delete(waiting)
    await client.delete(held)
    assert (await client.stats())["queue_length"] == (await client.stats())["checkouts_count"] == 0


async def test_an_unknown_key_is_okay_and_other_queues_are_safe(client: Client) -> None:
    await client.broker.perform(CreateQueue("other"))
    message_id = "00000000-0000-4000-8000-000000000001"
    await client.broker.perform(Send("other", (Draft("x", message_id=message_id),)))
    for key in (message_id, "no-uuid", "", "a/b"):
        await client.delete(key)
    assert (await client.broker.perform(Find((message_id,)))).messages[0] is not None


async def test_statistics(client: Client) -> None:
    for _ in range(3):
        await client.send("x")
    await client.receive(1)
    lifetimes = {"checkout_lifetime": "120s", "rescue_interval": "2s"}
    assert await client.stats() == {"queue_length": 2, "checkouts_count": 1, **lifetimes}
    client.clock.advance(120)
    assert await client.stats() == {"queue_length": 3, "checkouts_count": 0, **lifetimes}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", ""),
        (b"", "application/json"),
        (b"{}", "application/json"),
        (b'{"message":""}', "application/json"),
        (b'{"message":null}', "application/json"),
        (b'{"message":', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff", "application/json"),
        (b"message=", "application/x-www-form-urlencoded"),
        (b"other=1", "application/x-www-form-urlencoded"),
        (b"message=%ff", "application/x-www-form-urlencoded"),
        (b"message=\xff", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_message_must_have_content(client: Client, body: bytes, content_type: str) -> None:
    response = await client.ask("POST", "/send-message", body, content_type)
    assert (response.status, response.body) == (400, b"Message content required.")
    assert (await client.stats())["queue_length"] == 0


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"message=hi+there%21", "application/x-www-form-urlencoded", "hi there!"),
        (b'{"message":"h\xc3\xbc"}', "application/json; charset=utf-8", "hü"),
        (b'{"message":{"a":[1, 2]}}', "application/json", '{"a":[1,2]}'),
        (b'{"message":"hi"}', "", "hi"),
    ],
)
async def test_json_and_forms_are_taken(client: Client, body: bytes, content_type: str, message: str) -> None:
    assert (await client.ask("POST", "/send-message", body, content_type)).status == 200
    assert [each["message"] for each in await client.receive()] == [message]


@pytest.mark.parametrize("count", ["0", "-1", "x", "", "1.5", "1001", "9" * 30, "%b2", "%ff", "ü"])
async def test_a_bad_count_is_a_400(client: Client, count: str) -> None:
    await client.send("x")
    assert (await client.ask("GET", f"/receive-message?count={count}")).status == 400
    assert (await client.stats())["queue_length"] == 1


async def test_browsers_may_ask_from_anywhere(client: Client) -> None:
    for call in ("send-message", "receive-message", "delete-message/x", "get-stats"):
        response = await client.ask("OPTIONS", f"/{call}")
        assert response.status == 204
        assert b"DELETE" in dict(response.headers)[b"access-control-allow-methods"]


async def test_unknown_calls_and_wrong_methods(client: Client) -> None:
    assert (await client.ask("GET", "/")).status == 404
    assert (await client.ask("GET", "/nothing")).status == 404
    assert (await client.ask("GET", "/get-stats/x")).status == 404
    assert (await client.ask("GET", "/send-message")).status == 405


async def test_a_message_over_the_limit_is_refused(client: Client) -> None:
    response = await client.ask("POST", "/send-message", b'{"message":"%s"}' % (b"x" * (1 << 20) + b"x"))
    assert response.status == 413
    assert (await client.stats())["queue_length"] == 0


def test_a_failing_store_is_a_500_with_a_short_text() -> None:
    response = Aweq().refuse(request("GET", "/get-stats"), StoreUnavailable("disk full at block 5"))
    assert (response.status, response.body) == (500, b"The queue cannot be reached.")


@given(
    st.sampled_from(["GET", "POST", "DELETE", "PUT"]), st.text("/?&=abcount%0\xff", max_size=12), st.binary(max_size=30)
)
def test_nothing_breaks_it(method: str, tail: str, body: bytes) -> None:
    for call in ("send-message", "receive-message", "delete-message/", "get-stats"):
        asked = request(method, "/x", body)
        path, _, query = f"/{call}{tail}".partition("?")
        Aweq().decode(Request(asked.method, path, query.encode(), {}, body, "http", "0", "r", "i"))
