"""Health tells the truth."""

import asyncio

import httpx

from penstock.core.errors import StoreUnavailable
from penstock.server import health
from penstock.store.memory import MemoryStore
from tests.support.server import running_server, serving


class Store(MemoryStore):
    """Can be written as long as ``error`` is None; looks as long as ``may_answer`` says."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.checks = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def check(self) -> None:
        self.checks += 1
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error


async def test_a_server_with_a_good_store_is_ready() -> None:
    store = Store()
    async with running_server(store) as url, httpx.AsyncClient(base_url=url) as http:
        answers = await asyncio.gather(*(http.get("/health/ready") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert answers[0].json() == {"status": "ready", "reasons": []}
        assert store.checks == 1, "what was looked at a moment ago is not looked at again"


async def test_a_store_that_cannot_be_written_is_a_reason() -> None:
    store = Store()
    store.error = StoreUnavailable("The disk is full.", hint="Make room.")
    async with running_server(store) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await http.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "not_ready",
            "reasons": [{"code": "store_unavailable", "message": "The disk is full.", "hint": "Make room."}],
        }
        assert (await http.get("/health/live")).status_code == 200


async def test_a_store_that_does_not_answer_is_a_reason(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(health, "CHECK_MAY_TAKE_SECONDS", 0.05)
    monkeypatch.setattr(health, "CHECK_LASTS_SECONDS", 0)
    store = Store()
    store.may_answer.clear()
    async with running_server(store) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await http.get("/health/ready")
        assert (answer.status_code, answer.json()["reasons"][0]["code"]) == (503, "store_slow")
        store.may_answer.set()
        assert (await http.get("/health/ready")).status_code == 200


async def test_a_server_that_stops_is_not_ready() -> None:
    async with serving(MemoryStore()) as server, httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/health/ready")).status_code == 200
        server._health.is_draining = True
        answer = await http.get("/health/ready")
        assert (answer.status_code, answer.json()["reasons"][0]["code"]) == (503, "draining")


async def test_health_takes_no_orders() -> None:
    async with running_server(MemoryStore()) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.post("/health/live")).status_code == 405
        assert (await http.head("/health/live")).status_code == 200
