"""The shards of a store: where a thing lives, and asking one, all, or all that answer.

A shard that has just failed to answer is asked again by those who name it, and left alone for a moment by those who
can do without it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from penstock.core.errors import StoreUnavailable
from penstock.core.placement import homes, slot_of, slot_of_key
from penstock.store.contract import RESERVED as RESERVED
from penstock.store.contract import Shard

T = TypeVar("T")

AWAY_SECONDS = 2.0
"""How long a shard may take before those who can do without it go on."""

OUTBOX = f"{RESERVED}outbox"
"""Where a step puts what it wants done on other shards."""

JOINED = f"{RESERVED}joined"
"""Where a join sends its message when that belongs on another shard."""


class Shards:
    """Some stores that make up one; the place of each in the list is what counts.

    Args:
        stores: in an order that never changes.
    """

    def __init__(self, stores: Sequence[Shard]) -> None:
        self.stores = tuple(stores)
        self._homes = homes(len(self.stores))
        self._left_alone_until = [0.0] * len(self.stores)

    def __len__(self) -> int:
        return len(self.stores)

    def __getitem__(self, index: int) -> Shard:
        return self.stores[index]

    @property
    def indexes(self) -> range:
        """The numbers of the shards."""
        return range(len(self.stores))

    def others(self, index: int) -> list[int]:
        """Return the numbers of the other shards."""
        return [each for each in self.indexes if each != index]

    def home(self, queue: str) -> int:
        """Return the shard that a queue lives on."""
        return self._homes[slot_of(queue)]

    def home_of_record(self, key: str) -> int:
        """Return the shard that a record lives on."""
        return self._homes[slot_of_key(key)]

    def home_of_join(self, join_id: str) -> int:
        """Return the shard that a join lives on."""
        return self._homes[slot_of_key(join_id)]

    def is_away(self, index: int) -> bool:
        """Return whether a shard has failed to answer a moment ago."""
        return asyncio.get_running_loop().time() < self._left_alone_until[index]

    async def all(self, ask: Callable[[Shard], Awaitable[T]]) -> list[T]:
        """Return what every shard answers. Raises what the first raises that cannot."""
        return list(await asyncio.gather(*(ask(shard) for shard in self.stores)))

    async def attempt(self, index: int, ask: Callable[[Shard], Awaitable[T]]) -> T | StoreUnavailable:
        """Return what a shard answers that one can do without, or why it does not."""
        if self.is_away(index):
            return StoreUnavailable(f"Shard {index} of the store is away.", hint="Try again in a moment.")
        try:
            return await asyncio.wait_for(ask(self.stores[index]), AWAY_SECONDS)
        except TimeoutError:
            error = StoreUnavailable(f"Shard {index} of the store does not answer.", hint="Try again in a moment.")
        except StoreUnavailable as unavailable:
            error = unavailable
        self._left_alone_until[index] = asyncio.get_running_loop().time() + AWAY_SECONDS
        return error

    async def those_there(self, ask: Callable[[Shard], Awaitable[T]]) -> list[T | StoreUnavailable]:
        """Return what each shard answers, or why it does not."""
        return list(await asyncio.gather(*(self.attempt(index, ask) for index in self.indexes)))


def is_named(name: str) -> bool:
    """Return whether a queue or record is a caller's, not the store's own."""
    return not name.startswith(RESERVED)
