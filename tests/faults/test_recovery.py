"""What docs/recovery says, done word by word on real servers: what was sent before is received after."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.broker.system import SystemEntropy
from penstock.core.messages import Draft
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settled, Settlement
from penstock.store import open_store
from penstock.store.contract import Store
from tests.faults.redis_at_work import StartServer
from tests.faults.server_process import ServerProcess
from tests.support.pages import PATIENCE_SECONDS, Page, wait_for_port
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer, free_port

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("recovery")]
ENTROPY = SystemEntropy()
LEASE_MS = 600_000


def now() -> int:
    return time.time_ns() // 1_000_000


class Stock:
    """Messages in a store: some wait, some are held, some were deleted."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ids: set[str] = set()
        self._held: list[str] = []

    async def fill(self) -> "Stock":
        store = await self._open()
        await store.create_queue("orders", QueueChanges(), 0, now())
        ids = [ENTROPY.message_id(now()) for _ in range(20)]
        await store.send("orders", [Draft("x", message_id=each) for each in ids], now())
        held = (await store.receive("orders", ENTROPY.tokens(5), LEASE_MS, now())).deliveries
        await store.settle([Settlement("orders", each.receipt_handle) for each in held[:2]], now())
        self._held = [each.receipt_handle for each in held[2:]]
        self._ids = set(ids) - {each.message_id for each in held}
        await store.aclose()
        return self

    async def spoil(self) -> None:
        """What nobody wants, and a backup does not know."""
        store = await self._open()
        await store.purge_queue("orders", 0, now())
        await store.send("orders", [Draft("later", message_id=ENTROPY.message_id(now()))], now())
        await store.aclose()

    async def verify(self, url: str | None = None) -> None:
        """What waited is received, each once; what was held is held still; what was deleted does not come back."""
        store = await self._open(url)
        found = (await store.receive("orders", ENTROPY.tokens(100), LEASE_MS, now())).deliveries
        assert sorted(each.message_id for each in found) == sorted(self._ids)
        handles = [*self._held, *(each.receipt_handle for each in found)]
        outcomes = await store.settle([Settlement("orders", each) for each in handles], now())
        assert {each.result for each in outcomes} == {Settled.DONE}
        await store.aclose()

    async def _open(self, url: str | None = None) -> Store:
        return await open_store(url or self._url)


# -- SQLite ------------------------------------------------------------------------------------------------------------


