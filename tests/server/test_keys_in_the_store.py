"""Keys that the store keeps: made, rotated and revoked while servers run, and never told by anything they keep."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import msgspec
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from penstock.broker.local import LocalBroker
from penstock.broker.system import SystemClock
from penstock.client.http import HttpBroker
from penstock.core.effects import Effects, Guard, Record
from penstock.core.errors import AccessDenied, InvalidRequest
from penstock.core.messages import Draft
from penstock.core.operations import (
    Apply,
    CreateQueue,
    DeleteRecords,
    FindRecords,
    GetRecords,
    Operation,
    PutRecords,
    Receive,
    Send,
    Settle,
)
from penstock.core.settlements import Settlement
from penstock.server.directory.directory import Directory
from penstock.server.directory.masters import MasterKeyMissing, Masters, masters_of
from penstock.server.directory.shapes import PREFIX, VERSION, Grace, KeyWish, NewKey
from penstock.server.options import Key
from penstock.server.server import Server
from penstock.store import open_store
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from tests.support.server import serving

MASTER = "a master key of more than thirty-two characters"
ADMIN = Key("ADMIN", "the secret of the admin")
BEARER = {"authorization": f"Bearer {ADMIN.access_key_id}:{ADMIN.secret}"}
OPERATOR = KeyWish(("operate:orders-*",), name="shop")


class Place:
    """A server, and what calls it."""

    def __init__(self, server: Server, http: httpx.AsyncClient) -> None:
        self.server = server
        self.http = http
        self.look = server.entrance.roster.look

    async def status(self, made: NewKey, path: str = "/v1/queues") -> int:
        """Return how the server answers somebody with a key."""
        answer = await self.http.get(path, headers={"authorization": f"Bearer {made.key.key_id}:{made.secret}"})
        return answer.status_code

    async def make(self, wish: KeyWish = OPERATOR) -> NewKey:
        """Make a key as the admin."""
        answer = await self.http.post("/access/keys", json=msgspec.to_builtins(wish), headers=BEARER)
        assert answer.status_code == 201, answer.text
        return msgspec.json.decode(answer.content, type=NewKey)


@asynccontextmanager
async def place(store: Any, **options: Any) -> AsyncIterator[Place]:
    options = {"keys": (ADMIN,), "master_keys": (MASTER,), **options}
    async with serving(store, **options) as server, httpx.AsyncClient(base_url=server.url) as http:
        yield Place(server, http)


def directory(store: Any, *, masters: Masters | None = None) -> Directory:
    now_ms = SystemClock().now_ms
    return Directory(LocalBroker(store), masters or Masters((MASTER,)), account="0" * 12, now_ms=now_ms)


def sqs(url: str, made: NewKey) -> Any:
    return boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=made.key.key_id,
        aws_secret_access_key=made.secret,
        config=Config(retries={"max_attempts": 1}),
    )


async def test_one_key_is_for_aws_clients_and_for_rest_with_the_same_rights() -> None:
    store = MemoryStore()
    await LocalBroker(store).perform(CreateQueue("orders-eu"))
    await LocalBroker(store).perform(CreateQueue("billing"))
    async with place(store) as here:
        made = await here.make()
        client = sqs(here.server.url, made)
        listed = await asyncio.to_thread(client.list_queues)
        assert [each.rpartition("/")[2] for each in listed["QueueUrls"]] == ["orders-eu"]
        url = listed["QueueUrls"][0]
        await asyncio.to_thread(client.send_message, QueueUrl=url, MessageBody="x")
        for method, parameters in (
            (client.send_message, {"QueueUrl": url.replace("orders-eu", "billing"), "MessageBody": "x"}),
            (client.delete_queue, {"QueueUrl": url}),
            (client.create_queue, {"QueueName": "orders-new"}),
        ):
            with pytest.raises(ClientError) as caught:
                await asyncio.to_thread(method, **parameters)
            assert caught.value.response["Error"]["Code"] == "AccessDenied"
        async with bearer(here, made) as broker:
            assert (await broker.perform(Receive("orders-eu"))).deliveries
            with pytest.raises(AccessDenied):
                await broker.perform(Receive("billing"))


async def repeated(ask: Callable[[], Awaitable[int]]) -> AsyncIterator[int]:
    while True:
        yield await ask()


@asynccontextmanager
async def bearer(here: Place, made: NewKey) -> AsyncIterator[HttpBroker]:
    broker = HttpBroker(here.server.url, token=f"{made.key.key_id}:{made.secret}")
    yield broker
    await broker.aclose()


async def test_a_rotated_key_is_accepted_for_the_grace_time_and_its_successor_at_once() -> None:
    store, clock = MemoryStore(), ManualClock()
    async with place(store, clock=clock) as here:
        old = await here.make()
        answer = await here.http.post(
            f"/access/keys/{old.key.key_id}/rotate", json={"grace_seconds": 60}, headers=BEARER
        )
        fresh = msgspec.json.decode(answer.content, type=NewKey)
        assert (fresh.key.name, fresh.key.allow) == ("shop", ("operate:orders-*",))
        assert [await here.status(old), await here.status(fresh)] == [200, 200]
        clock.advance(61)
        await here.look()
        assert [await here.status(old), await here.status(fresh)] == [401, 200]
        again = await here.http.post(f"/access/keys/{old.key.key_id}/rotate", headers=BEARER)
        assert again.status_code == 400
        listed = (await here.http.get("/access/keys", headers=BEARER)).json()["keys"]
        assert [(each["status"], each.get("replaced_by")) for each in listed] == [
            ("expired", fresh.key.key_id),
            ("active", None),
        ]


async def test_a_revoked_key_is_refused_at_once_and_by_other_servers_when_they_look() -> None:
    store = MemoryStore()
    async with place(store) as here, place(store) as there:
        made = await here.make()
        await there.look()
        assert [await here.status(made), await there.status(made)] == [200, 200]
        answer = await here.http.post(f"/access/keys/{made.key.key_id}/revoke", headers=BEARER)
        assert answer.json()["status"] == "revoked"
        assert await here.status(made) == 401
        await there.look()
        assert await there.status(made) == 401


async def test_servers_look_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.server.directory.roster.LOOK_SECONDS", 0.01)
    store = MemoryStore()
    async with place(store) as here:
        made = await directory(store).create_key(OPERATOR, "somebody")
        async with asyncio.timeout(20):
            async for status in repeated(lambda: here.status(made)):  # the server looks meanwhile
                if status == 200:
                    break


async def test_a_key_ends_when_it_was_said_to() -> None:
    store, clock = MemoryStore(), ManualClock()
    async with place(store, clock=clock) as here:
        made = await here.make(KeyWish(("view",), expires_seconds=3600))
        assert await here.status(made) == 200
        clock.advance(3600)
        await here.look()
        assert await here.status(made) == 401


async def test_the_first_key_closes_the_servers_on_the_store_for_good() -> None:
    store = MemoryStore()
    async with place(store, keys=()) as here:
        assert (await here.http.get("/v1/queues")).status_code == 200
        refused = await here.http.post("/access/keys", json={"allow": ["operate"]})
        assert "make no others" in refused.json()["detail"]
        answer = await here.http.post("/access/keys", json={"allow": ["admin"]})
        made = msgspec.json.decode(answer.content, type=NewKey)
        assert made.is_first
        assert (await here.http.get("/v1/queues")).status_code == 401
        assert await here.status(made) == 200
        await directory(store).revoke_key(made.key.key_id, "somebody")
        await here.look()
        assert await here.status(made) == 401
    async with place(store, keys=()) as later, place(store, keys=(), auth="none") as open_on_purpose:
        assert (await later.http.get("/v1/queues")).status_code == 401
        assert (await open_on_purpose.http.get("/v1/queues")).status_code == 200


async def test_auth_keys_asks_for_one_before_there_is_any() -> None:
    async with place(MemoryStore(), keys=(), auth="keys") as here:
        assert (await here.http.get("/v1/queues")).status_code == 401


@pytest.mark.parametrize(
    "allow", [("operate",), ("admin:orders-*",), ("view", "send")], ids=lambda allow: "+".join(allow)
)
async def test_only_who_administers_all_queues_sees_or_makes_keys(allow: tuple[str, ...]) -> None:
    async with place(MemoryStore()) as here:
        made = await here.make(KeyWish(allow))
        headers = {"authorization": f"Bearer {made.key.key_id}:{made.secret}"}
        for method, path in (
            ("GET", "keys"),
            ("POST", "keys"),
            ("POST", f"keys/{made.key.key_id}/rotate"),
            ("POST", f"keys/{made.key.key_id}/revoke"),
        ):
            body = {"allow": ["admin"]} if path == "keys" and method == "POST" else None
            answer = await here.http.request(method, f"/access/{path}", json=body, headers=headers)
            assert answer.status_code == 403, path
            assert (await here.http.request(method, f"/access/{path}", json=body)).status_code == 401, path
        assert (await here.http.get("/access/me", headers=headers)).json()["allow"] == [
            each if ":" in each else f"{each}:*" for each in allow
        ]


async def test_an_admin_of_another_account_administers_no_server() -> None:
    async with place(MemoryStore()) as here:
        made = await here.make(KeyWish(("admin",), account="111122223333"))
        assert await here.status(made, "/access/keys") == 403


@pytest.mark.parametrize(
    "wish",
    [
        {"allow": []},
        {"allow": ["lead"]},
        {"allow": ["view"], "name": "no spaces"},
        {"allow": ["view"], "account": "me"},
        {"allow": ["view"], "expires_seconds": 0},
        {"allow": ["view"], "expires_seconds": 1e12},
        {"allow": ["view"], "note": "x" * 201},
        {"allow": ["view"], "typo": 1},
        {"allow": "view"},
        {},
        [],
    ],
    ids=str,
)
async def test_a_wish_that_cannot_be_meant_makes_no_key(wish: Any) -> None:
    async with place(MemoryStore()) as here:
        answer = await here.http.post("/access/keys", json=wish, headers=BEARER)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert (await here.http.get("/access/keys", headers=BEARER)).json() == {"keys": []}


async def test_two_who_rotate_a_key_at_once_make_one_successor() -> None:
    store = MemoryStore()
    made = await directory(store).create_key(OPERATOR, "somebody")
    both = await asyncio.gather(
        *(directory(store).rotate_key(made.key.key_id, Grace(), "somebody") for _ in range(2)), return_exceptions=True
    )
    assert sum(isinstance(each, InvalidRequest) for each in both) == 1
    assert len(await directory(store).list_keys()) == 2


# -- what is kept ------------------------------------------------------------------------------------------------------


async def test_no_secret_is_in_the_store_and_none_opens_without_the_master_key() -> None:
    store = MemoryStore()
    made = await directory(store).create_key(OPERATOR, "somebody")
    kept = b"".join(each.key.encode() + each.value for each in await store.find_records("", None, "", 100, 0))
    assert made.key.key_id.encode() in kept
    assert made.secret.encode() not in kept
    assert MASTER.encode() not in kept
    async with place(store, master_keys=("another master key, of thirty-two characters",)) as here:
        assert await here.status(made) == 401
    async with place(store, master_keys=("another master key, of thirty-two characters", MASTER)) as here:
        assert await here.status(made) == 200
        assert (await here.make()).key.key_id != made.key.key_id


RESERVED = [
    PutRecords((Record(PREFIX + "key/x", b"{}"),)),
    GetRecords((VERSION,)),
    DeleteRecords((VERSION,)),
    Apply(Effects(records=(Record(PREFIX + "key/x", b"{}"),))),
    Apply(Effects(forgets=(VERSION,))),
    Apply(Effects(guards=(Guard(VERSION, None),))),
    Settle((Settlement("q", "x", effects=Effects(records=(Record(PREFIX + "key/x", b"{}"),))),)),
]


@pytest.mark.parametrize("operation", RESERVED, ids=lambda operation: type(operation).__name__)
@pytest.mark.parametrize("keys", [(ADMIN,), ()], ids=["closed", "open"])
async def test_records_of_keys_are_out_of_reach_of_every_dialect(
    operation: Operation[Any], keys: tuple[Key, ...]
) -> None:
    store = MemoryStore()
    await LocalBroker(store).perform(CreateQueue("q"))
    await directory(store).create_key(OPERATOR, "somebody")
    before = await store.find_records("", None, "", 100, 0)
    async with place(store, keys=keys, auth=None if keys else "none") as here:
        broker = HttpBroker(here.server.url, token=f"{ADMIN.access_key_id}:{ADMIN.secret}")
        with pytest.raises(AccessDenied):
            await broker.perform(operation)
        await broker.perform(PutRecords((Record("job/1", b"{}"),)))
        assert [each.key for each in (await broker.perform(FindRecords())).records] == ["job/1"]
        assert (await broker.perform(FindRecords(PREFIX))).records == ()
        await broker.perform(Send("q", (Draft("x"),)))
        await broker.aclose()
    after = await store.find_records(PREFIX, None, "", 100, 0)
    assert list(after) == list(before)


# -- the master key ----------------------------------------------------------------------------------------------------


async def test_a_sqlite_store_has_its_master_key_in_a_file_beside_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'penstock.db'}"
    store = await open_store(url)
    file = tmp_path / "penstock.db.master-key"
    try:
        masters = [masters_of((), url) for _ in range(2)]
        assert not file.exists()
        made = await directory(store, masters=masters[0]).create_key(OPERATOR, "somebody")
        assert file.stat().st_mode & 0o777 == 0o600
        again = await directory(store, masters=masters[1]).create_key(OPERATOR, "somebody")
        kept = (await directory(store).load()).keys
        assert {each.master_id for each in kept} == {masters[0].newest().master_id}
        assert made.secret != again.secret
        assert [name for name in os.listdir(tmp_path) if "master" in name] == [file.name]
    finally:
        await store.aclose()


async def test_a_store_of_many_machines_needs_a_master_key_that_all_are_told() -> None:
    masters = masters_of((), "redis://127.0.0.1:1/0")
    with pytest.raises(MasterKeyMissing, match="master key"):
        await directory(MemoryStore(), masters=masters).create_key(OPERATOR, "somebody")


def test_a_secret_depends_on_every_bit_of_the_master_key_and_the_id() -> None:
    secrets = {Masters((text,)).newest().secret_of(key_id) for text in (MASTER, MASTER + "x") for key_id in ("a", "b")}
    assert len(secrets) == 4
    assert {len(each) for each in secrets} == {40}
