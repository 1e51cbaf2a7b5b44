"""The audit log: what is in it, what is not, who reads it, and that it ends somewhere."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from penstock.broker.local import LocalBroker
from penstock.core.rights import Grant, Rights
from penstock.server import audit as auditing
from penstock.server.audit import Audit, Entry
from penstock.server.directory import passwords
from penstock.server.options import Key
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from tests.support.server import serving

ADMIN = Key("ADMIN", "the secret of the admin", name="ann")
VIEWER = Key("VIEWER", "the secret of the viewer", name="vera", rights=Rights((Grant("view"),)))
PASSWORD = "correct horse battery staple"
CONSOLE = {"x-penstock-console": "1"}


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", (1 << 4, 8, 1))


def bearer(key: Key) -> dict[str, str]:
    return {"authorization": f"Bearer {key.access_key_id}:{key.secret}"}


class Place:
    """A server and a client of it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def entries(self, **query: Any) -> list[dict[str, Any]]:
        answer = await self.http.get("/access/audit", params=query, headers=bearer(ADMIN))
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["entries"]
        return found

    async def told(self) -> list[tuple[str, str, str, str]]:
        """Return who did what to whom, with which result, the earliest first."""
        found = await self.entries()
        return [(e["who"], e["action"], e.get("target", ""), e.get("result", "done")) for e in reversed(found)]


@asynccontextmanager
async def place(**options: Any) -> AsyncIterator[Place]:
    options = {"keys": (ADMIN, VIEWER), "master_keys": ("a master key of more than thirty-two characters",), **options}
    async with serving(MemoryStore(), **options) as server, httpx.AsyncClient() as http:
        http.base_url = httpx.URL(server.url)
        yield Place(http)


async def test_administration_is_noted_with_who_what_where_and_result() -> None:
    async with place() as here:
        settings = {"queue": "orders", "settings": {"delay_seconds": 3}}
        await here.http.post("/v1/queues", json=settings, headers=bearer(ADMIN))
        await here.http.post("/v1/queues", json=settings, headers=bearer(ADMIN))
        paused = {"settings": {"is_paused": True}}
        await here.http.patch("/v1/queues/orders", json=paused, headers=bearer(ADMIN))
        await here.http.post("/v1/queues/orders/purge", json={}, headers=bearer(VIEWER))
        await here.http.delete("/v1/queues/nowhere", headers=bearer(ADMIN))
        assert await here.told() == [
            ("ann", "CreateQueue", "orders", "done"),
            ("ann", "UpdateQueue", "orders", "done"),
            ("vera", "PurgeQueue", "orders", "access_denied"),
            ("ann", "DeleteQueue", "nowhere", "queue_not_found"),
        ]
        made = (await here.entries(who="ann"))[-1]
        assert made["detail"] == "delay_seconds"
        assert made["source_ip"] == "127.0.0.1"
        assert len(made["request_id"]) == 36


async def test_what_programs_do_with_messages_is_not_noted_and_what_people_do_by_hand_is() -> None:
    async with place() as here:
        await here.http.post("/v1/queues", json={"queue": "orders"}, headers=bearer(ADMIN))
        send = {"messages": [{"body": "a secret body"}]}
        await here.http.post("/v1/queues/orders/messages", json=send, headers=bearer(ADMIN))
        await here.http.post("/v1/queues/orders/receive", json={}, headers=bearer(ADMIN))
        assert [each[1] for each in await here.told()] == ["CreateQueue"]
        await here.http.post("/access/login", json={"name": "ADMIN", "secret": ADMIN.secret})
        await here.http.post("/v1/queues/orders/messages", json=send, headers=CONSOLE)
        await here.http.get("/v1/queues/orders/messages")
        await here.http.post("/access/logout", headers=CONSOLE)
        assert [each[1] for each in await here.told()] == ["CreateQueue", "login", "Send", "logout"]
        sent = (await here.entries(target="orders"))[0]
        assert (sent["detail"], sent["is_login"]) == ("1 messages", True)


