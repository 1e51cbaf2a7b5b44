"""Deliveries that cannot be opened: they are let go of, uncounted, for a while, and others are handed out meanwhile.

Nothing is done to them, so that they come when their key is back. In a strict group what comes behind waits too: its
order was promised. Whoever receives is told once of each, by this process (decision 0009), and of a key that is not
here once for each queue.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from penstock.core.errors import PenstockError, StoreDamaged
from penstock.core.messages import Delivery, MessageView
from penstock.core.settlements import GiveBack, Settlement
from penstock.store.contract import Received, Store
from penstock.store.sealed.queues import Queues
from penstock.store.sealed.sealing import Unopenable

log = logging.getLogger("penstock.store")

AWAY_SECONDS = 60.0
"""How long a message that cannot be opened is not handed out again."""

_MOST_TOLD = 10_000


def unopenable(queue: str, message: Delivery | MessageView, why: Unopenable) -> StoreDamaged:
    """Return the error that says which message cannot be opened."""
    return StoreDamaged(
        f"Message {message.sequence_number} of queue {queue!r} cannot be opened: {why}.",
        hint="It is passed over and stays as it is; others are delivered. Give its key here, or restore a backup.",
    )


class PassingOver:
    """Lets go of what cannot be opened.

    Args:
        store: where it is kept.
        queues: what is known of them.
    """

    def __init__(self, store: Store, queues: Queues) -> None:
        self._store = store
        self._queues = queues
        self._told: set[tuple[str, str]] = set()

    async def received(
        self,
        queue: str,
        received: Received,
        opened: Sequence[Delivery],
        closed: Sequence[tuple[Delivery, Unopenable]],
        now: int,
    ) -> Received:
        """Return what can be handed out of what was received.

        Args:
            queue: where from.
            received: what the store below has leased.
            opened: of that, what could be opened.
            closed: what could not, and why.
            now: ms since the epoch.

        Raises:
            StoreDamaged: nothing is left, and one of the closed was not told of before.
        """
        try:
            is_strict = (await self._queues.settings(queue, now)).group_order == "strict"
            first = {each.group_id: each.sequence_number for each, _ in reversed(closed) if is_strict}
            behind = [
                each
                for each in opened
                if each.group_id is not None and each.sequence_number > first.get(each.group_id, each.sequence_number)
            ]
            await self._give_back(queue, [each for each, _ in closed], AWAY_SECONDS, now)
            await self._give_back(queue, behind, 0, now)
        except asyncio.CancelledError:
            # who is not there any more holds nothing
            await asyncio.shield(self._give_back(queue, received.deliveries, 0, now))
            raise
        errors = [unopenable(queue, each, why) for each, why in closed if self._is_news(queue, each, why)]
        for error in errors:
            log.error("%s %s", error, error.problem.hint)
        left = tuple([each for each in opened if each not in behind])
        if errors and not left:
            raise errors[0]
        return Received(left, None if left else now, wait_ms=received.wait_ms)

    async def _give_back(self, queue: str, deliveries: Sequence[Delivery], delay_seconds: float, now: int) -> None:
        if deliveries:
            action = GiveBack(delay_seconds)
            # where that fails, they come back when their leases end
            with contextlib.suppress(PenstockError):
                await self._store.settle([Settlement(queue, each.receipt_handle, action) for each in deliveries], now)

    def _is_news(self, queue: str, message: Delivery, why: Unopenable) -> bool:
        what = (queue, message.message_id if why.missing is None else why.missing)
        if what in self._told:
            return False
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        self._told.add(what)
        return True
