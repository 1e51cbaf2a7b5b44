"""How messages are kept: one contract, several stores, chosen by URL."""

import logging
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from penstock.core.errors import InvalidRequest
from penstock.core.finishing import finished
from penstock.store.contract import Store
from penstock.store.examination import Examination, together
from penstock.store.following import FollowingStore, StoreMoved
from penstock.store.house import House
from penstock.store.shard import Shard

log = logging.getLogger("penstock.store")


async def open_store(url: str) -> Store:
    """Open the store a URL names. Its queues may be of several partitions (``store.partitioned``); it is sealed if the
    environment has keys for that (``store.sealed``).

    Args:
        url: as ``open_plain_store`` takes it.

    Raises:
        InvalidRequest: the URL names none, or the keys cannot be read.
        EncryptionKeyMissing: content of the store is sealed with keys that are not here.
        StoreUnavailable, StoreDamaged, StoreTooNew: the store cannot be used.
    """
    from penstock.store.partitioned import PartitionedStore
    from penstock.store.sealed.opening import sealed

    return await sealed(cast(Store, PartitionedStore(await open_plain_store(url))))


async def open_plain_store(url: str) -> Store:
    """Open the store a URL names, to see it as it is kept; a store's code is imported only when it is asked for.

    Args:
        url: ``sqlite:///relative/path.db``, ``sqlite:////absolute/path.db``, with ``?durability=full`` (default) or
            ``os``; ``redis://host:port/database`` or ``rediss://``, several hosts are shards (docs/redis.md);
            ``postgresql://host:port/database`` (docs/postgresql.md); or ``memory://``.

    Raises:
        InvalidRequest: the URL is none of these.
        StoreUnavailable, StoreDamaged, StoreTooNew: the store cannot be used.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme == "memory":
        from penstock.store.memory import MemoryStore

        _no_more(url, options)
        return MemoryStore()
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        from penstock.store.sqlite import SqliteStore

        durability = options.pop("durability", "full")
        _no_more(url, options)
        try:
            opened = await SqliteStore.open(Path(unquote(parts.path[1:])), durability=cast(Any, durability))
        except StoreMoved as moved:
            log.warning("%s %s", moved, moved.problem.hint)
            return await open_plain_store(moved.url)
        return cast(Store, FollowingStore(opened, open_plain_store))
    if parts.scheme.startswith("redis"):
        try:
            from penstock.store.redis import RedisStore
        except ImportError as error:
            raise InvalidRequest(
                "The Redis store needs the package hiredis.", hint="pip install 'penstock[redis]'", field="store"
            ) from error
        from penstock.store.redis.address import read_addresses

        addresses = read_addresses(url)
        if len(addresses) == 1:
            return await RedisStore.open(addresses[0])
        from penstock.store.sharded import ShardedStore

        async def open_shard(url: str) -> Shard:
            (address,) = read_addresses(url)
            return RedisStore(address)

        return await ShardedStore.open([RedisStore(address) for address in addresses], open_shard)
    if parts.scheme in ("postgresql", "postgres"):
        try:
            from penstock.store.postgres import PostgresStore
        except ImportError as error:
            raise InvalidRequest(
                "The PostgreSQL store needs the package asyncpg.",
                hint="pip install 'penstock[postgres]'",
                field="store",
            ) from error
        return await PostgresStore.open(url)
    hint = "Use sqlite:///path/to/file.db, redis://host:port/0, postgresql://host/database or memory://."
    raise InvalidRequest(f"{url!r} is no store.", hint=hint, field="store")


def open_blocking_store(url: str) -> Store | None:
    """Open the store a URL names for a thread that has no event loop, and is the only one to ask it at a time.

    What is asked of it is done when it is awaited (``core.finished``). It knows no queues of several partitions, and
    nothing can be waited for: it is for sending.

    Returns:
        ``None``: the store has no such way.

    Raises:
        InvalidRequest: the URL names none, or the keys cannot be read.
        EncryptionKeyMissing: content of the store is sealed with keys that are not here.
        StoreUnavailable: it does not answer.
    """
    if not urlsplit(url).scheme.startswith("redis"):
        return None
    from penstock.store.redis.address import read_addresses
    from penstock.store.redis.blocking import BlockingCalls
    from penstock.store.redis.store import RedisStore
    from penstock.store.sealed.opening import sealed

    address, *others = read_addresses(url)
    if others:
        return None

    async def opened() -> Store:
        return await sealed(cast(Store, await RedisStore.open(address, BlockingCalls(address))))

    return finished(opened())


async def open_house(url: str) -> House:
    """Open the house a store's URL names.

    Raises:
        InvalidRequest: it names none that can be moved out of or into.
        StoreUnavailable, StoreDamaged, StoreTooNew: it cannot be used.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        raise InvalidRequest(
            "memory:// keeps nothing that could be moved.", hint="Name stores that are kept.", field="store"
        )
    if scheme == "sqlite":
        from penstock.store.sqlite.house import SqliteHouse

        return await SqliteHouse.open(url)
    store = await open_plain_store(url)
    try:
        if scheme.startswith("redis"):
            from penstock.store.redis.house import RedisHouse
            from penstock.store.redis.store import RedisStore
            from penstock.store.sharded import ShardedStore
            from penstock.store.sharded.house import ShardedHouse

            if isinstance(store, ShardedStore):
                return ShardedHouse(store)
            return RedisHouse(store, cast(RedisStore, store).calls)
        from penstock.store.postgres.house import PostgresHouse

        return PostgresHouse(store)
    except BaseException:
        await store.aclose()
        raise


async def examine(store: Store, url: str) -> Examination:
    """Return what a store that was opened by a URL promises, and what speaks against it."""
    from penstock.store.partitioned import PartitionedStore
    from penstock.store.sealed.opening import plain

    parts, store = urlsplit(url), plain(store)
    if isinstance(store, PartitionedStore):
        store = store.store
    if parts.scheme.startswith("redis"):
        from penstock.store.redis import RedisStore
        from penstock.store.sharded import ShardedStore

        shards = store.shards if isinstance(store, ShardedStore) else (store,)
        found = []
        for shard in shards:
            assert isinstance(shard, RedisStore)
            found.append((shard.name, await shard.examine()))
        return together(found)
    if parts.scheme in ("postgresql", "postgres"):
        from penstock.store.postgres import PostgresStore

        assert isinstance(store, PostgresStore)
        return await store.examine()
    if parts.scheme == "memory":
        return Examination("none")
    return Examination(dict(parse_qsl(parts.query)).get("durability", "full"))


def without_password(url: str) -> str:
    """Return a store's URL as it may be shown."""
    parts = urlsplit(url)
    user, at, rest = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{rest}")) if parts.password else url


def _no_more(url: str, options: dict[str, str]) -> None:
    if options:
        unknown = ", ".join(sorted(options))
        raise InvalidRequest(f"Unknown option {unknown} in {url!r}.", hint="Leave it out.", field="store")
