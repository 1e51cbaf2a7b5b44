"""Carrying home what lies on other shards: dead letters and moved messages.

Every queue is on every shard, under its name. On its home it is served; elsewhere it takes in what a step on that shard
puts there, in that step. From there the messages are carried home: adopted there, each once by its mark, then let go.
Any process may do that at any time, and end anywhere.
"""

import asyncio
from collections import defaultdict

from penstock.core.errors import QueueNotFound, StoreUnavailable
from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView, State
from penstock.store.shard import MapChanged
from penstock.store.sharded.shards import AWAY_SECONDS, RESERVED, Shards

MARKS_KEPT_MS = 3_600_000
"""Longer than a process may stand still between reading a message and having it adopted."""

_AT_ONCE = 500


class Carrying:
    """Carries messages home.

    Args:
        shards: between which.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._strays: dict[tuple[int, str], None] = {}
        self._turns: dict[tuple[int, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def go_on(self, before: "Carrying") -> None:
        """Have noted what was noted by an older map."""
        self._strays.update(before._strays)

    def note(self, index: int, queue: str) -> None:
        """Note that something may lie in a queue on a shard that is not its home."""
        self._strays[index, queue] = None

    async def carry_noted(self, now: int) -> None:
        """Carry home what was noted. What cannot be carried now stays where it is, for ``carry_all``."""
        noted = [(index, queue) for index, queue in self._strays if not self._shards.is_moving(queue)]
        for index, queue in noted:
            if self._strays.pop((index, queue), 0) is None:
                await self._try(index, queue, now)

    async def carry_all(self, index: int, now: int) -> None:
        """Carry home all that lies on a shard. Raises StoreUnavailable."""
        shard, after = self._shards[index], ""
        while True:
            page = await shard.list_queues("", after, 1000, None, now)
            for queue in page:
                counts, home = queue.counts, self._shards.home(queue.name)
                if home != index and not queue.name.startswith(RESERVED) and counts.ready + counts.delayed:
                    await self._try(index, queue.name, now)
            if len(page) < 1000:
                return
            after = page[-1].name

    async def _try(self, index: int, queue: str, now: int) -> None:
        home = self._shards.home(queue)
        if self._shards.is_away(index) or self._shards.is_away(home) or self._shards.is_moving(queue):
            return
        try:
            await asyncio.wait_for(self.carry(index, queue, now), AWAY_SECONDS)
        except (StoreUnavailable, TimeoutError, QueueNotFound):
            # a later sweep carries it: nothing is lost where it lies
            return
        except MapChanged:
            self.note(index, queue)
            raise

    async def carry(self, index: int, queue: str, now: int, *, after: int | None = 0) -> None:
        """Carry a queue's messages home from a shard, but for those that somebody holds: those after a sequence number.

        What lies at home already stays: it may have become that since it was noted.

        Raises:
            QueueNotFound: it is not there, or has no home.
            StoreUnavailable: one of the two shards is away.
        """
        if index == self._shards.home(queue):
            return
        source, home = self._shards[index], self._shards[self._shards.home(queue)]
        async with self._turns[index, queue]:
            # first ask to be told again, then look: nothing falls between
            await source.receive(queue, (), None, now)
            came = (await source.describe_queue(queue, now)).created_at
            while after is not None:
                page, after = await source.peek(queue, MessageFilter(), after, _AT_ONCE, now)
                free = [message for message in page if message.state is not State.IN_FLIGHT]
                if free:
                    marks = [_mark(index, came, message) for message in free]
                    await home.adopt(queue, free, marks, now + MARKS_KEPT_MS, now)
                    await source.let_go(queue, [message.message_id for message in free], now)


def _mark(index: int, came: int, message: MessageView) -> str:
    # the id alone would not do: a message may come the same way again
    return f"{RESERVED}carried/{index}/{message.queue}/{came}/{message.sequence_number}/{message.message_id}"
