"""What happens to the messages of a queue, told as it happens, without receiving any of them.

A queue whose history keeps everything is read from there, and nothing is missed. Any other is looked at again and
again: then what comes and goes between two looks is only counted.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView, State
from penstock.core.operations import DescribeQueue, Find, Peek, ReadEvents

if TYPE_CHECKING:
    from penstock.broker.contract import Broker
    from penstock.core.clock import Clock

PAGE = 1000
MOST_WATCHED = 10_000
NOWHERE = MessageFilter(text="\x00 in no body \x00")


class Happening(Struct, frozen=True, omit_defaults=True):
    """Something that happened to a message.

    Attributes:
        at: when, or when it was seen (ms since the epoch).
        kind: as in a message's history; ``ended``: it is gone, and nobody knows how; ``unseen``: ``count`` messages
            came and went between two looks.
        body: of a message that was sent.
    """

    at: int
    kind: str
    queue: str
    message_id: str = ""
    detail: str = ""
    body: str | None = None
    count: int = 0


async def from_history(broker: "Broker", queue: str) -> AsyncIterator[Sequence[Happening]]:
    """Yield what the history of a queue says, from now on; nothing where nothing happened."""
    latest = (await broker.perform(ReadEvents(-1, 1))).events
    after = latest[-1].event_id if latest else 0
    while True:
        events = (await broker.perform(ReadEvents(after, PAGE))).events
        after = events[-1].event_id if events else after
        ours = [each for each in events if each.queue == queue]
        sent = tuple(each.message_id for each in ours if each.kind == "sent")
        found = (await broker.perform(Find(sent))).messages if sent else ()
        bodies = {each.message_id: each.body for each in found if each is not None}
        yield [
            Happening(
                each.at,
                each.kind,
                queue,
                each.message_id,
                each.detail or "",
                bodies.get(each.message_id) if each.kind == "sent" else None,
            )
            for each in ours
        ]


async def from_looking(broker: "Broker", queue: str, clock: "Clock") -> AsyncIterator[Sequence[Happening]]:
    """Yield what is seen of a queue, from now on; nothing where nothing happened."""
    watching = _Watching(broker, queue)
    await watching.begin()
    while True:
        yield await watching.look(clock.now_ms())


class _Watching:
    def __init__(self, broker: "Broker", queue: str) -> None:
        self._broker = broker
        self._queue = queue
        self._watched: OrderedDict[str, MessageView] = OrderedDict()
        self._after = 0
        self._sent_before = 0
        self._seen_count = 0
        self._unseen_count = 0

    async def begin(self) -> None:
        """Find out where the queue ends, and who is in flight."""
        self._sent_before = (await self._broker.perform(DescribeQueue(self._queue))).queue.sent_total
        after: int | None = 0
        while after is not None:  # quickly past what is there: no message is answered
            self._after = after
            after = (await self._broker.perform(Peek(self._queue, NOWHERE, after, PAGE))).next_after
        async for _ in self._arrived():
            pass
        self._watch(await self._in_flight())

    async def look(self, now: int) -> list[Happening]:
        """Return what happened since the last look."""
        found: list[Happening] = []
        sent_total = (await self._broker.perform(DescribeQueue(self._queue))).queue.sent_total
        before = list(self._watched)
        async for message in self._arrived():
            self._seen_count += 1
            found.append(self._told(message.sent_at, "sent", message, body=message.body))
            if message.receive_count:
                found.append(self._told(now, "received", message))
            self._watch((message,))
        for message in await self._in_flight():
            has_arrived = message.sequence_number <= self._after  # the next look tells of those that come just now
            if has_arrived and message.message_id not in self._watched:
                found.append(self._told(now, "received", message))
                self._watch((message,))
        for start in range(0, len(before), PAGE):
            some = tuple(before[start : start + PAGE])
            for message_id, view in zip(some, (await self._broker.perform(Find(some))).messages, strict=True):
                found += self._changes(message_id, view, now)
        unseen = sent_total - self._sent_before - self._seen_count
        if unseen > self._unseen_count:
            found.append(Happening(now, "unseen", self._queue, count=unseen - self._unseen_count))
            self._unseen_count = unseen
        return sorted(found, key=lambda each: each.at)

    def _changes(self, message_id: str, now_is: MessageView | None, now: int) -> list[Happening]:
        was = self._watched.get(message_id)
        if was is None:
            return []
        if now_is is None or now_is.queue != self._queue:
            del self._watched[message_id]
            if now_is is None:
                return [Happening(now, "ended", self._queue, message_id)]
            kind = "dead_lettered" if now_is.dead_letter_source == self._queue else "moved"
            return [Happening(now, kind, self._queue, message_id, now_is.queue)]
        self._watched[message_id] = now_is
        if now_is.receive_count > was.receive_count:
            return [self._told(now, "received", now_is)]
        if was.state is State.IN_FLIGHT and now_is.state is not State.IN_FLIGHT:
            return [self._told(now, "came_back", now_is)]
        if was.state is now_is.state and now_is.state is not State.READY and now_is.visible_at != was.visible_at:
            kind = "visibility_changed" if now_is.state is State.IN_FLIGHT else "rescheduled"
            return [self._told(now, kind, now_is)]
        return []

    def _told(self, at: int, kind: str, message: MessageView, body: str | None = None) -> Happening:
        return Happening(at, kind, self._queue, message.message_id, body=body)

    def _watch(self, messages: Iterable[MessageView]) -> None:
        for message in messages:
            self._watched[message.message_id] = message
        while len(self._watched) > MOST_WATCHED:
            self._watched.popitem(last=False)

    async def _arrived(self) -> AsyncIterator[MessageView]:
        while True:
            page = await self._broker.perform(Peek(self._queue, after=self._after, limit=PAGE))
            for message in page.messages:
                self._after = message.sequence_number
                yield message
            if page.next_after is None:
                return

    async def _in_flight(self) -> Sequence[MessageView]:
        return (
            await self._broker.perform(Peek(self._queue, MessageFilter(state=State.IN_FLIGHT), limit=PAGE))
        ).messages