async def test_sqlite_restarts_from_its_log(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/penstock.db"
    process = ServerProcess(url, tmp_path / "log")
    await process.start()
    stock = await Stock(url).fill()
    await process.kill()
    page = Page("recovery/restart-from-the-log.md", "SQLite", tmp_path, {"/var/lib/penstock": str(tmp_path)})
    with page.serving(0, at=1):
        await stock.verify()


async def test_sqlite_is_restored_from_a_backup_taken_while_it_served(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/penstock.db"
    process = ServerProcess(url, tmp_path / "log")
    await process.start()
    stock = await Stock(url).fill()
    places = {"/var/lib/penstock": str(tmp_path), "/backup": str(tmp_path / "backup")}
    page = Page("recovery/restore-from-a-snapshot.md", "SQLite", tmp_path, places)
    (tmp_path / "backup").mkdir()
    page.run(0)
    await stock.spoil()
    assert await process.stop() == 0
    page.run(1)
    await stock.verify()


# -- Redis -------------------------------------------------------------------------------------------------------------


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def redis_places(server: RedisServer, directory: Path, **more: str) -> dict[str, str]:
    """Write the configuration file of a server, and return where it is what the page speaks of."""
    lines = [f"port {server.port}", "bind 127.0.0.1", f"dir {directory}", "appendonly yes", "appendfsync always"]
    (directory / "redis.conf").write_text("\n".join([*lines, 'save ""', ""]))
    places = {"/etc/redis/redis.conf": str(directory / "redis.conf"), "/var/lib/redis": str(directory)}
    return {**places, "6379": str(server.port), **more}


async def test_redis_restarts_from_its_log(start: StartServer, tmp_path: Path) -> None:
    server = start(appendonly="yes", appendfsync="always")
    stock = await Stock(server.url).fill()
    server.kill()
    places = redis_places(server, tmp_path / "redis-0")
    page = Page("recovery/restart-from-the-log.md", "Redis", tmp_path, places)
    with page.serving(0, at=1, port=server.port):
        await stock.verify()


async def test_redis_is_restored_from_a_snapshot(start: StartServer, tmp_path: Path) -> None:
    server = start(appendonly="yes", appendfsync="always")
    stock = await Stock(server.url).fill()
    places = redis_places(server, tmp_path / "redis-0", **{"/backup": str(tmp_path)})
    page = Page("recovery/restore-from-a-snapshot.md", "Redis", tmp_path, places)
    page.run(0)
    await stock.spoil()
    server.kill()
    with page.serving(1, at=2, port=server.port):
        wait_until(lambda: "aof_rewrite_in_progress:0" in server.told("INFO", "persistence"), "it is written anew")
    # and from now on it starts from its append-only file
    restart = Page("recovery/restart-from-the-log.md", "Redis", tmp_path, redis_places(server, tmp_path / "redis-0"))
    with restart.serving(0, at=1, port=server.port):
        await stock.verify()


async def test_a_redis_replica_is_promoted(start: StartServer, tmp_path: Path) -> None:
    first, second = (start(repl_diskless_sync_delay=0) for _ in range(2))
    places = {
        "first 6379": f"127.0.0.1 {first.port}",
        "-h second": "-h 127.0.0.1",
        "second:": "127.0.0.1:",
        "6380": str(second.port),
    }
    page = Page("recovery/promote-a-replica.md", "Redis, by hand", tmp_path, places)
    page.run(0)
    stock = await Stock(f"{first.url}?wait_replicas=1").fill()
    first.kill()
    page.run(1)
    await stock.verify(second.url)


async def test_sentinels_promote_a_redis_replica(start: StartServer, tmp_path: Path) -> None:
    first, second = (start(repl_diskless_sync_delay=0) for _ in range(2))
    second.ask("REPLICAOF", "127.0.0.1", str(first.port))
    wait_until(lambda: first.ask("WAIT", "1", "50") == b":1", "the replica follows")
    watch = f"sentinel monitor orders 127.0.0.1 {first.port} 1\nsentinel failover-timeout orders 2000\n"
    sentinel = start(file=watch)
    asked = ["redis-cli", "-p", str(sentinel.port), "SENTINEL", "REPLICAS", "orders"]
    wait_until(
        lambda: b"master-link-status\nok" in subprocess.run(asked, capture_output=True, check=True).stdout,
        "the sentinel knows the replica",
    )
    url = f"redis+sentinel://127.0.0.1:{sentinel.port}/orders"
    stock = await Stock(f"{url}?wait_replicas=1").fill()
    places = {"sentinel-a": "127.0.0.1", "26379": str(sentinel.port)}
    Page("recovery/promote-a-replica.md", "Redis, by sentinels", tmp_path, places).run(0)
    wait_until(lambda: f"address=127.0.0.1:{second.port}," in sentinel.told("INFO", "sentinel"), "it is promoted")
    first.kill()
    await stock.verify(url)


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    # what it is started with by hand is in its file
    with (server.data / "postgresql.conf").open("a") as file:
        file.write(
            f"port = {server.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
            "max_connections = 80\nshared_buffers = 64MB\nfsync = off\n"
        )
    try:
        yield server
    finally:
        for data in server.folder.glob("*/postmaster.pid"):
            try:
                os.kill(int(data.read_text().splitlines()[0]), signal.SIGQUIT)
            except (ProcessLookupError, ValueError):
                continue
        server.stop()


def postgres_places(server: PostgresServer, **more: str) -> dict[str, str]:
    return {
        "/var/lib/postgresql/data": str(server.data),
        "localhost:5432": f"127.0.0.1:{server.port}",
        **more,
    }


async def test_postgres_restarts_from_its_log(postgres: PostgresServer, tmp_path: Path) -> None:
    stock = await Stock(postgres.url).fill()
    postgres.kill(signal.SIGQUIT)
    Page("recovery/restart-from-the-log.md", "PostgreSQL", tmp_path, postgres_places(postgres)).run(0)
    await stock.verify()


async def test_postgres_is_restored_from_dump_and_copy_and_a_standby_is_promoted(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    stock = await Stock(postgres.url).fill()
    snapshots = "recovery/restore-from-a-snapshot.md"
    own = {"localhost:5432": f"127.0.0.1:{postgres.port}", "/backup": str(tmp_path)}
    dump = Page(snapshots, "PostgreSQL, one schema", tmp_path, own)
    dump.run(0)
    await stock.spoil()
    dump.run(1)

    places = postgres_places(postgres, **{"/backup": str(postgres.folder)})
    whole = Page(snapshots, "PostgreSQL, the whole server", tmp_path, places)
    whole.run(0)
    await stock.spoil()
    postgres.kill(signal.SIGQUIT)
    whole.run(1)

    standby, port = postgres.folder / "standby", free_port()
    places = {
        "first:5432": f"127.0.0.1:{postgres.port}",
        "/var/lib/postgresql/standby": str(standby),
        "second:5433": f"127.0.0.1:{port}",
    }
    page = Page("recovery/promote-a-replica.md", "PostgreSQL", tmp_path, places)
    started = page.blocks[0].pop()
    page.run(0)
    with (standby / "postgresql.conf").open("a") as file:
        file.write(f"port = {port}\n")  # on a machine of its own it could have the same
    page.blocks[0] = [started]
    page.run(0)
    url = f"postgresql://penstock@127.0.0.1:{port}/postgres"
    wait_for_port(port)
    os.kill(postgres.pid, signal.SIGQUIT)
    page.run(1)
    await stock.verify(url)
