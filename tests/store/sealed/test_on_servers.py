"""Sealed stores on real servers: what was said is nowhere in what they keep, and a rotation goes through."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from penstock.broker.local import LocalBroker
from penstock.core.effects import FollowUp, Join, Record
from penstock.core.filters import MessageFilter
from penstock.core.messages import Attribute, Draft
from penstock.core.operations import PutRecords, StartMove
from penstock.core.queues import RedrivePolicy
from penstock.core.settlements import DeadLetter
from penstock.store import examine, open_store
from penstock.store.contract import Store
from penstock.store.partitioned import PartitionedStore
from penstock.store.postgres.transactional import statement
from penstock.store.redis import RedisStore
from penstock.store.redis.keys import prefix
from penstock.store.sealed.opening import VARIABLE, encryption_of, sealed_with
from penstock.store.sharded import ShardedStore
from penstock.testing import ManualClock
from tests.conformance.implementations import STORES
from tests.store.sealed.conftest import plain_store, resealing
from tests.support import postgres, redis_server
from tests.support.encryption import FIRST_KEY, SECOND_KEY, keyring
from tests.support.entropy import CountingEntropy, own_id
from tests.support.world import World, bodies

SECRET = "xyzzy-known-plaintext"
FIRST, SECOND = keyring(FIRST_KEY, SECOND_KEY).ids


async def kept_by_redis(store: Store) -> bytes:
    """Return all that Redis servers keep."""
    found: list[bytes] = []
    assert isinstance(store, PartitionedStore)
    store = store.store
    for shard in store.shards if isinstance(store, ShardedStore) else (store,):
        calls = cast(RedisStore, shard)._calls
        ways = {
            "hash": ("HGETALL", ()),
            "zset": ("ZRANGE", (0, -1)),
            "list": ("LRANGE", (0, -1)),
            "set": ("SMEMBERS", ()),
            "string": ("GET", ()),
            "stream": ("XRANGE", ("-", "+")),
        }
        for key in await calls.ask("KEYS", f"{prefix(calls.address.tag)}*"):
            command, more = ways[(await calls.ask("TYPE", key)).decode()]
            found.append(repr(await calls.ask(command, key, *more)).encode())
    return b"".join(found)


async def kept_by_postgres(store: Store) -> bytes:
    """Return all that is in the tables."""
    connection = await asyncpg.connect(postgres.shared_server().url)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", postgres.SCHEMA)
        rows = [await connection.fetch(f'TABLE "{postgres.SCHEMA}"."{name[0]}"') for name in names]
        return repr([tuple(row) for table in rows for row in table]).encode()
    finally:
        await connection.close()


SERVERS: dict[str, Callable[[Store], Awaitable[bytes]]] = {
    "redis": kept_by_redis,
    "redis-shards": kept_by_redis,
    "postgres": kept_by_postgres,
}


@asynccontextmanager
async def sealed_world(server: str, folder: Path, *keys: str) -> AsyncIterator[World]:
    clock, entropy = ManualClock(), CountingEntropy()
    async with STORES[server](folder) as plain:
        store = await sealed_with(plain, keyring(*keys))
        broker = LocalBroker(store, clock, entropy)
        yield World(broker, broker, store, clock, entropy)


async def seen(world: World) -> Any:
    return [
        *[await world.peek(queue) for queue in ("q", "dead")],
        await world.find(own_id(1)),
        await world.store.find_records("", None, "", 100, world.now),
    ]


@pytest.mark.parametrize("server", SERVERS)
async def test_nothing_that_is_said_is_on_the_server_and_another_key_takes_over(server: str, tmp_path: Path) -> None:
    said = {"text": Attribute(string_value=SECRET), "raw": Attribute("Binary", binary_value=SECRET.encode())}
    async with sealed_world(server, tmp_path, FIRST_KEY) as world:
        await world.create("dead", history="all")
        await world.create("q", history="all", redrive=RedrivePolicy("dead", 3), content_based_deduplication=True)
        await world.send("q", *(f"{SECRET} {number}" for number in range(120)), attributes=said)
        await world.send("q", SECRET * 100)
        await world.settle("q", await world.take("q"), DeadLetter(SECRET))
        await world.perform(PutRecords((Record("key", SECRET.encode()),)))
        follow_ups = [
            FollowUp(queue, Draft(SECRET, said, message_id=own_id(at))) for at, queue in ((1, "q"), (2, "dead"))
        ]
        await world.apply(joins=tuple(Join(f"join {at}", 2, each) for at, each in enumerate(follow_ups)))
        await world.perform(StartMove("dead", "q", filter=MessageFilter(text=SECRET), delay_seconds=60))
        kept = await SERVERS[server](plain_store(world))
        assert b"~sealed1." in kept
        assert SECRET.encode() not in kept
        was = await seen(world)
    async with sealed_world(server, tmp_path, SECOND_KEY, FIRST_KEY) as world:
        assert await seen(world) == was
        found = await resealing(world).reseal()
        assert (found.messages, found.records) == ({SECOND: 123}, {SECOND: 1})
        assert await seen(world) == was
        kept = await SERVERS[server](plain_store(world))
        assert kept.count(f"~sealed1.{FIRST}".encode()) <= 3, (
            "the move and the reason; Redis remembers what it answered"
        )
        world.advance(60)
        assert await world.step_moves() is None
        assert bodies(await world.peek("dead")) == []
    async with sealed_world(server, tmp_path, SECOND_KEY) as world:
        world.advance(60)
        assert len(await world.receive("q", 1000)) == 121


@pytest.mark.parametrize("server", ["redis", "postgres"])
async def test_what_a_sealed_store_promises_is_what_its_server_does(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = redis_server.shared_server() if server == "redis" else postgres.shared_server()
    url = f"{running.url}?tag=examined" if server == "redis" else f"{running.url}?schema={postgres.SCHEMA}"
    monkeypatch.setenv(VARIABLE, FIRST_KEY)
    if server == "postgres":
        postgres.wipe(running.url, postgres.SCHEMA)
    store = await open_store(url)
    try:
        assert await encryption_of(store) is not None
        assert (await examine(store, url)).durability != "unknown"
    finally:
        await store.aclose()


async def test_what_postgresql_sends_itself_is_in_the_clear_until_it_is_resealed(tmp_path: Path) -> None:
    async with sealed_world("postgres", tmp_path, FIRST_KEY) as world:
        await world.create("q")
        connection = await asyncpg.connect(postgres.shared_server().url)
        sql, parameters = statement("q", Draft(SECRET), style="numbered", schema=postgres.SCHEMA)
        await connection.execute(sql, *parameters)
        await connection.close()
        assert SECRET.encode() in await kept_by_postgres(world.store)
        assert bodies(await world.peek("q")) == [SECRET]
        assert (await resealing(world).reseal()).messages == {FIRST: 1}
        assert SECRET.encode() not in await kept_by_postgres(world.store)
        assert bodies(await world.peek("q")) == [SECRET]
