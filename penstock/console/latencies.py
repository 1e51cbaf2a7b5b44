"""How long messages wait and how long they are held, as far as this process sees it: of each receive the first message
is timed, so that it costs the same however many come. What is not asked for is forgotten."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from penstock.broker.contract import Broker
from penstock.core.clock import Clock
from penstock.core.operations import Operation, Receive, ReceiveReply, Settle
from penstock.core.settlements import Delete

Reply = TypeVar("Reply")

MOST_QUEUES = 1000
MOST_TIMES = 128
"""Of each kind and queue, the latest so many are kept until somebody asks."""

MOST_HELD = 1000
"""So many deliveries are remembered at a time; what is held for long may be left out."""


class Times:
    """The latest durations of a queue in ms: from sent to first received, and from received to deleted."""

    __slots__ = ("held", "waited")

    def __init__(self) -> None:
        self.waited: list[int] = []
        self.held: list[int] = []


class Timed:
    """Performs operations through another broker, and times some of what it hands out.

    Args:
        broker: performs them; closed with this one.
        clock: tells the time.
    """

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._perform = broker.perform
        self._now_ms = clock.now_ms
        self._times: dict[str, Times] = {}
        self._received: dict[str, tuple[str, int]] = {}

    def perform(self, operation: Operation[Reply]) -> Coroutine[Any, Any, Reply]:
        # not a coroutine of its own: this is on the path of every message
        kind: type = type(operation)
        if kind is Receive:
            return self._receive(operation)
        if kind is Settle and self._received:
            self._settle(operation)  # type: ignore[arg-type]
        return self._perform(operation)

    async def aclose(self) -> None:
        await self._broker.aclose()

    def take(self, queue: str) -> Times | None:
        """Return what was measured since this was last asked for a queue."""
        return self._times.pop(queue, None)

    async def _receive(self, operation: Operation[Reply]) -> Reply:
        reply = await self._perform(operation)
        assert isinstance(operation, Receive)
        assert isinstance(reply, ReceiveReply)
        if reply.deliveries:
            now, delivery, received = self._now_ms(), reply.deliveries[0], self._received
            if delivery.receive_count == 1:
                self._note(operation.queue, now - delivery.sent_at, lambda times: times.waited)
            if len(received) >= MOST_HELD:
                del received[next(iter(received))]
            received[delivery.receipt_handle] = operation.queue, now
        return reply

    def _settle(self, operation: Settle) -> None:
        received = self._received
        for settlement in operation.settlements:
            found = received.get(settlement.receipt_handle)
            if found is not None and type(settlement.action) is Delete:
                del received[settlement.receipt_handle]
                self._note(found[0], self._now_ms() - found[1], lambda times: times.held)

    def _note(self, queue: str, ms: int, kept_in: Callable[[Times], list[int]]) -> None:
        times = self._times.get(queue)
        if times is None:
            if len(self._times) >= MOST_QUEUES:
                return
            times = self._times[queue] = Times()
        kept = kept_in(times)
        if len(kept) >= MOST_TIMES:
            del kept[: MOST_TIMES // 2]
        kept.append(max(0, ms))
