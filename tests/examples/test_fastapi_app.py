"""The FastAPI example, tested as its README proposes: no server, no worker, no waiting."""

import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from penstock.testing import AppUnderTest, app_under_test
from tests.examples.commands import ROOT


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "fastapi_app"))
    sys.modules.pop("shop", None)
    import shop

    return shop


@pytest.fixture
async def jobs(shop: Any) -> AsyncIterator[AppUnderTest]:
    async with app_under_test(shop.app) as jobs:
        yield jobs


@pytest.fixture
async def client(shop: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=shop.web), base_url="http://shop") as client:
        yield client


async def test_a_report_is_ordered_made_and_fetched(client: httpx.AsyncClient, jobs: AppUnderTest) -> None:
    ordered = await client.post("/reports", params={"customer": "Ada"})
    assert ordered.status_code == 202
    where = f"/reports/{ordered.json()['id']}"
    assert (await client.get(where)).json()["status"] == "waiting"
    await jobs.run_until_idle()
    assert (await client.get(where)).json() == {
        "id": ordered.json()["id"],
        "status": "succeeded",
        "text": "Ada ordered 3 things",
    }
    assert (await client.delete(where)).status_code == 409


async def test_a_report_that_fails_says_so(client: httpx.AsyncClient, jobs: AppUnderTest) -> None:
    where = f"/reports/{(await client.post('/reports', params={'customer': '7'})).json()['id']}"
    await jobs.run_until_idle()
    assert (await client.get(where)).json()["status"] == "retrying"
    await jobs.run_until_idle(jumps=True)
    assert (await client.get(where)).json()["status"] == "failed"


async def test_a_report_that_waits_can_be_called_off(client: httpx.AsyncClient, jobs: AppUnderTest) -> None:
    where = f"/reports/{(await client.post('/reports', params={'customer': 'Ada'})).json()['id']}"
    assert (await client.delete(where)).status_code == 204
    assert (await client.get(where)).json()["status"] == "cancelled"
    assert (await client.get("/reports/018bcfe5-6800-7000-8000-0000000000ff")).status_code == 404
