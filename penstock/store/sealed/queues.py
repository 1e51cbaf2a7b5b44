"""What has to be known of queues to seal and open, remembered for a second so that a message costs no question."""

from penstock.core.queues import QueueSettings
from penstock.store.contract import Store

KEPT_MS = 1_000
_MOST = 10_000


class Queues:
    """Knows the settings of a store's queues, as they were a second ago at most.

    Args:
        store: whose.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[int, QueueSettings]] = {}

    async def settings(self, queue: str, now: int) -> QueueSettings:
        """Return the settings of a queue. Raises QueueNotFound."""
        known = self._known.get(queue)
        if known is None or not 0 <= now - known[0] < KEPT_MS:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known.pop(queue, None)
            known = self._known[queue] = (now, (await self._store.describe_queue(queue, now)).settings)
        return known[1]

    async def are_told_by_body(self, queue: str, now: int) -> bool:
        """Return whether messages without deduplication ids are told from others by their bodies there. Raises
        QueueNotFound."""
        return (await self.settings(queue, now)).content_based_deduplication

    def forget(self, queue: str) -> None:
        """Forget what is known of a queue, because it changes."""
        self._known.pop(queue, None)
