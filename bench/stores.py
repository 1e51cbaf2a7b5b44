"""What a store sustains, asked directly: no HTTP, no broker. ``python -m bench.stores URL [--waiting 1000000]``.

Sends, receives and settlements one by one with many callers at once, and by tens; then jobs as workers do them: receive
ten, delete each with a record kept. ``--churn N`` first passes N messages through, to show what that leaves behind.
"""

import argparse
import asyncio
import os
import resource
import time
from collections.abc import Awaitable, Callable
from itertools import count

from penstock.broker.system import SystemEntropy
from penstock.core.effects import Effects, Record
from penstock.core.messages import Draft
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settlement
from penstock.store import open_store
from penstock.store.contract import Store

BODY = "x" * 200
CALLERS = 32
entropy = SystemEntropy()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def drafts(number: int) -> list[Draft]:
    now = now_ms()
    return [Draft(BODY, message_id=entropy.message_id(now)) for _ in range(number)]


class Bench:
    """One queue of one store."""

    def __init__(self, store: Store, queue: str, seconds: float, callers: int) -> None:
        self._store, self._queue, self._seconds, self._callers = store, queue, seconds, callers
        self._jobs = count()

    async def rate(self, name: str, each: int, turn: Callable[[], Awaitable[int]]) -> float:
        """Let callers take turns for a while; print and return messages a second."""
        ended_at = time.perf_counter() + self._seconds
        began_at, used = time.perf_counter(), _processor_seconds()

        async def caller() -> int:
            done = 0
            while time.perf_counter() < ended_at:
                done += (found := await turn())
                if not found:
                    break
            return done

        done = sum(await asyncio.gather(*(caller() for _ in range(self._callers))))
        took = time.perf_counter() - began_at
        own_us = (_processor_seconds() - used) / max(1, done) * 1e6
        print(f"{name:24} by {each:2}: {done / took:9.0f} messages/s   {own_us:6.0f} us here for each", flush=True)
        return done / took

    async def send(self, number: int) -> int:
        await self._store.send(self._queue, drafts(number), now_ms())
        return number

    async def cycle(self, number: int) -> int:
        """Receive and delete."""
        received = await self._store.receive(self._queue, entropy.tokens(number), 30_000, now_ms())
        ends = [Settlement(self._queue, each.receipt_handle) for each in received.deliveries]
        if ends:
            await self._store.settle(ends, now_ms())
        return len(ends)

    async def send_and_cycle(self, number: int) -> int:
        await self.send(number)
        return await self.cycle(number)

    async def work(self, number: int) -> int:
        """Receive some, and delete each on its own with a record kept, as workers do."""
        received = await self._store.receive(self._queue, entropy.tokens(number), 30_000, now_ms(), owner="worker")
        now = now_ms()

        async def finish(handle: str) -> None:
            record = Record(f"job/{os.getpid()}/{next(self._jobs)}", b"done" * 20, expires_at=now + 60_000)
            await self._store.settle(
                [Settlement(self._queue, handle, is_fenced=True, effects=Effects(records=(record,)))], now
            )

        await asyncio.gather(*(finish(each.receipt_handle) for each in received.deliveries))
        return len(received.deliveries)

    async def fill(self, number: int) -> None:
        """Let so many messages wait."""
        sent = 0
        while sent < number:
            batch = min(100, number - sent)
            sent += batch * 8
            await asyncio.gather(*(self.send(batch) for _ in range(8)))

    async def churn(self, number: int) -> None:
        """Pass so many messages through, a few at a time, and say how the rate goes."""
        passed = 0
        while passed < number:
            began_at = time.perf_counter()
            target = passed + max(1, number // 10)
            while passed < target:
                passed += sum(await asyncio.gather(*(self.send_and_cycle(100) for _ in range(4))))
            took = time.perf_counter() - began_at
            print(f"passed {passed:9}: {number // 10 / took:9.0f} messages/s", flush=True)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--callers", type=int, default=CALLERS)
    parser.add_argument("--waiting", type=int, default=0)
    parser.add_argument("--churn", type=int, default=0)
    asked = parser.parse_args()
    store = await open_store(asked.url)
    queue = f"bench-{os.getpid()}"
    await store.create_queue(queue, QueueChanges(), 0, now_ms())
    bench = Bench(store, queue, asked.seconds, asked.callers)
    try:
        await bench.churn(asked.churn)
        await bench.fill(asked.waiting)
        for number in (1, 10):
            await bench.rate("send", number, lambda n=number: bench.send(n))  # type: ignore[misc]
            await bench.rate("receive and delete", number, lambda n=number: bench.cycle(n))  # type: ignore[misc]
            await bench.rate("send, receive, delete", number, lambda n=number: bench.send_and_cycle(n))  # type: ignore[misc]
        await bench.fill(20_000)
        await bench.rate("jobs with a record", 10, lambda: bench.work(10))
        print((await store.describe_queue(queue, now_ms())).counts)
    finally:
        await store.delete_queue(queue, now_ms())
        await store.aclose()


if __name__ == "__main__":
    asyncio.run(main())
