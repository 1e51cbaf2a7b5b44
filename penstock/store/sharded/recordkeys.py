"""Which records are in which slot: looked up before slots move, and kept up by what shards note meanwhile.

There may be many records, and their keys do not say in their order where they live: who waits for a round does not wait
until all have been looked at.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from penstock.core.belongings import KeptRecord
from penstock.core.placement import slot_of_key
from penstock.store.house import Place, ShardHouse
from penstock.store.sharded.shards import is_named

NOTED_FOR_MS = 600_000
"""How long a shard notes keys for somebody who does not come for them."""

_PAGE = 1_000


class RecordKeys:
    """The keys of the records on some shards, by slot."""

    def __init__(self) -> None:
        self._keys: dict[tuple[int, int], set[str]] = defaultdict(set)

    def of_slot(self, index: int, slot: int) -> set[str]:
        """Return the keys in a slot on a shard."""
        return self._keys.get((index, slot), set())

    async def find(self, houses: Sequence[ShardHouse], now: int) -> None:
        """Look at all records, and have shards note what is put from now on."""
        self._keys.clear()
        await asyncio.gather(*(self._find_on(index, house, now) for index, house in enumerate(houses)))

    async def _find_on(self, index: int, house: ShardHouse, now: int) -> None:
        await house.note_records(now + NOTED_FOR_MS, now)
        after: Place | None = None
        while True:
            page, after = await house.page(KeptRecord, after, _PAGE)
            self._add(index, [each.record.key for each in page if isinstance(each, KeptRecord)])
            if after is None:
                return

    async def note_more(self, houses: Sequence[ShardHouse], now: int) -> None:
        """Learn what was put since it was asked last."""
        noted = await asyncio.gather(*(house.noted_records(now + NOTED_FOR_MS, now) for house in houses))
        if None in noted:
            # nobody has come for the notes for so long that they were given up
            await self.find(houses, now)
            return
        for index, keys in enumerate(noted):
            self._add(index, keys or ())

    def _add(self, index: int, keys: Sequence[str]) -> None:
        for key in keys:
            if is_named(key):
                self._keys[index, slot_of_key(key)].add(key)

    @staticmethod
    async def end(houses: Sequence[ShardHouse], now: int) -> None:
        """Have shards note nothing any more."""
        await asyncio.gather(*(house.note_records(None, now) for house in houses))
