"""The table of implementations: every conformance test runs on every line of it."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.client.http import HttpBroker
from penstock.store import open_plain_store
from penstock.store.contract import Store
from penstock.store.memory import MemoryStore
from penstock.store.partitioned import PartitionedStore
from penstock.store.postgres import PostgresStore
from penstock.store.sealed.opening import sealed_with
from penstock.store.sharded import ShardedStore
from penstock.store.sqlite import SqliteStore
from penstock.testing import ManualClock
from tests.support import postgres, redis_server
from tests.support.all_partitioned import AllPartitioned, OneOrder
from tests.support.encryption import FIRST_KEY, keyring
from tests.support.entropy import CountingEntropy
from tests.support.in_one_place import in_one_place
from tests.support.server import running_server
from tests.support.world import World

# the slowest store behind the server shows nothing that it does not show alone and that others do not show there
EVERY_PAIR = bool(os.environ.get("PENSTOCK_EVERY_PAIR"))


OpenStore = Callable[[Path], AbstractAsyncContextManager[Store]]


@dataclass(frozen=True)
class Implementation:
    """A way to get a broker.

    Attributes:
        name: what the test report calls it.
        open_store: opens an empty store in a directory of its own.
        is_remote: whether operations travel through a server; a cancelled call may then be lost on the way back.
        is_kept: whether the store outlives being closed.
        is_sharded: whether it is made of several.
        has_partitions: whether every queue has several.
    """

    name: str
    open_store: OpenStore
    is_remote: bool = False
    is_kept: bool = False
    is_sharded: bool = False
    has_partitions: bool = False


async def _opened(url: str) -> Store:
    """Open a store as everybody does, but for keys of the environment."""
    return cast(Store, PartitionedStore(await open_plain_store(url)))


@asynccontextmanager
async def memory_store(directory: Path) -> AsyncIterator[Store]:
    store = MemoryStore()
    yield store
    await store.aclose()


@asynccontextmanager
async def memory_shards(directory: Path) -> AsyncIterator[Store]:
    store = await ShardedStore.open([MemoryStore(), MemoryStore(), MemoryStore()])
    yield store
    await store.aclose()


@asynccontextmanager
async def memory_partitions(directory: Path) -> AsyncIterator[Store]:
    store = cast(Store, AllPartitioned(MemoryStore(), OneOrder))
    yield store
    await store.aclose()


@asynccontextmanager
async def partitions_of_memory(directory: Path) -> AsyncIterator[Store]:
    store = in_one_place()
    yield store
    await store.aclose()


@asynccontextmanager
async def sqlite_store(directory: Path) -> AsyncIterator[Store]:
    store = await SqliteStore.open(directory / "penstock.db", durability="os")
    yield store
    await store.aclose()


@asynccontextmanager
async def postgres_store(directory: Path) -> AsyncIterator[Store]:
    url, known = postgres.shared_server().url, directory / "postgres"
    if not known.exists():
        postgres.wipe(url, postgres.SCHEMA)
        known.touch()
    store = await PostgresStore.open(f"{url}?schema={postgres.SCHEMA}&connections=2")
    try:
        yield store
    finally:
        await store.aclose()


@asynccontextmanager
async def redis_store(directory: Path) -> AsyncIterator[Store]:
    store = await _opened(f"{redis_server.shared_server().url}?tag={quote(str(directory), safe='')}")
    yield store
    await store.aclose()


@asynccontextmanager
async def redis_shards(directory: Path) -> AsyncIterator[Store]:
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in redis_server.shared_servers())
    store = await _opened(f"redis://{hosts}?tag={quote(str(directory), safe='')}")
    yield store
    await store.aclose()


@asynccontextmanager
async def cluster_shards(directory: Path) -> AsyncIterator[Store]:
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in redis_server.shared_cluster())
    tags = ",".join(quote(f"{directory}/{number}", safe="") for number in range(4))
    store = await _opened(f"redis+cluster://{hosts}?tags={tags}")
    yield store
    await store.aclose()


def sealed(open_below: OpenStore) -> OpenStore:
    """Return what opens a store whose content is sealed."""

    @asynccontextmanager
    async def open_sealed(directory: Path) -> AsyncIterator[Store]:
        async with open_below(directory) as store:
            yield await sealed_with(store, keyring(FIRST_KEY))

    return open_sealed


IMPLEMENTATIONS = (
    Implementation("memory", memory_store),
    Implementation("partitions", memory_partitions, has_partitions=True),
    Implementation("sqlite", sqlite_store, is_kept=True),
    Implementation("sealed-sqlite", sealed(sqlite_store), is_kept=True),
    Implementation("redis", redis_store, is_kept=True),
    Implementation("redis-shards", redis_shards, is_kept=True, is_sharded=True),
    Implementation("cluster-shards", cluster_shards, is_kept=True, is_sharded=True),
    Implementation("postgres", postgres_store, is_kept=True),
    Implementation("http-memory", memory_store, is_remote=True),
    Implementation("http-sqlite", sqlite_store, is_remote=True),
    Implementation("http-redis", redis_store, is_remote=True),
    *([Implementation("sealed-redis", sealed(redis_store), is_kept=True)] if EVERY_PAIR else []),
    *([Implementation("sealed-postgres", sealed(postgres_store), is_kept=True)] if EVERY_PAIR else []),
    *(
        [Implementation("sealed-redis-shards", sealed(redis_shards), is_kept=True, is_sharded=True)]
        if EVERY_PAIR
        else []
    ),
    *([Implementation("http-postgres", postgres_store, is_remote=True)] if EVERY_PAIR else []),
    *([Implementation("http-redis-shards", redis_shards, is_remote=True)] if EVERY_PAIR else []),
)
IN_PROCESS = tuple(each for each in IMPLEMENTATIONS if not each.is_remote)
COMPARED = (
    *(each for each in IN_PROCESS if not each.has_partitions),
    Implementation("memory-shards", memory_shards, is_sharded=True),
    Implementation("sealed-memory", sealed(memory_store)),
    Implementation("partitions", partitions_of_memory, has_partitions=True),
)
"""What is compared with the memory store; with shards of memory it is quick."""
STORES = {each.name: each.open_store for each in IN_PROCESS if not each.has_partitions}


@asynccontextmanager
async def opened(implementation: Implementation, directory: Path) -> AsyncIterator[World]:
    """Open a world on an implementation."""
    clock, entropy = ManualClock(), CountingEntropy()
    async with implementation.open_store(directory) as store:
        local = LocalBroker(store, clock, entropy)
        async with _reached(implementation, local, store, clock, entropy) as broker:
            world = World(broker, local, store, clock, entropy)
            yield world
            await world.aclose()


@asynccontextmanager
async def _reached(
    implementation: Implementation, local: LocalBroker, store: Store, clock: ManualClock, entropy: CountingEntropy
) -> AsyncIterator[Broker]:
    if not implementation.is_remote:
        yield local
        return
    async with running_server(store, local=local) as url:
        broker = HttpBroker(url, clock=clock, entropy=entropy)
        yield broker
        await broker.aclose()
