"""A round from wherever it is to its end, and knowing that whoever began it has gone.

While somebody moves slots he gives signs of life, in a record on the first shard.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from penstock.core.effects import Record
from penstock.core.errors import StoreUnavailable
from penstock.store.shard import Shard
from penstock.store.sharded.maps import Map
from penstock.store.sharded.recordkeys import RecordKeys
from penstock.store.sharded.rounds import Round
from penstock.store.sharded.shards import RESERVED

Publish = Callable[[Map], Awaitable[Map]]
"""Has everybody know a map, and returns it."""

ABANDONED_AFTER_MS = 10_000
"""How long nothing must be heard of whoever moves slots until others do it."""

_SIGN = f"{RESERVED}moving"
_SIGN_SECONDS = 2.0


async def finish(
    stores: Sequence[Shard], known: Map, keys: RecordKeys, now_ms: Callable[[], int], publish: Publish
) -> tuple[Map, int]:
    """Carry what is moving to its end; return the map then, and how many messages were carried.

    Raises:
        MapChanged: somebody else has taken over.
        StoreUnavailable: a shard is away.
    """
    carried = 0
    if known.last is None:
        known = await publish(known.next(last=await Round(stores, known, keys, now_ms).begin()))
    if not known.has_arrived:
        carried = await Round(stores, known, keys, now_ms).carry()
        arrived = tuple([known.moving.get(slot, home) for slot, home in enumerate(known.homes)])
        before = {slot: known.homes[slot] for slot in known.moving}
        known = await publish(known.next(homes=arrived, moving=before, has_arrived=True))
    await Round(stores, known, keys, now_ms).clear()
    return await publish(known.next(moving={}, last=None, has_arrived=False)), carried


@asynccontextmanager
async def signs_of_life(first: Shard) -> AsyncIterator[None]:
    """Have others know that somebody moves slots."""

    async def give() -> None:
        for number in itertools.count():
            with contextlib.suppress(StoreUnavailable):
                await first.put_records((Record(_SIGN, str(number).encode()),), 0)
            await asyncio.sleep(_SIGN_SECONDS)

    giving = asyncio.ensure_future(give())
    try:
        yield
    finally:
        giving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await giving


class Watch:
    """Finds out that nobody moves what is moving.

    Args:
        first: the first shard.
    """

    def __init__(self, first: Shard) -> None:
        self._first = first
        self._seen: tuple[object, int] | None = None

    async def is_abandoned(self, known: Map, now: int) -> bool:
        """Return whether nothing was heard for long of whoever moves slots, as far as this was asked before."""
        (sign,) = await self._first.get_records((_SIGN,), 0)
        seen = (known.epoch, sign and sign.value)
        if self._seen is None or self._seen[0] != seen:
            self._seen = (seen, now)
        return now - self._seen[1] >= ABANDONED_AFTER_MS
