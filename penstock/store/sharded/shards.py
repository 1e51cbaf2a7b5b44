"""The shards of a store: where a thing lives, and asking one, all, or all that answer.

A shard that has just failed to answer is asked again by those who name it, and left alone for a moment by those who
can do without it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from penstock.core.errors import StoreUnavailable
from penstock.core.placement import slot_of, slot_of_key
from penstock.store.contract import RESERVED as RESERVED
from penstock.store.house import ShardHouse
from penstock.store.shard import MapChanged, Shard
from penstock.store.sharded.maps import Map, first_map

if TYPE_CHECKING:
    from penstock.store.sharded.spread import Spread

T = TypeVar("T")

AWAY_SECONDS = 2.0
"""How long a shard may take before those who can do without it go on."""

OUTBOX = f"{RESERVED}outbox"
"""Where a step puts what it wants done on other shards."""

JOINED = f"{RESERVED}joined"
"""Where a join sends its message when that belongs on another shard."""


Renew = Callable[["Shards", set[int]], Awaitable["Spread"]]
"""Returns the store by a map in which none of some slots is moving, after shards have refused a call by an older."""


async def _cannot_renew(shards: "Shards", slots: set[int]) -> "Spread":
    raise MapChanged("The shards know another map.")


class Shards:
    """Some stores that make up one, as one map says; the place of each in the list is what counts.

    Every call to them is made by that map: it is refused, with nothing done, where the shard knows another.

    Args:
        stores: in an order that never changes.
        known: the map; without one that of a store to which no shard was added.
        renew: how to go on when it is another.
    """

    def __init__(self, stores: Sequence[Shard], known: Map | None = None, renew: Renew = _cannot_renew) -> None:
        self.map = first_map(len(stores)) if known is None else known
        self.stores = tuple(store.at(self.map.epoch) for store in stores[: self.map.shard_count])
        self._homes = self.map.homes
        self._renew = renew
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

    def houses(self) -> list[ShardHouse]:
        """Return each as a house that things are carried out of and into."""
        return [store.house() for store in self.stores]

    def is_moving(self, queue: str) -> bool:
        """Return whether a queue is on its way from one shard to another."""
        return slot_of(queue) in self.map.moving

    async def renewed(self, slots: set[int]) -> "Spread":
        """Return the store by a later map, in which none of these slots is moving; to be asked after MapChanged."""
        return await self._renew(self, slots)

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