async def test_keys_users_and_logins_are_noted_and_no_secret_with_them() -> None:
    async with place() as here:
        made = (await here.http.post("/access/keys", json={"allow": ["view"]}, headers=bearer(ADMIN))).json()
        key_id = made["key"]["key_id"]
        await here.http.post(f"/access/keys/{key_id}/rotate", json={}, headers=bearer(ADMIN))
        await here.http.post(f"/access/keys/{key_id}/revoke", headers=bearer(ADMIN))
        user = {"name": "olga", "allow": ["operate"], "password": PASSWORD}
        await here.http.post("/access/users", json=user, headers=bearer(ADMIN))
        await here.http.patch("/access/users/olga", json={"password": "another " + PASSWORD}, headers=bearer(ADMIN))
        await here.http.post("/access/login", json={"name": "olga", "secret": PASSWORD})
        await here.http.delete("/access/users/olga", headers=bearer(ADMIN))
        assert await here.told() == [
            ("ann", "key create", key_id, "done"),
            ("ann", "key rotate", key_id, "done"),
            ("ann", "key revoke", key_id, "done"),
            ("ann", "user create", "olga", "done"),
            ("ann", "user change", "olga", "done"),
            ("olga", "login", "", "not_authenticated"),
            ("ann", "user delete", "olga", "done"),
        ]
        text = str(await here.entries())
        assert made["secret"] not in text
        assert PASSWORD not in text


async def test_only_who_administers_the_server_reads_the_log() -> None:
    async with place() as here:
        assert (await here.http.get("/access/audit", headers=bearer(VIEWER))).status_code == 403
        assert (await here.http.get("/access/audit")).status_code == 401
        assert (await here.http.get("/access/audit?limt=1", headers=bearer(ADMIN))).status_code == 400


async def test_a_server_that_asks_nobody_keeps_no_log() -> None:
    async with place(keys=(), auth="none") as here:
        await here.http.post("/v1/queues", json={"queue": "orders"})
        assert (await here.http.get("/access/audit")).json()["entries"] == []


async def test_it_goes_to_the_log_of_the_process_on_one_line_whatever_is_in_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "penstock.audit"):
        async with place() as here:
            await here.http.delete("/v1/queues/x%0Awho=admin", headers=bearer(ADMIN))
            await here.http.post("/access/login", json={"name": "typed here by mistake", "secret": "y"})
    lines = [each.getMessage() for each in caplog.records if each.name == "penstock.audit"]
    assert len(lines) == 2
    assert "\n" not in "".join(lines)
    assert 'target="x\\nwho=admin"' in lines[0]
    assert 'who="nobody known"' in lines[1]


async def test_it_is_read_page_by_page_the_latest_first() -> None:
    async with place() as here:
        for number in range(7):
            await here.http.post("/v1/queues", json={"queue": f"q{number}"}, headers=bearer(ADMIN))
        found, after = [], ""
        for _ in range(4):
            answer = await here.http.get("/access/audit", params={"limit": 2, "after": after}, headers=bearer(ADMIN))
            found += [each["target"] for each in answer.json()["entries"]]
            after = answer.json().get("next_after", "")
        assert sorted(found) == [f"q{number}" for number in range(7)]


async def test_what_happens_in_one_millisecond_keeps_its_order() -> None:
    clock = ManualClock()
    audit = Audit(LocalBroker(MemoryStore(), clock), clock.now_ms)
    for number in range(300):
        await audit.note(Entry(at=clock.now_ms(), who="ann", action="Purge", target=f"q{number}"))
    page = await audit.read(limit=300)
    assert [each.target for each in page.entries] == [f"q{number}" for number in reversed(range(300))]


async def test_what_is_refused_again_and_again_is_noted_now_and_then() -> None:
    async with place(clock=ManualClock()) as here:
        for _ in range(auditing.MOST_REFUSALS + 10):
            await here.http.post("/v1/queues/orders/purge", json={}, headers=bearer(VIEWER))
        assert len(await here.entries()) == auditing.MOST_REFUSALS


async def test_it_is_bounded_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "MOST_KEPT", 10)
    monkeypatch.setattr(auditing, "_TRIMMED_EVERY", 5)
    monkeypatch.setattr(auditing, "_PAGE", 4)
    clock = ManualClock()
    store = MemoryStore()
    log = Audit(LocalBroker(store, clock), clock.now_ms)
    for number in range(25):
        clock.advance(1)
        await log.note(Entry(clock.now_ms(), f"somebody {number}", "DoSomething"))
    kept = await store.find_records(auditing.ENTRIES, None, "", 100, clock.now_ms())
    assert len(kept) == 10
    assert [each.who for each in (await log.read(limit=3)).entries] == ["somebody 24", "somebody 23", "somebody 22"]
    clock.advance(auditing.KEPT_MS / 1000)
    assert (await log.read()).entries == ()
