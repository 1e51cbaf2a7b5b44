"""Stores as houses that everything can be carried out of and into.

Nobody else may use one that things are carried into, until they have settled in.
Memory is no house: it is not there for another process. See ``core.belongings`` for what is carried.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from penstock.core.belongings import Belonging, Gone, Kind
from penstock.core.effects import Join
from penstock.store.contract import Store

Place = tuple[Any, ...]
"""Where a page of things ends: what the next one begins after. It can be written as JSON."""


class Leaving(Protocol):
    """How a house is left that others live in."""

    async def begin(self) -> None:
        """Note changes from now on; again is no harm."""
        ...

    async def noted(self, limit: int) -> Sequence[tuple[int, Belonging | Gone | None]]:
        """Return what was changed, as it is now, in the order of the changes: each with the number of its note;
        ``None``: of what is not carried."""
        ...

    async def forget(self, numbers: Sequence[int]) -> None:
        """Forget notes whose things were carried. What changed again since has another note."""
        ...

    async def stop_others(self) -> None:
        """Let others wait who want to change something."""
        ...

    async def let_others(self) -> None:
        """Let them go on; if all is left, they find that out."""
        ...

    async def leave(self, url: str, shown: str) -> None:
        """Leave for good, and say where everything is now: its URL, and how it may be shown."""
        ...

    async def stay(self) -> None:
        """Note nothing any more, and forget what was noted."""
        ...

    def tell_others(self, queues: Sequence[str]) -> None:
        """Have those who wait for messages look again."""
        ...


class House(Protocol):
    """A store, seen by who moves.

    Attributes:
        store: the same, seen by everybody else.
    """

    store: Store

    async def gather(self, now: int) -> None:
        """Have everything be where it belongs, before it is carried out."""
        ...

    async def page(self, kind: Kind, after: Place | None, limit: int) -> tuple[Sequence[Belonging], Place | None]:
        """Return about ``limit`` things of a kind after a place, and the place behind them; ``None``: there are no
        more."""
        ...

    async def take_in(self, things: Sequence[Belonging | Gone]) -> None:
        """Keep things as they are, in the place of what is there under the same names; forget what is gone. All of it
        is durable when this returns. Queues come before what belongs to them."""
        ...

    async def settle_in(self, now: int) -> None:
        """Put what was taken in into its order and count it, however often that is asked for. Until then nothing here
        can be received."""
        ...

    async def clear(self) -> None:
        """Forget everything."""
        ...

    def leaving(self) -> Leaving | None:
        """Return how it is left while others live in it; ``None``: nobody may."""
        ...

    async def aclose(self) -> None:
        """Let go of it."""
        ...


class ShardHouse(House, Protocol):
    """A shard, seen by who moves some of its queues to another while both are in use.

    Nobody asks for these queues meanwhile. But on both shards steps of other queues may put messages into them (dead
    letters): those have later numbers than what is carried, and stay.
    """

    async def page_of(
        self, queue: str, kind: Kind, after: Place | None, limit: int
    ) -> tuple[Sequence[Belonging], Place | None]:
        """Return about ``limit`` things of a kind that belong to a queue, and the place behind them; as ``page``."""
        ...

    async def settle_queue(self, queue: str, now: int) -> None:
        """Put what was taken into a queue into its order and count it, however often that is asked for."""
        ...

    async def redirect_join(self, join: Join) -> None:
        """Have a join send its message, which is the same, to another queue; if it has sent it, nothing happens."""
        ...

    async def note_records(self, until: int | None, now: int) -> None:
        """Note the keys of records that are put from now on, until an instant, and forget those noted before; ``None``:
        note nothing any more."""
        ...

    async def noted_records(self, until: int, now: int) -> Sequence[str] | None:
        """Return what was noted, forget it and note on, until an instant; ``None``: not all was noted."""
        ...

    async def leave_queue(self, queue: str, last: int, now: int) -> bool:
        """Forget what a queue holds, but not the queue, and wake who waits for it; unless there are messages with
        later numbers than ``last``: then nothing happens. Return whether it is empty."""
        ...
