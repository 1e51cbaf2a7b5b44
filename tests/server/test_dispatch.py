"""Who answers what, and how errors of every kind become answers."""

import json
import logging
from typing import Any

import httpx
import pytest

from penstock.broker.local import LocalBroker
from penstock.core.errors import StoreUnavailable
from penstock.core.operations import Operation
from penstock.store.memory import MemoryStore
from penstock.wire.sqs import SqsJson
from tests.support.server import running_server

SQS_JSON = {"content-type": "application/x-amz-json-1.0"}


def client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"accept": "*/*"})


async def sqs(http: httpx.AsyncClient, action: str, **parameters: Any) -> httpx.Response:
    return await http.post("/", json=parameters, headers={**SQS_JSON, "x-amz-target": f"AmazonSQS.{action}"})


async def test_all_faces_show_the_same_messages() -> None:
    async with running_server(MemoryStore()) as url, client(url) as http:
        queue_url = (await sqs(http, "CreateQueue", QueueName="orders")).json()["QueueUrl"]
        assert queue_url == f"{url}/000000000000/orders"
        await sqs(http, "SendMessage", QueueUrl=queue_url, MessageBody="by JSON")
        await http.post("/", data={"Action": "SendMessage", "QueueUrl": queue_url, "MessageBody": "by form"})
        await http.post("/v1/queues/orders/messages", json={"messages": [{"body": "by REST"}]})
        peeked = await http.get("/_aws/sqs/messages", params={"QueueUrl": queue_url})
        received = await http.get(
            "/000000000000/orders", params={"Action": "ReceiveMessage", "MaxNumberOfMessages": "10"}
        )
    for body in ("by JSON", "by form", "by REST"):
        assert body in received.text
        assert body in peeked.text


async def test_queues_of_the_small_dialects_appear_when_they_are_used() -> None:
    async with running_server(MemoryStore()) as url, client(url) as http:
        assert "QueueUrls" not in (await sqs(http, "ListQueues")).json()
        assert (await http.post("/aweq/send-message", json={"message": "hi"})).json()["status"] == "okay"
        assert (await http.post("/wq/", json={"a": 1})).status_code == 201
        assert len((await sqs(http, "ListQueues")).json()["QueueUrls"]) == 2


async def test_leases_of_the_small_dialects_are_as_configured() -> None:
    store = MemoryStore()
    for seconds in (7, 9):
        options = {"aweq_checkout_seconds": seconds, "wq_lock_seconds": seconds / 2}
        async with running_server(store, **options) as url, client(url) as http:
            await http.post("/aweq/send-message", json={"message": "hi"})
            await http.post("/wq/", json={"a": 1})
            assert (await http.get("/aweq/get-stats")).json()["stats"]["checkout_lifetime"] == f"{seconds}s"
            described = (await http.get("/v1/queues/wq")).json()
            assert described["queue"]["settings"]["visibility_timeout_seconds"] == seconds / 2
    async with running_server(store, root_dialect="aweq") as url, client(url) as http:
        assert (await http.get("/get-stats")).json()["stats"]["checkout_lifetime"] == "9s"


async def test_aweq_at_the_root_leaves_sqs_reachable() -> None:
    async with running_server(MemoryStore(), root_dialect="aweq") as url, client(url) as http:
        assert (await http.post("/send-message", data={"message": "Action=1"})).json()["status"] == "okay"
        assert (await http.get("/receive-message")).json()["messages"][0]["message"] == "Action=1"
        queue_url = (await sqs(http, "CreateQueue", QueueName="orders")).json()["QueueUrl"]
        assert (
            "SendMessageResult" in (await http.post(queue_url, data={"Action": "SendMessage", "MessageBody": "x"})).text
        )
        assert "QueueUrls" in (await sqs(http, "ListQueues")).text
        assert "Penstock" in (await http.get("/", headers={"accept": "text/html"})).text
        assert (await http.get("/health/ready")).status_code == 200


