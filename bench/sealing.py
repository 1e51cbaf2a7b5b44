"""What sealing costs: processor time of sends and receives in this process, with it on and off.

    python bench/sealing.py

Batches of ten messages through a broker on a memory store, whose own share is small, and on a SQLite file.
"""

import asyncio
import base64
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from penstock.broker.local import LocalBroker
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, Receive, Send, Settle
from penstock.core.settlements import Settlement
from penstock.store.contract import Store
from penstock.store.memory import MemoryStore
from penstock.store.sealed.keys import keyring_of
from penstock.store.sealed.opening import sealed_with
from penstock.store.sqlite import SqliteStore

SIZES = (200, 10_000)
BATCH = 10
ROUNDS = 100
REPEATS = 7
KEY = base64.b64encode(os.urandom(32)).decode()


async def measure(store: Store, size: int) -> tuple[float, float]:
    """Return µs of processor time for each message sent, and for each received; deletions are not counted."""
    broker, body = LocalBroker(store), os.urandom(size).hex()[:size]
    await broker.perform(CreateQueue("q"))
    sends = Send("q", tuple(Draft(body) for _ in range(BATCH)))
    spent = [0.0, 0.0]
    for _ in range(ROUNDS):
        start = time.process_time()
        await broker.perform(sends)
        middle = time.process_time()
        reply = await broker.perform(Receive("q", BATCH, wait_seconds=0))
        end = time.process_time()
        spent[0] += middle - start
        spent[1] += end - middle
        await broker.perform(Settle(tuple(Settlement("q", each.receipt_handle) for each in reply.deliveries)))
    await broker.aclose()
    return spent[0] / ROUNDS / BATCH * 1e6, spent[1] / ROUNDS / BATCH * 1e6


async def run(open_store: Callable[[Path], Awaitable[Store]], size: int, *, is_sealed: bool) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(Path(folder))
        return await measure(await sealed_with(store, keyring_of(KEY, "The benchmark")) if is_sealed else store, size)


async def memory(folder: Path) -> Store:
    return MemoryStore()


async def sqlite(folder: Path) -> Store:
    return await SqliteStore.open(folder / "penstock.db", durability="os")


def main() -> None:
    print("store   bytes  sealed  µs/send        µs/receive     (median of", REPEATS, "runs, least and most)")
    for name, open_store in (("memory", memory), ("sqlite", sqlite)):
        for size in SIZES:
            found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
            for _ in range(REPEATS):
                for is_sealed in (False, True):
                    found[is_sealed].append(asyncio.run(run(open_store, size, is_sealed=is_sealed)))
            for is_sealed, results in found.items():
                shown = [
                    f"{median(some):5.1f} ({min(some):.1f}-{max(some):.1f})" for some in zip(*results, strict=True)
                ]
                print(f"{name:7} {size:5}  {'yes' if is_sealed else 'no ':6}  {shown[0]:14} {shown[1]:14}")


if __name__ == "__main__":
    main()
