"""A Redis server of a test's own, a store on it with one queue, an app that sends to it, and what waits there."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

from penstock import Penstock
from penstock.broker.system import SystemEntropy
from penstock.core.filters import MessageFilter
from penstock.core.messages import Draft, MessageView
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settled, Settlement
from penstock.store import open_store
from penstock.store.contract import Store
from tests.support.redis_server import RedisServer

LEASE_MS = 600_000
ENTROPY = SystemEntropy()
PORTAL = "penstock-portal"
StartServer = Callable[..., RedisServer]


def now() -> int:
    return time.time_ns() // 1_000_000


def draft(body: str = "x") -> Draft:
    return Draft(body, message_id=ENTROPY.message_id(now()))


async def take(store: Store, count: int = 1) -> list[Settlement]:
    received = await store.receive("q", ENTROPY.tokens(count), LEASE_MS, now())
    return [Settlement("q", each.receipt_handle) for each in received.deliveries]


async def delete(store: Store, settlements: list[Settlement]) -> list[Settled]:
    return [each.result for each in await store.settle(settlements, now())] if settlements else []


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = await open_store(url)
    try:
        await store.create_queue("q", QueueChanges(), 0, now())
        yield store
    finally:
        await store.aclose()


def app_on(url: str) -> Penstock:
    app = Penstock(url)

    @app.task(name="noop")
    async def noop(number: int = 0) -> None: ...

    return app


async def waiting(url: str, queue: str = "default") -> list[MessageView]:
    store = await open_store(url)
    try:
        found, _ = await store.peek(queue, MessageFilter(), -1, 1000, now())
        return list(found)
    finally:
        await store.aclose()


def ids_waiting(url: str, queue: str = "default") -> list[str]:
    return sorted(each.message_id for each in asyncio.run(waiting(url, queue)))


@contextlib.contextmanager
def without_a_portal() -> Iterator[None]:
    """Prove that no app opens a loop in another thread; other tests may have some that are open."""
    before = set(threading.enumerate())
    yield
    assert not [each for each in set(threading.enumerate()) - before if each.name == PORTAL]
