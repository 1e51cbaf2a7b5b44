"""Queues of a store of several shards: each is on every shard under its name, and lives on one of them, its home.

Where it is on its home, it is everywhere: it is made elsewhere first, and forgotten there last.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from penstock.core.errors import PenstockError, QueueConflict, QueueNotFound, StoreUnavailable
from penstock.core.placement import slot_of
from penstock.core.queues import QueueChanges, QueueCounts, QueueDescription
from penstock.store.shard import MapChanged, Shard
from penstock.store.sharded.merging import in_order, there
from penstock.store.sharded.shards import Shards, is_named

T = TypeVar("T")


async def create_queue(
    shards: Shards, name: str, changes: QueueChanges, name_rest_ms: int, now: int
) -> tuple[QueueDescription, bool]:
    """Make a queue on all shards, or find it on its home."""
    home = shards[shards.home(name)]
    try:
        await home.describe_queue(name, now)
    except QueueNotFound:
        await _elsewhere(shards, name, lambda shard: _take_in(shard, name, changes, now))
    try:
        return await home.create_queue(name, changes, name_rest_ms, now)
    except PenstockError as error:
        if not isinstance(error, QueueConflict | StoreUnavailable | MapChanged):
            await _elsewhere(shards, name, lambda shard: _forget(shard, name, now))
        raise


async def update_queue(shards: Shards, name: str, changes: QueueChanges, now: int) -> QueueDescription:
    """Change a queue on its home, and elsewhere what is there."""
    queue = await shards[shards.home(name)].update_queue(name, changes, now)
    # of what passes through elsewhere only the history depends on settings: a shard that is away may lag behind
    others = shards.others(shards.home(name))
    await asyncio.gather(*(shards.attempt(each, lambda shard: _update(shard, name, changes, now)) for each in others))
    return queue


async def _update(shard: Shard, name: str, changes: QueueChanges, now: int) -> None:
    # a shard that has just been added may not have it yet
    with contextlib.suppress(QueueNotFound):
        await shard.update_queue(name, changes, now)


async def delete_queue(shards: Shards, name: str, now: int) -> None:
    """Forget a queue on all shards."""
    try:
        await shards[shards.home(name)].delete_queue(name, now)
    except MapChanged:
        raise
    except BaseException:
        await _elsewhere(shards, name, lambda shard: _forget(shard, name, now))
        raise
    while True:
        try:
            await _elsewhere(shards, name, lambda shard: _forget(shard, name, now))
            return
        except MapChanged:
            shards = (await shards.renewed({slot_of(name)})).shards
            with contextlib.suppress(QueueNotFound, MapChanged):
                await shards[shards.home(name)].describe_queue(name, now)
                return  # somebody has made another one


async def purge_queue(shards: Shards, name: str, rest_ms: int, now: int) -> int:
    """Forget a queue's messages, those on their way home too."""
    purged = await shards[shards.home(name)].purge_queue(name, rest_ms, now)
    with contextlib.suppress(MapChanged):
        purged += sum(await _elsewhere(shards, name, lambda shard: _purge(shard, name, now)))
    return purged


async def _purge(shard: Shard, name: str, now: int) -> int:
    try:
        return await shard.purge_queue(name, 0, now)
    except QueueNotFound:
        return 0


async def list_queues(
    shards: Shards, prefix: str, after: str, limit: int, dead_letter_queue: str | None, now: int
) -> Sequence[QueueDescription]:
    """Return queues by name; of a shard that is away only what others know of them."""

    async def list_some(index: int, shard: Shard) -> list[QueueDescription]:
        found: list[QueueDescription] = []
        start = after
        while True:
            page = await shard.list_queues(prefix, start, limit, dead_letter_queue, now)
            for queue in page:
                home = shards.home(queue.name)
                if is_named(queue.name) and (home == index or shards.is_away(home)):
                    found.append(queue if home == index else _away(queue))
            if len(page) < limit or len(found) >= limit:
                return found[:limit]
            start = page[-1].name

    # first find out who is there: what is away is listed as others know it
    await shards.those_there(lambda shard: shard.get_records((), now))
    pages = there(
        await asyncio.gather(
            *(
                shards.attempt(index, lambda shard, index=index: list_some(index, shard))  # type: ignore[misc]
                for index in shards.indexes
            )
        )
    )
    known = {queue.name: queue for page in pages for queue in page}
    return in_order([list(known.values())], lambda queue: queue.name, limit)


def _away(queue: QueueDescription) -> QueueDescription:
    """Return what is known of a queue whose shard does not answer, from another's copy of its settings."""
    return QueueDescription(
        queue.name, queue.settings, queue.created_at, queue.modified_at, QueueCounts(0, 0, 0), is_away=True
    )


async def _elsewhere(shards: Shards, name: str, ask: Callable[[Shard], Awaitable[T]]) -> list[T]:
    others = shards.others(shards.home(name))
    return list(await asyncio.gather(*(ask(shards[index]) for index in others)))


async def _take_in(shard: Shard, name: str, changes: QueueChanges, now: int) -> None:
    """Have a queue on a shard that is not its home."""
    try:
        await shard.create_queue(name, changes, 0, now)
    except QueueConflict:
        # one that was left when its home was deleted
        await shard.delete_queue(name, now)
        await shard.create_queue(name, changes, 0, now)


async def _forget(shard: Shard, name: str, now: int) -> None:
    with contextlib.suppress(QueueNotFound):
        await shard.delete_queue(name, now)
