"""What strangers try on the doors themselves: headers in headers, odd paths, oversized and malformed bodies, frames."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from penstock.server.directory import passwords
from penstock.server.options import Key
from penstock.store.memory import MemoryStore
from tests.server.raw import raw
from tests.support.server import running_server

KEY = Key("ADMIN", "the secret of the admin")
BEARER = {"authorization": f"Bearer {KEY.access_key_id}:{KEY.secret}"}


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", (1 << 4, 8, 1))


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with running_server(MemoryStore(), keys=(KEY,), max_body_bytes=4096) as url:
        yield url


@pytest.mark.parametrize("name", ["a\r\nset-cookie: x=1", "a\nlocation: //evil.example", "é" * 30, "\0", "<script>"])
async def test_nothing_that_is_sent_becomes_a_header_or_a_page(url: str, name: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for answer in (
            await http.post("/access/login", json={"name": name, "secret": name}),
            await http.post("/access/keys", json={"allow": [name], "name": name}, headers=BEARER),
            await http.delete(f"/access/users/{quote(name, safe='')}", headers=BEARER),
        ):
            assert answer.status_code in (400, 401, 404)
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert not {"set-cookie", "location"} & {each.lower() for each in answer.headers}


async def test_a_forged_host_is_no_header_of_the_answer(url: str) -> None:
    async with raw(url) as connection:
        answer = await connection.get(
            "/access/me", "Cookie: penstock-1=x", "X-Forwarded-Host: a", "Forwarded: host=evil"
        )
        assert answer.status == 401
        assert b"evil" not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/access/../v1/queues",
        "/access/%2e%2e/v1/queues",
        "/access//keys",
        "/access/keys/",
        "/access/keys/..%2f..%2fusers/revoke",
        "/access/audit/../../etc/passwd",
        "/access/",
        "/access",
        "/ACCESS/keys",
    ],
)
async def test_an_odd_path_leads_nowhere(url: str, path: str) -> None:
    async with raw(url) as connection:
        answer = await connection.get(path)
        assert answer.status in (400, 401, 403, 404)
        assert b"ADMIN" not in answer.body


@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"[]", b"null", b'{"name": 1}', b"[" * 2000, b'{"name": "x", "secret": "\xff"}', b'{"name":"x"}'],
    ids=range(8),
)
async def test_a_malformed_login_is_refused_and_is_no_failed_attempt(url: str, content: bytes) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for _ in range(12):
            answer = await http.post("/access/login", content=content)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_an_oversized_login_is_not_read(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        answer = await http.post("/access/login", content=b"x" * 5000)
        assert answer.status_code == 413


async def test_what_is_told_of_access_is_kept_by_no_cache_and_sniffed_by_no_browser(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for path in ("me", "keys", "users", "audit"):
            answer = await http.get(f"/access/{path}", headers=BEARER)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_no_page_that_a_browser_is_given_may_be_framed_or_run_inline_script(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers={"accept": "text/html"}) as http:
        answer: Any = await http.get("/", headers=BEARER)
        assert answer.status_code == 200
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert not re.search(r"<script|\son\w+=", answer.text)
