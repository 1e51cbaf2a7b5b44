"""Moving house by `penstock migrate` while servers are used, and killed meanwhile."""

import asyncio
import sys
from pathlib import Path
from random import Random
from urllib.parse import quote

import pytest

from tests.faults.at_work import PATIENCE_SECONDS, at_work
from tests.faults.ledger import Ledger
from tests.faults.load import LEASE_SECONDS, Receiver, Sender
from tests.faults.server_process import ServerProcess, environment
from tests.faults.test_sudden_death import create_queues
from tests.support import postgres, redis_server

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("moving")]
COMMAND = Path(sys.executable).with_name("penstock")
SCHEMA = "moving"


def url_of(kind: str, folder: Path) -> str:
    if kind == "redis-shards":
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in redis_server.shared_servers())
        return f"redis://{hosts}?tag={quote(str(folder), safe='')}"
    if kind == "redis":
        return f"{redis_server.shared_server().url}?tag={quote(str(folder), safe='')}"
    url = postgres.shared_server().url
    postgres.wipe(url, SCHEMA)
    return f"{url}?schema={SCHEMA}"


@pytest.mark.parametrize("kind", ["redis", "postgres", "redis-shards"])
async def test_servers_go_on_while_their_store_moves_and_the_migration_is_killed(kind: str, tmp_path: Path) -> None:
    random = Random(7)
    source, target = f"sqlite:///{tmp_path}/penstock.db", url_of(kind, tmp_path)
    servers = [ServerProcess(source, tmp_path / f"server-{number}.log") for number in range(2)]
    ledgers = plain, ordered = Ledger("plain", LEASE_SECONDS), Ledger("ordered.fifo", LEASE_SECONDS)
    groups = [f"group-{number}" for number in range(10)]
    clients = [
        Sender(plain, "a", Random(1)),
        Receiver(plain, Random(2)),
        Receiver(plain, Random(3), is_fickle=True),
        Sender(ordered, "b", Random(4), groups),
        Receiver(ordered, Random(5)),
        Receiver(ordered, Random(6)),
    ]
    async with at_work(servers, ledgers, clients, create_queues, "moved to") as answered:
        await answered(300)
        for _ in range(2):
            process = await migrate(tmp_path, "--from", source, "--to", target)
            await asyncio.wait((asyncio.ensure_future(process.wait()),), timeout=0.3 + random.random())
            if process.returncode is None:
                process.kill()
            await process.wait()
        process = await migrate(tmp_path, "--from", source, "--to", target)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.wait() == 0, (tmp_path / "migrate.log").read_text()
        await answered(300)


async def migrate(folder: Path, *arguments: str) -> "asyncio.subprocess.Process":
    with (folder / "migrate.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            COMMAND, "migrate", *arguments, cwd=folder, env=environment(), stdout=log, stderr=log
        )
