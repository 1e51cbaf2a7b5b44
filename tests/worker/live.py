"""A worker that really runs beside the test, on the machine's clock, with real threads, loops and processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.store import open_store
from penstock.worker import App
from penstock.worker.engine.options import WorkerOptions
from penstock.worker.engine.worker import Worker

PATIENCE_SECONDS = 20
T = TypeVar("T")


async def nowhere() -> Broker:
    raise AssertionError("the app of a live worker uses that worker's broker")


@asynccontextmanager
async def at_work(app: App, url: str = "memory://", **options: Any) -> AsyncIterator[Worker]:
    """Have a worker run the jobs of an app, on a store of its own."""
    broker = LocalBroker(await open_store(url))
    app.portal.attach(broker)
    worker = Worker(app, broker, WorkerOptions(**options))
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await running
        app.portal.detach()
        await broker.aclose()


async def until(ask: Callable[[], T | Awaitable[T]]) -> T:
    """Ask until the answer is something, and return it; for what nothing signals."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = ask()
            if isinstance(answer, Awaitable):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(0.005)
