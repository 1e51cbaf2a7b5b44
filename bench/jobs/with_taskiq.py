"""Taskiq on Redis streams, its broker that loses nothing."""

import asyncio

from taskiq_redis import RedisStreamBroker

from bench.jobs import told

broker = RedisStreamBroker(told.URL)


@broker.task
async def noop() -> None:
    told.ran()


@broker.task
async def stamp(sent_ns: int) -> None:
    told.started(sent_ns)


@broker.task
def hang() -> None:
    told.hang()


start = broker.startup
stop = broker.shutdown
asend = noop.kiq
asend_stamp = stamp.kiq
asend_hang = hang.kiq


async def asend_many(count: int) -> None:
    for start in range(0, count, 100):
        await asyncio.gather(*(noop.kiq() for _ in range(min(100, count - start))))
