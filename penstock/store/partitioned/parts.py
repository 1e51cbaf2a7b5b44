"""The partitioned queues that a process knows: it asks the store about a queue when it is named first, anew when a
partition is gone, and now and then, for it may have been deleted and made anew as another.

A queue is partitioned if its partition 0 is there, which says how many there are. That one is made last, and forgotten
last.
"""

import asyncio
import contextlib
from collections.abc import Iterable

from msgspec import structs

from penstock.core.errors import QueueNotFound, StoreUnavailable
from penstock.core.events import Event
from penstock.core.messages import Delivery, Draft, MessageView
from penstock.core.operations import SendOutcome, Sent
from penstock.core.partitions import is_partition, number_of, partition_for, partition_name, partition_of_key, queue_of
from penstock.core.queues import QueueDescription, QueueSettings
from penstock.core.receipts import checksum_of, queue_checksum
from penstock.store.contract import Store

_MOST_KNOWN = 10_000
_FRESH_MS = 5_000
_AWAY_SECONDS = 1.0
_MOST_TRIED = 4


class Parts:
    """The partitions of a queue.

    Sequence numbers of different partitions are told apart by their remainder: each is the partition's own, times the
    number of partitions, plus the partition's number.

    Args:
        queue: its name.
        settings: of each of its partitions.
        now: when they were asked about.

    Attributes:
        names: of the partitions in the store, by number.
        known_at: when they were asked about last.
    """

    def __init__(self, queue: str, settings: QueueSettings, now: int = 0) -> None:
        self.known_at = now
        self.queue = queue
        self.settings = settings
        self.names = tuple(partition_name(queue, number) for number in range(settings.partitions))
        self._numbers: dict[int | None, int] = {checksum_of(name): at for at, name in enumerate(self.names)}
        self._turn = 0
        self._away_until: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def of_draft(self, draft: Draft) -> int:
        """Return the partition a message goes to. Raises InvalidRequest where there is none."""
        return partition_for(self.settings, draft)

    def of_group(self, group_id: str) -> int:
        """Return the partition a message group is in. Raises InvalidRequest where there is none."""
        return partition_of_key(self.settings.partitioner, len(self), group_id)

    def of_handles(self, *receipt_handles: str) -> list[int]:
        """Return the partitions that gave receipt handles out. Of such as none gave the first may say so."""
        found = {self._numbers.get(queue_checksum(each)) for each in receipt_handles}
        return [each for each in found if each is not None] or [0]

    def next_turn(self) -> int:
        """Return the partition that is asked first this time."""
        turn, self._turn = self._turn, (self._turn + 1) % len(self)
        return turn

    def is_away(self, number: int, now: int) -> bool:
        """Return whether a partition's server failed to answer a moment ago."""
        return self._away_until.get(number, 0) > now

    def leave_alone(self, number: int, until: int) -> None:
        """Note that a partition's server does not answer."""
        self._away_until[number] = until

    def whole(self, sequence_number: int, number: int) -> int:
        """Return the queue's sequence number for one of a partition's; what is blocked has none, 0."""
        return sequence_number and sequence_number * len(self) + number

    def before(self, sequence_number: int, number: int) -> int:
        """Return the last sequence number of a partition that is not greater than one of the queue's."""
        return max(0, (sequence_number - number) // len(self))

    def sent(self, outcome: SendOutcome, number: int) -> SendOutcome:
        """Return what a partition answers to a send as the queue answers it."""
        if not isinstance(outcome, Sent):
            return outcome
        return structs.replace(outcome, sequence_number=self.whole(outcome.sequence_number, number))

    def delivered(self, delivery: Delivery, number: int) -> Delivery:
        """Return a partition's delivery as one of the queue."""
        return structs.replace(delivery, sequence_number=self.whole(delivery.sequence_number, number))

    def shown(self, message: MessageView) -> MessageView:
        """Return a partition's message as one of the queue."""
        at = self.whole(message.sequence_number, number_of(message.queue) or 0)
        return structs.replace(sourced(message), queue=self.queue, sequence_number=at)


class Known:
    """The partitioned queues that are known here.

    Args:
        store: where their partitions are.
        kind: of parts.
    """

    def __init__(self, store: Store, kind: type[Parts] = Parts) -> None:
        self._store = store
        self._kind = kind
        self._parts: dict[str, Parts] = {}

    def __contains__(self, queue: str) -> bool:
        return queue in self._parts

    def __bool__(self) -> bool:
        return bool(self._parts)

    def get(self, queue: str) -> Parts | None:
        """Return the partitions of a queue, if it is known to have some."""
        return self._parts.get(queue)

    async def look(self, queue: str, now: int) -> QueueDescription | None:
        """Return partition 0 of a queue as it is now; ``None``: there is none."""
        try:
            return await self._store.describe_queue(partition_name(queue, 0), now)
        except QueueNotFound:
            return None

    async def find(self, queue: str, now: int) -> Parts | None:
        """Return the partitions of a queue; ``None``: it has none."""
        known = self._parts.get(queue)
        if known is None and not is_partition(queue):
            await self.learn(queue, now)
            known = self._parts.get(queue)
        return known

    async def fresh(self, queue: str, now: int) -> Parts | None:
        """Return the partitions of a queue that is known to have some, as it has them now or had them a moment ago."""
        known = self._parts.get(queue)
        if known is None or known.known_at + _FRESH_MS > now:
            return known
        known.known_at = now  # nobody else need ask
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_AWAY_SECONDS):
                await self.learn(queue, now)
        return self._parts.get(queue)

    async def learn(self, queue: str, now: int) -> bool:
        """Ask anew whether a queue is partitioned; return whether that is another than was known."""
        if is_partition(queue):
            return False
        before = self._parts.get(queue)
        settings = await self._settings(queue, now)
        if settings is None:
            self.forget(queue)
            return before is not None
        shape = settings.partitions, settings.partitioner
        if before is not None and shape == (before.settings.partitions, before.settings.partitioner):
            before.settings, before.known_at = settings, now
            return False
        if len(self._parts) >= _MOST_KNOWN:
            self._parts.clear()
        self._parts[queue] = self._kind(queue, settings, now)
        return True

    async def _settings(self, queue: str, now: int) -> QueueSettings | None:
        """Return the settings of a queue's partitions, as partition 0 has them or, if its server is away, another."""
        try:
            described = await self.look(queue, now)
        except StoreUnavailable:
            described = await self._first_there(queue, now)
            if described is None:
                raise
        return None if described is None else described.settings

    async def _first_there(self, queue: str, now: int) -> QueueDescription | None:
        """Return the first of some partitions whose server answers."""
        asked = [
            asyncio.ensure_future(self._store.describe_queue(partition_name(queue, number), now))
            for number in range(_MOST_TRIED)
        ]
        try:
            for answer in asyncio.as_completed(asked, timeout=_AWAY_SECONDS):
                with contextlib.suppress(StoreUnavailable, QueueNotFound):
                    return await answer
        except TimeoutError:
            pass
        finally:
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return None

    async def discover(self, queue: str, now: int) -> bool:
        """Learn of a queue though not all servers are there; return whether it has partitions."""
        if queue not in self._parts and not is_partition(queue):
            described = await self._first_there(queue, now)
            if described is not None:
                self._parts[queue] = self._kind(queue, described.settings, now)
        return queue in self._parts

    async def learn_all(self, queues: Iterable[str], now: int) -> bool:
        """Ask anew of several; return whether any is another than was known."""
        return any([await self.learn(queue, now) for queue in dict.fromkeys(queues)])

    def forget(self, queue: str) -> None:
        """Forget what is known of a queue."""
        self._parts.pop(queue, None)

    async def shown(self, message: MessageView, now: int) -> MessageView:
        """Return a message as its sender knows it: of its queue, not of a partition."""
        if is_partition(message.queue):
            parts = await self.find(queue_of(message.queue), now)
            # a blocked message may outlive the queue it waits for
            message = structs.replace(message, queue=queue_of(message.queue)) if parts is None else parts.shown(message)
        return sourced(message)


def sourced(message: MessageView) -> MessageView:
    """Return a message as it was dead-lettered from a queue, not from a partition."""
    if message.dead_letter_source is None:
        return message
    return structs.replace(message, dead_letter_source=queue_of(message.dead_letter_source))


def told(event: Event) -> Event:
    """Return an event as one of its queue, not of a partition."""
    return structs.replace(event, queue=queue_of(event.queue)) if is_partition(event.queue) else event
