"""A shard is added by `penstock shard add` to a store in use, and who adds it, or a shard, is killed meanwhile."""

import asyncio
import itertools
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from penstock import Status
from penstock.core.placement import homes, slot_of
from penstock.store import open_plain_store
from penstock.store.redis import RedisStore
from penstock.store.redis.address import read_addresses
from penstock.store.sharded import ShardedStore
from penstock.store.sharded.maps import Map, newest_map
from tests.faults import chaos_tasks
from tests.faults.at_work import at_work
from tests.faults.ledger import Ledger
from tests.faults.load import LEASE_SECONDS, Receiver, Sender
from tests.faults.redis_at_work import StartServer
from tests.faults.server_process import ServerProcess, environment
from tests.faults.sqs_connection import SqsConnection
from tests.faults.test_chaos import Sent, Workers, _joins_fired_once, _order_is_held, _until_all_ran
from tests.faults.test_moving_house import COMMAND
from tests.faults.test_shards import KEPT
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("growing")]
PATIENCE_SECONDS = 60


def url_of(*servers: RedisServer) -> str:
    return f"redis://{','.join(f'127.0.0.1:{server.port}' for server in servers)}"


def moving(suffix: str = "") -> Iterator[str]:
    """Yield names of queues that move when a third shard is added."""
    for number in itertools.count():
        name = f"q{number}{suffix}"
        if homes(3)[slot_of(name)] == 2:
            yield name


class Adding:
    """`penstock shard add`, started again and again.

    Args:
        folder: for its log.
        servers: the shards there are, and the new one.
    """

    def __init__(self, folder: Path, servers: list[RedisServer]) -> None:
        self._log = folder / "add.log"
        self._command = [COMMAND, "shard", "add", "--store", url_of(*servers[:2]), url_of(servers[2])]
        self._servers = servers
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=environment(), stdout=log, stderr=log
            )

    async def until(self, is_there: Callable[[Map], bool], *, by_others: bool = False) -> Map:
        """Return the map when it is as wanted, as soon as can be seen from outside."""
        stores = [RedisStore(read_addresses(server.url)[0]) for server in self._servers]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    known = await newest_map(stores)
                    if known is not None and is_there(known):
                        return known
                    assert self._process is not None
                    assert by_others or self._process.returncode is None, self._log.read_text()
        finally:
            for store in stores:
                await store.aclose()

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def end(self) -> str:
        """Return what it said when it has done all."""
        assert self._process is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await self._process.wait() == 0, self._log.read_text()
        assert "Traceback" not in self._log.read_text()
        return self._log.read_text()


@asynccontextmanager
async def under_load(folder: Path, url: str) -> AsyncIterator[Callable[[int], "asyncio.Future[None]"]]:
    """Have two servers, senders and receivers at work on queues that will move; in the end nothing is lost or doubled.

    What is given waits until each queue was answered so many times more.
    """
    servers = [ServerProcess(url, folder / f"server-{number}.log") for number in range(2)]
    plain, ordered = moving(), moving(".fifo")
    ledgers = tuple(Ledger(next(names), LEASE_SECONDS) for names in (plain, ordered, plain, ordered))
    clients: list[Sender | Receiver] = []
    for number, ledger in enumerate(ledgers):
        groups = [f"group-{each}" for each in range(10)] if ledger.name.endswith(".fifo") else None
        clients.append(Sender(ledger, f"s{number}", Random(number), groups))
        clients += [Receiver(ledger, Random(number)), Receiver(ledger, Random(~number), is_fickle=groups is None)]

    async def create(port: int) -> None:
        connection = await SqsConnection.open(port)
        for ledger in ledgers:
            kind = {"FifoQueue": "true"} if ledger.name.endswith(".fifo") else {}
            settings = {"VisibilityTimeout": str(LEASE_SECONDS), **kind}
            await connection.call("CreateQueue", QueueName=ledger.name, Attributes=settings)
        await connection.aclose()

    async with at_work(servers, ledgers, clients, create, "a shard that is not named") as answered:
        yield answered


def is_carrying(known: Map) -> bool:
    return bool(known.moving) and not known.has_arrived


def is_clearing(known: Map) -> bool:
    return known.has_arrived


async def test_servers_go_on_while_a_shard_is_added_and_who_adds_it_is_killed(
    start: StartServer, tmp_path: Path
) -> None:
    shards = [start(**KEPT) for _ in range(3)]
    adding = Adding(tmp_path, shards)
    async with under_load(tmp_path, url_of(*shards[:2])) as more_answers:
        await more_answers(100)
        for is_there in (is_carrying, is_clearing, is_carrying):
            await adding.start()
            known = await adding.until(is_there)
            await adding.kill()
        # a server finishes the round that was begun
        now = await adding.until(lambda each: not each.moving, by_others=True)
        assert now.epoch > known.epoch
        assert now.homes != homes(3)
        await more_answers(50)
        await adding.start()
        assert "spread over 3 shards" in await adding.end()
        await more_answers(100)
    store = await open_plain_store(url_of(*shards[:2]))  # the old list will do
    assert isinstance(store, ShardedStore)
    assert len(store.shards) == 3
    assert store.map.homes == homes(3)
    await store.aclose()


@pytest.mark.parametrize("which", [0, 2], ids=["one they leave", "the new one"])
async def test_servers_go_on_when_a_shard_is_killed_while_another_is_added(
    start: StartServer, tmp_path: Path, which: int
) -> None:
    shards = [start(**KEPT) for _ in range(3)]
    adding = Adding(tmp_path, shards)
    async with under_load(tmp_path, url_of(*shards[:2])) as more_answers:
        await more_answers(100)
        await adding.start()
        for is_there in (is_carrying, is_clearing):
            await adding.until(is_there)
            shards[which].kill()
            await asyncio.sleep(0.2)
            shards[which].start()
        assert "spread over 3 shards" in await adding.end()
        await more_answers(100)


def test_workers_go_on_while_a_shard_is_added_and_they_are_killed(
    start: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = [start(**KEPT) for _ in range(3)]
    url = url_of(*shards[:2])
    app, random = chaos_tasks.app, Random(5)
    monkeypatch.setattr(app, "url", url)
    sent, workers = Sent(), Workers(tmp_path, url)
    adding: subprocess.Popen[bytes] | None = None
    try:
        for number in range(5):
            sent.send(number, 250)
            if number == 1:
                command = [COMMAND, "shard", "add", "--store", url, url_of(shards[2])]
                adding = subprocess.Popen(command, env=environment())
            time.sleep(0.5)
            workers.kill_one(random)
        assert adding is not None
        assert adding.wait(PATIENCE_SECONDS) == 0
        sent.send(5, 250)
        told = _until_all_ran(tmp_path / "told", sent.wanted, app)
    finally:
        workers.stop()
    try:
        _joins_fired_once(sent, told)
        _order_is_held(told)
        assert all(job.status() is Status.SUCCEEDED for job in sent.plain_jobs)
        assert all(run.status() is Status.SUCCEEDED for run in sent.runs)
    finally:
        app.close()
