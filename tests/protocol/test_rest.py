"""REST as a person with curl meets it: the usual calls, and what mistakes get."""

from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from penstock.broker.local import LocalBroker
from penstock.core.errors import PenstockError, StoreUnavailable, error_types
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from penstock.wire.http import Response
from penstock.wire.rest import Rest
from penstock.wire.rest.problems import STATUS_OF, error_in, refusal
from tests.protocol.support import Driver, json_of, request


class Curl:
    """A server without sockets and a person who asks it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self._driver = Driver(Rest(), LocalBroker(MemoryStore(), self.clock))

    async def __call__(self, method: str, target: str, body: Any = None) -> Response:
        sent = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self._driver.ask(request(method, f"/v1{target}", sent))

    async def json(self, method: str, target: str, body: Any = None) -> Any:
        response = await self(method, target, body)
        assert response.status < 300, response.body
        assert (b"content-type", b"application/json") in response.headers
        return json_of(response)

    async def problem(self, method: str, target: str, body: Any = None) -> dict[str, Any]:
        response = await self(method, target, body)
        assert (b"content-type", b"application/problem+json") in response.headers, response.body
        problem: dict[str, Any] = json_of(response)
        assert problem["status"] == response.status
        assert problem["type"].endswith(problem["code"])
        assert problem["title"]
        assert problem["hint"]
        return problem


@pytest.fixture
def curl() -> Curl:
    return Curl()


async def test_a_message_is_sent_received_and_deleted(curl: Curl) -> None:
    assert (await curl("POST", "/queues", {"queue": "orders"})).status == 201
    assert (await curl("POST", "/queues", {"queue": "orders"})).status == 200
    sent = await curl.json("POST", "/queues/orders/messages", {"messages": [{"body": "hi"}]})
    assert sent["outcomes"][0]["outcome"] == "sent"
    (delivery,) = (await curl.json("POST", "/queues/orders/receive", {"max_messages": 10}))["deliveries"]
    assert delivery["body"] == "hi"
    deleted = await curl.json("DELETE", f"/queues/orders/deliveries/{delivery['receipt_handle']}")
    assert deleted["result"] == "done"
    again = await curl.json("DELETE", f"/queues/orders/deliveries/{delivery['receipt_handle']}")
    assert again["result"] == "gone"


async def test_a_receive_needs_no_body(curl: Curl) -> None:
    await curl("POST", "/queues", {"queue": "orders"})
    assert (await curl.json("POST", "/queues/orders/receive")) == {"deliveries": []}


async def test_queues_are_listed_described_changed_and_deleted(curl: Curl) -> None:
    for name in ("orders", "orders-dead", "mail"):
        await curl.json("POST", "/queues", {"queue": name, "settings": {"delay_seconds": 5}})
    listed = await curl.json("GET", "/queues?prefix=orders&limit=1")
    assert [queue["name"] for queue in listed["queues"]] == ["orders"]
    assert listed["next_after"] == "orders"
    changed = await curl.json("PATCH", "/queues/orders", {"settings": {"visibility_timeout_seconds": 90}})
    assert changed["queue"]["settings"]["visibility_timeout_seconds"] == 90
    described = await curl.json("GET", "/queues/orders")
    assert described["queue"]["settings"]["delay_seconds"] == 5
    assert await curl.json("DELETE", "/queues/orders") == {}
    assert (await curl.problem("GET", "/queues/orders"))["code"] == "queue_not_found"


async def test_a_queue_of_another_region_is_named_with_encoded_slashes(curl: Curl) -> None:
    name = "eu-west-1/000000000001/messages"
    await curl.json("POST", "/queues", {"queue": name})
    path = "/queues/eu-west-1%2F000000000001%2Fmessages"
    assert (await curl.json("GET", path))["queue"]["name"] == name
    await curl.json("POST", f"{path}/messages", {"messages": [{"body": "hi"}]})
    assert len((await curl.json("GET", f"{path}/messages"))["messages"]) == 1
    assert (await curl.problem("GET", f"/queues/{name}"))["code"] == "not_found"


async def test_messages_are_peeked_at_by_query(curl: Curl) -> None:
    await curl("POST", "/queues", {"queue": "orders"})
    drafts = [{"body": "now"}, {"body": "later ü", "delay_seconds": 60}]
    await curl.json("POST", "/queues/orders/messages", {"messages": drafts})
    delayed = await curl.json("GET", "/queues/orders/messages?state=delayed&text=later%20%C3%BC")
    assert [message["body"] for message in delayed["messages"]] == ["later ü"]
    message_id = delayed["messages"][0]["message_id"]
    assert (await curl.json("GET", f"/messages/{message_id}"))["body"] == "later ü"
    assert (await curl.json("POST", "/messages/cancel", {"message_ids": [message_id]}))["outcomes"] == ["done"]
    assert (await curl.problem("GET", f"/messages/{message_id}"))["code"] == "not_found"


async def test_a_lease_is_held_longer_and_one_that_is_over_is_told(curl: Curl) -> None:
    await curl("POST", "/queues", {"queue": "orders"})
    await curl.json("POST", "/queues/orders/messages", {"messages": [{"body": "hi"}]})
    (first,) = (await curl.json("POST", "/queues/orders/receive"))["deliveries"]
    path = f"/queues/orders/deliveries/{first['receipt_handle']}"
    assert (await curl.json("PATCH", path, {"visibility_timeout_seconds": 100}))["result"] == "done"
    curl.clock.advance(99)
    assert (await curl.json("POST", "/queues/orders/receive"))["deliveries"] == []
    curl.clock.advance(2)
    assert len((await curl.json("POST", "/queues/orders/receive"))["deliveries"]) == 1
    problem = await curl.problem("DELETE", path)
    assert (problem["code"], problem["status"]) == ("lease_lost", 409)


async def test_a_receipt_handle_of_nothing_is_refused(curl: Curl) -> None:
    await curl("POST", "/queues", {"queue": "orders"})
    assert (await curl.problem("DELETE", "/queues/orders/deliveries/nonsense"))["code"] == "receipt_handle_invalid"


async def test_binary_attributes_are_base64(curl: Curl) -> None:
    await curl("POST", "/queues", {"queue": "q"})
    attribute = {"data_type": "Binary", "binary_value": "AAH/"}
    await curl.json("POST", "/queues/q/messages", {"messages": [{"body": "x", "attributes": {"a": attribute}}]})
    (delivery,) = (await curl.json("POST", "/queues/q/receive"))["deliveries"]
    assert delivery["attributes"] == {"a": attribute}


MISTAKES: list[tuple[str, str, Any, str | None]] = [
    ("POST", "/queues", b"{", None),
    ("POST", "/queues", b"\xff", None),
    ("POST", "/queues", b"[]", None),
    ("POST", "/queues", b"[" * 100_000, None),
    ("POST", "/queues", b'{"x":' * 100_000, None),
    ("POST", "/queues", b'{"queue":"\\ud800"}', None),
    ("POST", "/queues", {}, "queue"),
    ("POST", "/queues", {"queue": 1}, "queue"),
    ("POST", "/queues", {"queeu": "a"}, "queeu"),
    ("POST", "/queues", {"queue": "a b"}, "queue"),
    ("POST", "/queues", {"queue": "a", "settings": {"delay_second": 1}}, "settings.delay_second"),
    ("POST", "/queues", {"queue": "a", "settings": {"delay_seconds": -1}}, "delay_seconds"),
    ("POST", "/queues", {"queue": "a", "settings": {"history": "some"}}, "settings.history"),
    ("POST", "/queues", {"queue": "a", "settings": {"redrive": {"max": 1}}}, "settings.redrive.max"),
    ("POST", "/queues/q/messages", {"messages": []}, "messages"),
    ("POST", "/queues/q/messages", {"messages": [{"body": "x"}, {"body": 1}]}, "messages[1].body"),
    ("POST", "/queues/q/messages", {"messages": [{"body": "x", "bdy": 1}]}, "messages[0].bdy"),
    ("POST", "/queues/q/messages", b'{"messages":[{"body":"x","priority":1%s}]}' % (b"0" * 30), "messages[0].priority"),
    ("POST", "/queues/q/messages", b'{"messages":[{"body":"x","delay_seconds":1e999}]}', "messages[0].delay_seconds"),
    ("POST", "/queues/q/messages?queue=q", {"messages": [{"body": "x"}]}, "queue"),
    ("POST", "/queues/q/receive", {"max_messages": 0}, "max_messages"),
    ("POST", "/queues/q/receive", {"max_messages": 1.5}, "max_messages"),
    ("POST", "/queues/q/peek", b'{"filter":{"sent_before":%s}}' % (b"9" * 25), "filter.sent_before"),
    ("POST", "/records", b'{"records":[{"key":"k","value":"%%%"}]}', "records[0].value"),
    ("POST", "/settle", {"settlements": [{"queue": "q", "receipt_handle": "r", "action": {"action": "x"}}]}, None),
    ("GET", "/queues?prefx=a", None, "prefx"),
    ("GET", "/queues?limit=many", None, "limit"),
    ("GET", "/queues?limit=0", None, "limit"),
    ("GET", "/queues?limit=99999999999999999999", None, "limit"),
    ("GET", "/queues?limit=1&limit=2", None, "limit"),
    ("GET", "/queues?prefix=%ff", None, None),
    ("GET", "/queues/%ff", None, None),
    ("GET", "/queues/q/messages?state=asleep", None, "state"),
    ("GET", "/queues/q/groups?only_parked=yes", None, "only_parked"),
    ("GET", "/moves", None, "source"),
    ("GET", "/queues", {"prefix": "a"}, None),
]


@pytest.mark.parametrize(("method", "target", "body", "field"), MISTAKES, ids=lambda each: str(each)[:60])
async def test_a_mistake_is_a_400_that_names_the_field(
    curl: Curl, method: str, target: str, body: Any, field: str | None
) -> None:
    await curl("POST", "/queues", {"queue": "q"})
    problem = await curl.problem(method, target, body)
    assert (problem["status"], problem["code"]) == (400, "invalid_request")
    if field is not None:
        assert problem["field"] == field
    assert [queue["name"] for queue in (await curl.json("GET", "/queues"))["queues"]] == ["q"]


async def test_a_misspelt_field_gets_a_suggestion(curl: Curl) -> None:
    problem = await curl.problem("POST", "/queues", {"queue": "a", "settings": {"delay_second": 1}})
    assert problem["hint"] == "Did you mean delay_seconds?"
    assert (await curl.problem("GET", "/queues?prefx=a"))["hint"] == "Did you mean prefix?"


async def test_an_unknown_path_is_not_found(curl: Curl) -> None:
    for target in ("", "/", "/nothing", "/queues/q/nothing", "/queues/q/messages/x", "/messages"):
        problem = await curl.problem("GET", target)
        assert (problem["status"], problem["code"]) == (404, "not_found")


async def test_a_wrong_method_tells_the_right_ones(curl: Curl) -> None:
    response = await curl("PUT", "/queues/q")
    assert response.status == 405
    assert dict(response.headers)[b"allow"] == b"DELETE, GET, HEAD, PATCH"
    assert json_of(response)["code"] == "method_not_allowed"


KINDS = [kind for kind in error_types().values() if kind.__module__.startswith(("penstock.core.", "penstock.wire."))]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_every_error_comes_back_as_itself(kind: type[PenstockError]) -> None:
    error = kind("It is so.", hint="Do it.", field="f")
    response = refusal(error)
    assert (response.status >= 500) == (error.fault == "server")
    back = error_in(response.status, response.body)
    assert type(back) is kind
    assert back.problem == error.problem


def test_every_status_in_the_table_is_of_an_error() -> None:
    assert set(STATUS_OF) <= set(error_types())


def test_an_answer_of_something_else_is_told_by_its_status() -> None:
    assert isinstance(error_in(502, b"<html>Bad gateway"), StoreUnavailable)
    assert error_in(401, b"").code == "not_authenticated"
    assert error_in(400, b'{"code":"novel","type":"","title":"","status":400,"detail":"d"}').code == "invalid_request"


async def test_the_description_is_valid_openapi(curl: Curl) -> None:
    described = await curl.json("GET", "/openapi.json")
    assert described["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(described).validate()
    assert described["paths"]["/v1/queues/{queue}/messages"]["post"]["operationId"] == "Send"
    assert described["components"]["schemas"]["Draft"]["properties"]["body"]["description"] == "the content, as text."
