"""A Redis server of a test's own, and a store on it with one queue."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable

from penstock.broker.system import SystemEntropy
from penstock.core.messages import Draft
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settled, Settlement
from penstock.store import open_store
from penstock.store.contract import Store
from tests.support.redis_server import RedisServer

LEASE_MS = 600_000
ENTROPY = SystemEntropy()
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
