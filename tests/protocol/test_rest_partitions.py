"""Queues of several partitions over REST, through a server with keys: made, told of, used, and guarded as one."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from penstock.core.rights import Rights, read_grant
from penstock.server.options import Key
from penstock.store.contract import Store
from penstock.store.memory import MemoryStore
from penstock.store.partitioned import PartitionedStore
from tests.support.server import running_server

ADMIN = Key("AKIDADMIN", "the secret of who may do everything")
PICKER = Key("AKIDPICKER", "the secret of who picks orders", rights=Rights((read_grant("receive:orders"),)))
LOOKALIKE = Key("AKIDLOOKS", "the secret of who may see others", rights=Rights((read_grant("receive:orders?3"),)))
THEIRS = Key("AKIDTHEIRS", "the secret of another account", account="111122223333")
KEYS = (ADMIN, PICKER, LOOKALIKE, THEIRS)


class Curl:
    """A person with curl and a key."""

    def __init__(self, http: httpx.AsyncClient, key: Key) -> None:
        self._http = http
        self._bearer = {"authorization": f"Bearer {key.access_key_id}:{key.secret}"}

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = await self._http.request(method, f"/v1{path}", json=body, headers=self._bearer)
        return answer.status_code, answer.json()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    store = cast(Store, PartitionedStore(MemoryStore()))
    async with running_server(store, keys=KEYS) as url, httpx.AsyncClient(base_url=url) as http:
        settings = {"partitions": 8, "partitioner": "qugo:4"}
        made, described = await Curl(http, ADMIN)("POST", "/queues", {"queue": "orders", "settings": settings})
        assert made == 201
        assert settings.items() <= described["queue"]["settings"].items()
        yield http


async def test_a_queue_of_partitions_is_used_as_any_other(http: httpx.AsyncClient) -> None:
    curl = Curl(http, ADMIN)
    messages = [{"body": str(key), "group_id": str(key)} for key in range(16)]
    _, sent = await curl("POST", "/queues/orders/messages", {"messages": [*messages, {"body": "x", "group_id": "x"}]})
    assert [each["outcome"] for each in sent["outcomes"]] == ["sent"] * 16 + ["refused"]
    assert sent["outcomes"][16]["problem"]["field"] == "group_id"
    _, found = await curl("POST", "/queues/orders%235/receive", {"max_messages": 10})
    assert sorted(each["body"] for each in found["deliveries"]) == ["13", "5"]
    handle = found["deliveries"][0]["receipt_handle"]
    assert (await curl("DELETE", f"/queues/orders/deliveries/{handle}"))[1]["result"] == "done"
    _, told = await curl("GET", "/queues/orders")
    assert told["queue"]["counts"] == {"ready": 14, "delayed": 0, "in_flight": 1}
    _, listed = await curl("GET", "/queues")
    assert [each["name"] for each in listed["queues"]] == ["orders"]


async def test_a_bad_partitioner_is_a_problem_with_a_hint(http: httpx.AsyncClient) -> None:
    status, problem = await Curl(http, ADMIN)(
        "POST", "/queues", {"queue": "q", "settings": {"partitions": 6, "partitioner": "qugo:4"}}
    )
    assert (status, problem["field"], problem["hint"]) == (400, "partitions", "Make partitions a multiple of 4.")


async def test_who_may_receive_from_a_queue_may_from_its_partitions_and_nobody_else(http: httpx.AsyncClient) -> None:
    for path in ("/queues/orders/receive", "/queues/orders%233/receive"):
        assert (await Curl(http, PICKER)("POST", path, {}))[0] == 200
        for key in (LOOKALIKE, THEIRS):
            status, problem = await Curl(http, key)("POST", path, {})
            assert (status, problem["code"]) == (403, "access_denied")


async def test_a_policy_holds_for_each_partition(http: httpx.AsyncClient) -> None:
    admin, theirs = Curl(http, ADMIN), Curl(http, THEIRS)

    async def set_policy(effect: str, principal: str) -> None:
        arn = "arn:aws:sqs:us-east-1:000000000000:orders"
        statement = {"Effect": effect, "Principal": {"AWS": principal}, "Action": "sqs:*", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        changed = await admin("PATCH", "/queues/orders", {"settings": {"edge_attributes": {"Policy": policy}}})
        assert changed[0] == 200

    await set_policy("Allow", "111122223333")
    assert (await theirs("POST", "/queues/orders%233/receive", {}))[0] == 200
    await set_policy("Deny", "*")
    for key in (admin, theirs):
        assert (await key("POST", "/queues/orders%233/receive", {}))[0] == 403


async def test_partitions_of_another_account_are_its_own(http: httpx.AsyncClient) -> None:
    theirs, admin = Curl(http, THEIRS), Curl(http, ADMIN)
    name = "us-east-1%2F111122223333%2Fparts"
    body = {"queue": "us-east-1/111122223333/parts", "settings": {"partitions": 2}}
    assert (await theirs("POST", "/queues", body))[0] == 201
    assert (await theirs("POST", f"/queues/{name}%231/receive", {}))[0] == 200
    assert (await admin("POST", f"/queues/{name}%231/receive", {}))[0] == 403
