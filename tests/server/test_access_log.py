"""The access log: a line for each request, with what helps to find it again and nothing that is secret."""

import json
import logging
from typing import Any

import httpx
import pytest

from penstock.cli.logs import JsonFormatter
from penstock.core.errors import StoreUnavailable
from penstock.server.options import Key
from penstock.store.memory import MemoryStore
from tests.support.server import running_server

KEY = Key("AKIDSHOP", "a-secret-of-some-length", name="shop")


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return what was written, as a program reads it."""
    records = [record for record in caplog.records if record.name == "penstock.access"]
    return [json.loads(JsonFormatter().format(record)) for record in records]


async def test_each_request_is_a_line_that_says_what_became_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "penstock")
    async with (
        running_server(MemoryStore(), keys=(KEY,), access_log=True) as url,
        httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer AKIDSHOP:{KEY.secret}"}) as http,
    ):
        await http.post("/v1/queues?hidden=yes", json={"queue": "orders"})
        await http.get("/v1/queues/nowhere", headers={"authorization": "Bearer AKIDSHOP:wrong-secret-of-mine"})
        sqs = {"x-amz-target": "AmazonSQS.ListQueues", "content-type": "application/x-amz-json-1.0"}
        listed = await http.post("/", content=b"{}", headers=sqs)
        await http.delete("/v1/queues/orders/deliveries/a-receipt-handle")
    created, refused, sqs_listed, deleted = lines(caplog)
    assert (created["method"], created["path"], created["status"]) == ("POST", "/v1/queues", 400)
    assert (created["user"], created["source_ip"], created["level"]) == ("shop", "127.0.0.1", "info")
    assert created["milliseconds"] >= 0
    assert created["body_bytes"] == len(b'{"queue":"orders"}')
    assert (refused["status"], "user" in refused) == (401, False)
    assert (sqs_listed["action"], sqs_listed["request_id"]) == ("ListQueues", listed.headers["x-amzn-requestid"])
    assert deleted["path"] == "/v1/queues/orders/deliveries/..."
    said = json.dumps(lines(caplog))
    for secret in (KEY.secret, "wrong-secret-of-mine", "a-receipt-handle", "hidden"):
        assert secret not in said


async def test_nothing_is_written_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "penstock")
    async with running_server(MemoryStore()) as url, httpx.AsyncClient(base_url=url) as http:
        await http.get("/v1/queues")
    assert lines(caplog) == []


async def test_a_failure_is_found_by_the_id_of_its_request(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryStore):
        async def describe_queue(self, name: str, now: int) -> Any:
            raise StoreUnavailable("The disk is full.") if name == "full" else RuntimeError("a bug")

    async with running_server(Broken(), access_log=True) as url, httpx.AsyncClient(base_url=url) as http:
        caplog.set_level(logging.INFO, "penstock")
        assert (await http.get("/v1/queues/full")).status_code == 503
        failed = await http.get("/v1/queues/buggy")
    told = [json.loads(JsonFormatter().format(each)) for each in caplog.records]
    failures, accesses = (
        [each for each in told if each["logger"] == name] for name in ("penstock.server", "penstock.access")
    )
    assert [each["status"] for each in accesses] == [503, 500]
    ids = [each["request_id"] for each in accesses]
    assert [each["request_id"] for each in failures] == ids
    assert ids[1] in failed.json()["hint"]
    assert "RuntimeError: a bug" in failures[1]["exception"]
