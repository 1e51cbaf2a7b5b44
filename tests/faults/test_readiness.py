"""/health/ready tells the truth when the store is gone, and again when it is back."""

from pathlib import Path

import httpx
import pytest

from penstock.server import health
from penstock.store import open_store
from tests.support.redis_server import RedisServer
from tests.support.server import running_server
from tests.worker.live import until

PATIENCE_SECONDS = 20


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_LASTS_SECONDS", 0)


async def readiness(http: httpx.AsyncClient) -> tuple[int, list[str]]:
    """Return the status and the codes of the reasons."""
    answer = await http.get("/health/ready")
    return answer.status_code, [reason["code"] for reason in answer.json()["reasons"]]


async def test_a_redis_that_is_gone_is_told_and_so_is_its_return(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path).start()
    store = await open_store(f"{redis.url}/0?patience_seconds=0.5")
    try:
        async with (
            running_server(store) as url,
            httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as http,
        ):
            assert await readiness(http) == (200, [])
            redis.kill()
            assert await readiness(http) == (503, ["store_unavailable"])
            assert (await http.get("/health/live")).status_code == 200, "to start the server again would not help"
            redis.start()

            async def is_back() -> bool:
                return await readiness(http) == (200, [])

            assert await until(is_back)
    finally:
        await store.aclose()
        redis.kill()


async def test_a_file_that_was_moved_away_is_told(tmp_path: Path) -> None:
    file = tmp_path / "penstock.db"
    store = await open_store(f"sqlite:///{file}")
    try:
        async with running_server(store) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as http:
            assert await readiness(http) == (200, [])
            away = file.rename(tmp_path / "elsewhere.db")
            assert await readiness(http) == (503, ["store_unavailable"])
            file.write_bytes(away.read_bytes())
            assert await readiness(http) == (503, ["store_unavailable"]), "a copy is another file"
            away.rename(file)
            assert await readiness(http) == (200, [])
    finally:
        await store.aclose()
