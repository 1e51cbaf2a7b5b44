"""What is counted on the hot path, in plain numbers: prometheus-client's own take a lock for each, and 5 us."""

from bisect import bisect_left
from collections.abc import Callable

from penstock.core.messages import Delivery
from penstock.core.operations import Operation, Receive, ReceiveReply, Settle, SettleReply
from penstock.core.settlements import ChangeVisibility, DeadLetter, Delete, GiveBack

MOST_QUEUES = 1000
"""So many queues are told of, or counted by name."""

OTHER_QUEUES = "(others)"
"""Stands for the queues that came later than the first of ``MOST_QUEUES``; no queue can be called so."""

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
LONG_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
"""Upper bounds in seconds."""

ACTIONS: dict[type, str] = {
    Delete: "delete",
    ChangeVisibility: "change_visibility",
    GiveBack: "give_back",
    DeadLetter: "dead_letter",
}


class Durations:
    """How often something took how long.

    Attributes:
        bounds: upper bounds in seconds.
        counts: by bucket, one more than there are bounds; not cumulated.
        sum_seconds: of all.
    """

    __slots__ = ("bounds", "counts", "sum_seconds")

    def __init__(self, bounds: tuple[float, ...] = BUCKETS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum_seconds += seconds


class Counting:
    """Observes operations and calls of the store. No number of queues makes it large."""

    def __init__(self) -> None:
        self.operations: dict[tuple[type, str], int] = {}
        self.operation_seconds: dict[type, Durations] = {}
        self.store_seconds: dict[str, Durations] = {}
        self.waiting = Durations(LONG_BUCKETS)
        self.redeliveries: dict[str, int] = {}
        self.settlements: dict[tuple[type, str], int] = {}

    def performed(self, operation: Operation, outcome: str, seconds: float, reply: object) -> None:  # type: ignore[type-arg]
        """Count an operation that has ended."""
        kind = type(operation)
        which = (kind, outcome)
        if which not in self.operations:
            self.operations[which] = 0
            self.operation_seconds.setdefault(kind, Durations())
        self.operations[which] += 1
        self.operation_seconds[kind].add(seconds)
        if kind is Receive:
            if type(reply) is ReceiveReply and reply.deliveries:
                self._received(operation.queue, reply.deliveries)  # type: ignore[attr-defined]
        elif kind is Settle and type(reply) is SettleReply:
            self._settled(operation, reply)  # type: ignore[arg-type]

    def of_store(self, call: str) -> Callable[[float], None]:
        """Return what counts how many seconds a call of the store took."""
        return self.store_seconds.setdefault(call, Durations()).add

    def _received(self, queue: str, deliveries: tuple[Delivery, ...]) -> None:
        redelivered = 0
        for each in deliveries:
            if each.receive_count == 1:
                self.waiting.add(max(0, each.first_received_at - each.sent_at) / 1000)
            else:
                redelivered += 1
        if redelivered:
            if queue not in self.redeliveries and len(self.redeliveries) >= MOST_QUEUES:
                queue = OTHER_QUEUES
            self.redeliveries[queue] = self.redeliveries.get(queue, 0) + redelivered

    def _settled(self, operation: Settle, reply: SettleReply) -> None:
        settlements = self.settlements
        for settlement, outcome in zip(operation.settlements, reply.outcomes, strict=True):
            # by the text and not by the member: the hash of a member is Python code
            which = (type(settlement.action), outcome.result._value_)
            settlements[which] = settlements.get(which, 0) + 1 + len(settlement.also)
