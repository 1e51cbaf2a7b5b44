"""A server that asks nobody for keys does not obey web pages of other sites."""

import json
from typing import Any

import httpx
import pytest

from penstock.server.options import Key
from penstock.store.memory import MemoryStore
from tests.support.server import running_server

CROSS_SITE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
OTHER_PORT = {"sec-fetch-site": "same-site"}
BY_ORIGIN = {"origin": "http://evil.example"}
SANDBOXED = {"origin": "null"}
OTHERS = (CROSS_SITE, OTHER_PORT, BY_ORIGIN, SANDBOXED)
BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64)"}
REBOUND = {"host": "evil.example:3000", **BROWSER}
SEND = {"Action": "SendMessage", "QueueUrl": "http://localhost/000000000000/orders", "MessageBody": "x"}


async def opened(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/queues", json={"queue": "orders"})).status_code == 201


@pytest.mark.parametrize("headers", OTHERS)
async def test_a_page_of_another_site_changes_nothing(headers: dict[str, str]) -> None:
    async with running_server(MemoryStore()) as url, httpx.AsyncClient(base_url=url) as http:
        await opened(http)
        target = {"x-amz-target": "AmazonSQS.SendMessage", "content-type": "application/x-amz-json-1.0"}
        body = {"QueueUrl": SEND["QueueUrl"], "MessageBody": "x"}
        by_json = await http.post("/", json=body, headers={**headers, **target})
        assert (by_json.status_code, by_json.headers["x-amzn-query-error"]) == (403, "AccessDenied;Sender")
        for answer in (
            await http.post("/", data=SEND, headers=headers),
            await http.get("/", params=SEND, headers=headers),
        ):
            assert answer.status_code == 403
            assert "<Code>AccessDenied</Code>" in answer.text
        by_rest = await http.post(
            "/v1/queues/orders/messages", content=b'{"messages": [{"body": "x"}]}', headers=headers
        )
        assert (by_rest.status_code, by_rest.json()["code"]) == (403, "access_denied")
        assert (await http.delete("/v1/queues/orders", headers=headers)).status_code == 403
        assert (await http.post("/wq/", json={}, headers=headers)).status_code == 403
        assert (await http.get("/wq/", headers=headers)).status_code == 403
        described = (await http.get("/v1/queues/orders")).json()
        assert described["queue"]["counts"] == {"ready": 0, "delayed": 0, "in_flight": 0}


async def test_links_from_other_sites_may_be_followed() -> None:
    async with running_server(MemoryStore()) as url, httpx.AsyncClient(base_url=url) as http:
        await opened(http)
        for path in ("/", "/v1/openapi.json", "/v1/queues/orders", "/health/ready", "/metrics"):
            answer = await http.get(path, headers={**CROSS_SITE, **BROWSER, "accept": "text/html"})
            assert answer.status_code == 200, path


async def test_aweq_is_for_pages_of_all_sites() -> None:
    for options in ({}, {"root_dialect": "aweq"}):
        prefix = "" if options else "/aweq"
        async with running_server(MemoryStore(), **options) as url, httpx.AsyncClient(base_url=url) as http:  # type: ignore[arg-type]
            for headers in (*OTHERS, REBOUND):
                answer = await http.post(f"{prefix}/send-message", json={"message": "x"}, headers=headers)
                assert answer.status_code == 200
                assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "origin": "http://localhost:5173"},
        {"sec-fetch-mode": "cors", "accept-language": "*", "user-agent": "node", "host": "penstock:3000"},
        {"host": "host.docker.internal:3000", "user-agent": "Boto3/1.40"},
        {"host": "queues.localhost:3000", **BROWSER},
        {"host": "[::1]:3000", **BROWSER},
        {"host": "127.0.0.9", **BROWSER},
    ],
)
async def test_programs_and_the_servers_own_pages_are_served(headers: dict[str, str]) -> None:
    async with running_server(MemoryStore()) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.post("/v1/queues", json={"queue": "orders"}, headers=headers)).status_code == 201


async def test_the_servers_own_page_is_known_by_its_origin_too() -> None:
    public = {"public_url": "https://queues.example.com"}
    async with running_server(MemoryStore(), **public) as url, httpx.AsyncClient(base_url=url) as http:
        for queue, origin in (("a", url), ("b", "https://queues.example.com")):
            answer = await http.post("/v1/queues", json={"queue": queue}, headers={"origin": origin, **BROWSER})
            assert answer.status_code == 201


@pytest.mark.parametrize("evidence", [BROWSER, BY_ORIGIN, {"sec-fetch-site": "same-origin"}])
async def test_a_browser_that_was_given_a_false_name_is_not_served(evidence: dict[str, str]) -> None:
    async with running_server(MemoryStore()) as url, httpx.AsyncClient(base_url=url) as http:
        await opened(http)
        headers = {"host": "evil.example:3000", **evidence}
        refused = await http.get("/v1/queues", headers=headers)
        assert refused.status_code == 403
        assert "public_url" in refused.json()["hint"]
        receive = {"Action": "ReceiveMessage", "QueueUrl": SEND["QueueUrl"]}
        assert (await http.get("/", params=receive, headers=headers)).status_code == 403
        assert (await http.get("/metrics", headers=headers)).status_code == 403
        assert (await http.get("/health/live", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "options",
    [
        {"public_url": "http://queues.example.com:8080"},
        {"host": "0.0.0.0"},
        {"keys": (Key("AKIDHOME", "the secret of the first account"),)},
    ],
)
async def test_names_are_no_matter_where_they_were_configured_or_others_may_call(options: dict[str, Any]) -> None:
    headers = {
        "host": "queues.example.com:8080",
        **BROWSER,
        "authorization": "Bearer AKIDHOME:the secret of the first account",
    }
    async with running_server(MemoryStore(), **options) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/v1/queues", headers=headers)).status_code == 200


async def test_with_keys_it_is_the_key_that_counts() -> None:
    key = Key("AKIDHOME", "the secret of the first account")
    bearer = {"authorization": f"Bearer {key.access_key_id}:{key.secret}"}
    async with running_server(MemoryStore(), keys=(key,)) as url, httpx.AsyncClient(base_url=url) as http:
        body = json.dumps({"queue": "orders"})
        assert (await http.post("/v1/queues", content=body, headers=CROSS_SITE)).status_code == 401
        assert (await http.post("/v1/queues", content=body, headers={**CROSS_SITE, **bearer})).status_code == 201
