"""A memory store as one of several shards, for calls made by the map of one epoch."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from penstock.store.contract import VERBS
from penstock.store.memory.house import MemoryHouse
from penstock.store.shard import MapChanged

_CHECKED = (*VERBS, "adopt", "let_go", "exchange")


class Mapped(Protocol):
    """A store with a map of all shards; see ``MemoryStore``."""

    map: tuple[int, bytes | None]

    def house(self) -> MemoryHouse:
        """Return it as a house."""
        ...


class MappedStore:
    """Asks a memory store only while it knows the map of an epoch.

    Args:
        store: is asked.
        epoch: of the map.
    """

    def __init__(self, store: Mapped, epoch: int) -> None:
        self._store = store
        self._epoch = epoch
        for verb in _CHECKED:
            setattr(self, verb, partial(self._ask, verb))

    def check_map(self) -> None:
        """Raise MapChanged while the store knows another map."""
        if self._store.map[0] != self._epoch:
            raise MapChanged(f"The shard is at epoch {self._store.map[0]}, not {self._epoch}.")

    async def _ask(self, verb: str, *arguments: Any, **more: Any) -> Any:
        self.check_map()
        return await getattr(self._store, verb)(*arguments, **more)

    def house(self) -> MemoryHouse:
        """Return the house of the store, for calls by the same map."""
        house = self._store.house()
        house.check = self.check_map
        return house

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self._store, name)
        return found
