"""Stores with very many waiting messages, made without HTTP and kept for the next time."""

import asyncio
import hashlib
import os
import shutil
from pathlib import Path
from random import Random
from time import time

from rich.progress import Progress

from bench.client import Plan, create_queue
from bench.requests import BODY
from bench.scripts import GROUPS
from bench.servers import BUILD, ROOT, penstock
from penstock.broker.local import LocalBroker
from penstock.broker.system import SystemClock
from penstock.core.messages import Draft
from penstock.core.operations import Send
from penstock.store.sqlite import SqliteStore

PLAIN = "waiting"
ORDERED = "waiting.fifo"
_AT_ONCE = 1000
_KEPT_SECONDS = 2 * 86_400
_DAY_MS = 86_400_000


def filled(count: int, *, is_fifo: bool) -> Path:
    """Return a database file in which so many messages wait; made now if need be. Copy it before use."""
    schema = b"".join(path.read_bytes() for path in sorted((ROOT / "penstock/store/sqlite/migrations").iterdir()))
    name = f"{'fifo' if is_fifo else 'plain'}-{count}-{hashlib.sha256(schema).hexdigest()[:8]}.db"
    path = BUILD / "filled" / name
    if not path.exists() or time() - path.stat().st_mtime > _KEPT_SECONDS:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        queue = ORDERED if is_fifo else PLAIN
        with penstock(new) as server:
            # so that its settings are those of every queue made over HTTP
            asyncio.run(create_queue(Plan(port=server.port, script="", queue=queue, is_fifo=is_fifo)))
        asyncio.run(_fill(new, queue, count, is_fifo=is_fifo))
        os.replace(new, path)
    return path


def copy(path: Path, to: Path) -> Path:
    """Copy a database file into a folder."""
    return Path(shutil.copyfile(path, to / path.name))


async def _fill(path: Path, queue: str, count: int, *, is_fifo: bool) -> None:
    random = Random(count)
    store = await SqliteStore.open(path, durability="os")
    clock = _Yesterday()
    broker = LocalBroker(store, clock)
    with Progress(transient=True) as progress:
        for start in progress.track(range(0, count, _AT_ONCE), description=f"filling {path.name}"):
            numbers = range(start, min(start + _AT_ONCE, count))
            if is_fifo:
                drafts = [
                    Draft(BODY, group_id=f"group-{random.randrange(GROUPS):06}", deduplication_id=f"fill-{number}")
                    for number in numbers
                ]
            else:
                drafts = [Draft(BODY) for _ in numbers]
            await broker.perform(Send(queue, tuple(drafts)))
    while await store.sweep(10 * _AT_ONCE, clock.now_ms() + _DAY_MS):
        pass
    await broker.aclose()


class _Yesterday(SystemClock):
    """So that the deduplication ids of what waits are forgotten by now, and no sweep gets in the way."""

    def now_ms(self) -> int:
        return super().now_ms() - _DAY_MS
