"""What a store does besides that may be one of several which make up one."""

from collections.abc import Sequence
from typing import Protocol

from penstock.core.effects import Effects
from penstock.core.errors import PenstockError
from penstock.core.messages import MessageView
from penstock.store.contract import Store
from penstock.store.house import ShardHouse


class MapChanged(PenstockError):
    """A call was made by a map that its shard does not know, or no longer; nothing was done."""

    code = "map_changed"


class Shard(Store, Protocol):
    """A store that may be one of several that make up one (``store.sharded``): messages can be carried between them.

    It keeps the map of all shards, the number of which is its epoch; 0 until there is one.
    """

    def at(self, epoch: int) -> "Shard":
        """Return the same shard for calls that are made by the map of an epoch: while it knows another it refuses
        them, having done nothing. Raises MapChanged; where some of several settlements were, these are REFUSED so."""
        ...

    async def read_map(self) -> bytes | None:
        """Return the map it knows. Of every epoch."""
        ...

    async def write_map(self, epoch: int, packed: bytes) -> bool:
        """Keep a map, durably, unless it knows that epoch or a later one; return whether it did. Of every epoch."""
        ...

    def house(self) -> ShardHouse:
        """Return it as a house that queues can be carried out of and into."""
        ...

    async def adopt(
        self, queue: str, messages: Sequence[MessageView], marks: Sequence[str], marks_expire_at: int, now: int
    ) -> None:
        """Keep messages of another shard as they are, in their order; nobody holds any of them.

        ``marks`` are keys of records, one for each message: one whose mark is there, or whose id, was adopted before.
        What a message was received before no longer counts against it. Raises QueueNotFound.
        """
        ...

    async def let_go(self, queue: str, message_ids: Sequence[str], now: int) -> None:
        """Forget messages that another shard has adopted, without an event; one that somebody holds stays."""
        ...

    async def exchange(self, queue: str, message_id: str, effects: Effects, now: int) -> bool:
        """Forget a message that nobody holds, without an event, and let effects happen, in one step; if it is not
        there nothing happens. Return whether it was. Raises what ``apply`` raises."""
        ...
