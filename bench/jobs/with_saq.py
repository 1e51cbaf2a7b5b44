"""SAQ on Redis."""

import asyncio
from typing import Any

from saq import Queue

from bench.jobs import told

queue = Queue.from_url(told.URL)


async def noop(context: Any) -> None:
    told.ran()


async def stamp(context: Any, *, sent_ns: int) -> None:
    told.started(sent_ns)


async def hang(context: Any) -> None:
    await asyncio.to_thread(told.hang)


settings = {"queue": queue, "functions": [noop, stamp, hang], "concurrency": 10}
start = queue.connect
stop = queue.disconnect


async def asend() -> None:
    await queue.enqueue("noop")


async def asend_stamp(sent_ns: int) -> None:
    await queue.enqueue("stamp", sent_ns=sent_ns)


async def asend_hang() -> None:
    await queue.enqueue("hang", timeout=0, retries=3)


async def asend_many(count: int) -> None:
    for start in range(0, count, 100):
        await asyncio.gather(*(asend() for _ in range(min(100, count - start))))
