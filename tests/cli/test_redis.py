"""The command line on a Redis store: what is said of its durability, and what is not said of its password."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.store import examine, open_store, without_password
from penstock.store.examination import Examination
from tests.support.redis_server import RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path).start()
    yield server
    server.kill()


async def examined(server: RedisServer, **settings: str) -> Examination:
    for name, value in settings.items():
        assert server.ask("CONFIG", "SET", name.replace("_", "-"), value) == b"+OK"
    store = await open_store(server.url)
    try:
        return await examine(store, server.url)
    finally:
        await store.aclose()


async def test_what_an_answer_promises_is_asked_of_the_server(server: RedisServer) -> None:
    assert (await examined(server)).durability == "none"
    assert (await examined(server, save="60 1")).durability == "snapshots"
    assert await examined(server, save="", appendonly="yes", appendfsync="everysec") == Examination("os")
    assert await examined(server, appendfsync="always") == Examination("full")


async def test_a_server_that_evicts_is_a_concern(server: RedisServer) -> None:
    kept = {"appendonly": "yes", "appendfsync": "always", "maxmemory": "100mb"}
    assert await examined(server, **kept, maxmemory_policy="noeviction") == Examination("full")
    (concern,) = (await examined(server, maxmemory_policy="allkeys-lru")).concerns
    assert "evicts" in concern.found
    assert "noeviction" in concern.hint


def test_check_warns_and_shows_no_password(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "requirepass", "hidden-word")
    url = server.url.replace("//", "//:hidden-word@")
    done = CliRunner().invoke(app, ["check", "--store", url, "--port", "0", "--json"])
    assert done.exit_code == 0, done.output
    findings = {each["what"]: each for each in json.loads(done.stdout)}
    assert findings["store"]["verdict"] == "ok"
    assert findings["durability"]["verdict"] == "warning"
    assert "keeps nothing on disk" in findings["durability"]["found"]
    assert "hidden-word" not in done.output


def test_only_the_password_is_left_out() -> None:
    assert without_password("redis://me:secret@host:1/2?tag=a") == "redis://me@host:1/2?tag=a"
    assert without_password("sqlite:///a.db?durability=os") == "sqlite:///a.db?durability=os"
