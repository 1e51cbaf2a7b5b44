"""What a store can do by itself: no server, no HTTP, the contract's verbs called in this process.

``python -m bench.stores URL [--waiting N] [--through N] [--messages N] [--partitions N] [--callers N]`` empties
nothing: it works in a queue of its own, which it deletes. Processor time is that of this process and, for Redis, of
each server: go by it on a busy machine.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from penstock.broker.system import SystemEntropy
from penstock.core.messages import Draft
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settled, Settlement
from penstock.store import open_store
from penstock.store.contract import Store

BODY = "x" * 200
_AT_A_TIME = 500_000
ENTROPY = SystemEntropy()


def now() -> int:
    return time.time_ns() // 1_000_000


def drafts(count: int) -> list[Draft]:
    return [Draft(BODY, message_id=ENTROPY.message_id(now())) for _ in range(count)]


async def told(store: Store, section: str) -> list[dict[str, str]]:
    """Return what each Redis server tells of itself; nothing for other stores."""
    inner: Any = getattr(store, "store", store)
    found = []
    for shard in getattr(inner, "shards", (inner,)):
        if hasattr(shard, "_calls"):
            lines = (await shard._calls.ask("INFO", section)).decode().splitlines()
            found.append(dict(line.split(":", 1) for line in lines if ":" in line))
    return found


async def server_cpu_seconds(store: Store) -> list[float]:
    """Return the processor time that each Redis server has used."""
    return [float(used["used_cpu_user"]) + float(used["used_cpu_sys"]) for used in await told(store, "cpu")]


async def server_memory(store: Store) -> int:
    return sum(int(used["used_memory"]) for used in await told(store, "memory"))


async def measure(
    store: Store, what: str, messages: int, each: int, callers: int, step: Callable[[], Awaitable[int]]
) -> float:
    """Let callers take steps until so many messages went through; print and return messages a second."""
    left = itertools.count(messages, -each)
    latencies: list[float] = []

    async def call() -> None:
        while next(left) > 0:
            begun = time.perf_counter()
            await step()
            latencies.append(time.perf_counter() - begun)

    cpu, server, begun = time.process_time(), await server_cpu_seconds(store), time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    seconds = time.perf_counter() - begun
    cpu = time.process_time() - cpu
    used = [after - before for before, after in zip(server, await server_cpu_seconds(store), strict=True)]
    latencies.sort()
    p50, p99 = statistics.median(latencies) * 1000, latencies[int(len(latencies) * 0.99)] * 1000
    servers = " + ".join(f"{each / messages * 1e6:5.1f}" for each in used)
    print(
        f"{what:44s} {messages / seconds:9,.0f}/s   {cpu / messages * 1e6:6.1f} µs here "
        f"{servers} µs server   p50 {p50:6.2f} ms p99 {p99:6.2f} ms",
        flush=True,
    )
    return messages / seconds


async def rounds(store: Store, queue: str, messages: int, callers: int, label: str) -> None:
    async def send(count: int) -> int:
        return len(await store.send(queue, drafts(count), now()))

    async def cycle(count: int) -> int:
        received = await store.receive(queue, ENTROPY.tokens(count), None, now())
        settlements = [Settlement(queue, delivery.receipt_handle) for delivery in received.deliveries]
        if settlements:
            outcomes = await store.settle(settlements, now())
            assert all(outcome.result is Settled.DONE for outcome in outcomes)
        return len(settlements)

    few, tens = messages // 10, callers // 4
    await measure(store, f"{label}: send, singles, 1 caller", few, 1, 1, lambda: send(1))
    await measure(store, f"{label}: receive + delete, singles, 1 caller", few, 1, 1, lambda: cycle(1))
    await measure(store, f"{label}: send, singles, {callers} callers", messages, 1, callers, lambda: send(1))
    await measure(store, f"{label}: receive + delete, singles, {callers}", messages, 1, callers, lambda: cycle(1))
    await measure(store, f"{label}: send, tens, {tens} callers", messages, 10, tens, lambda: send(10))
    await measure(store, f"{label}: receive + delete, tens, {tens} callers", messages, 10, tens, lambda: cycle(10))


async def run(arguments: Any) -> None:
    store = await open_store(arguments.url)
    queue = f"bench-{os.getpid()}"
    partitions = QueueChanges(partitions=arguments.partitions) if arguments.partitions > 1 else QueueChanges()
    await store.create_queue(queue, partitions, 0, now())
    try:
        await rounds(store, queue, arguments.messages // 10, arguments.callers, "warm-up")
        await rounds(store, queue, arguments.messages, arguments.callers, "empty")
        if arguments.waiting:
            before = await server_memory(store)
            await measure(store, "filling, hundreds", arguments.waiting, 100, 4, lambda: fill(store, queue))
            grown = await server_memory(store) - before
            print(f"memory of Redis for each waiting message: {grown / arguments.waiting:.0f} bytes")
            await rounds(store, queue, arguments.messages, arguments.callers, f"{arguments.waiting:,} waiting")
        for number in range(arguments.through // _AT_A_TIME):
            await through(store, queue, (number + 1) * _AT_A_TIME)
        if arguments.through:
            await rounds(store, queue, arguments.messages, arguments.callers, f"after {arguments.through:,}")
    finally:
        await store.delete_queue(queue, now())
        await store.aclose()


async def through(store: Store, queue: str, label: int) -> None:
    """Let many messages pass through a queue, in hundreds."""

    async def pass_through() -> int:
        await fill(store, queue)
        received = await store.receive(queue, ENTROPY.tokens(100), None, now())
        settlements = [Settlement(queue, delivery.receipt_handle) for delivery in received.deliveries]
        return len(await store.settle(settlements, now()))

    await measure(store, f"through, up to {label:,}", _AT_A_TIME, 100, 4, pass_through)


async def fill(store: Store, queue: str) -> int:
    return len(await store.send(queue, drafts(100), now()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--waiting", type=int, default=0)
    parser.add_argument("--through", type=int, default=0)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--callers", type=int, default=32)
    arguments = parser.parse_args()
    try:
        import uvloop

        uvloop.run(run(arguments))
    except ImportError:
        asyncio.run(run(arguments))


if __name__ == "__main__":
    main()