async def test_wq_at_the_root_leaves_sqs_reachable() -> None:
    async with running_server(MemoryStore(), root_dialect="wq") as url, client(url) as http:
        form_by_curl = {"content-type": "application/x-www-form-urlencoded"}
        sent = await http.post("/", content=b'{"a": "&Action=ListQueues"}', headers=form_by_curl)
        assert sent.status_code == 201
        received = await http.get("/", headers={"accept": "text/html"})
        assert received.json()["messages"][0]["body"] == {"a": "&Action=ListQueues"}
        assert (await http.patch(f"/{sent.json()['messageID']}")).status_code == 204
        assert (
            "<ListQueuesResponse" in (await http.post("/", data={"Version": "2012-11-05", "Action": "ListQueues"})).text
        )
        assert "<ListQueuesResponse" in (await http.get("/", params={"Action": "ListQueues"})).text


async def test_a_browser_is_told_what_this_is() -> None:
    async with running_server(MemoryStore()) as url, client(url) as http:
        page = await http.get("/", headers={"accept": "text/html,*/*", "host": 'evil"><script>'})
        assert page.status_code == 200
        assert "Penstock" in page.text
        assert "<script>" not in page.text
        assert (await http.get("/", headers={"accept": "text/html"}, params={"Action": "ListQueues"})).text.startswith(
            "<?xml"
        )


async def test_every_answer_of_sqs_names_its_own_request() -> None:
    async with running_server(MemoryStore()) as url, client(url) as http:
        ids = {(await sqs(http, "ListQueues")).headers["x-amzn-requestid"] for _ in range(20)}
    assert len(ids) == 20
    assert all(len(each) == 36 for each in ids)


@pytest.mark.parametrize(
    ("trusted", "url_start"), [(("127.0.0.0/8",), "https://queues.example.com"), (("10.0.0.0/8",), "http://127.0.0.1:")]
)
async def test_a_proxy_that_is_trusted_tells_how_the_client_calls_the_server(
    trusted: tuple[str, ...], url_start: str
) -> None:
    async with running_server(MemoryStore(), trusted_proxies=trusted) as url, client(url) as http:
        http.headers.update({"x-forwarded-proto": "https", "x-forwarded-host": "queues.example.com"})
        answer = await sqs(http, "CreateQueue", QueueName="orders")
    assert answer.json()["QueueUrl"].startswith(url_start)


# -- errors --------------------------------------------------------------------------------------------------------


class Broken(LocalBroker):
    """Fails as it is told."""

    error: Exception = RuntimeError("secret detail")

    async def perform(self, operation: Operation[Any]) -> Any:
        raise self.error


async def test_an_unforeseen_failure_is_a_500_without_detail_and_a_log_entry_with_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    async with running_server(store, local=Broken(store), auth="none") as url, client(url) as http:
        answers = [
            await sqs(http, "ListQueues"),
            await http.post("/", data={"Action": "ListQueues"}),
            await http.get("/v1/queues"),
            await http.get("/aweq/get-stats"),
            await http.get("/wq/"),
        ]
        request_id = answers[0].headers["x-amzn-requestid"]
    for answer in answers:
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
    assert answers[2].json()["code"] == "internal_error"
    assert len(caplog.records) == 5
    assert request_id in caplog.text
    assert "secret detail" in caplog.text


async def test_a_store_that_is_away_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    broker = Broken(store)
    broker.error = StoreUnavailable("The disk is full.", hint="Make room.")
    with caplog.at_level(logging.INFO):
        async with running_server(store, local=broker, auth="none") as url, client(url) as http:
            for _ in range(5):
                answer = await http.get("/v1/queues")
                assert answer.status_code == 503
                assert json.loads(answer.text)["hint"] == "Make room."
            assert (await sqs(http, "ListQueues")).status_code == 503
    assert len([record for record in caplog.records if record.name == "penstock.server"]) == 1


async def test_a_dialect_that_fails_to_refuse_is_no_stack_trace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(SqsJson, "refuse", fail)
    async with running_server(MemoryStore()) as url, client(url) as http:
        answer = await sqs(http, "Nonsense")
    assert (answer.status_code, answer.text) == (500, "Something went wrong inside the server.\n")
    assert "secret detail" in caplog.text
