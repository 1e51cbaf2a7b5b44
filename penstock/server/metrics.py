"""What Prometheus is told. Counted in plain numbers on the hot path, put into words when it asks.

penstock_operations_total{operation, outcome}        operations ended; outcome is ok, cancelled or an error's code
penstock_operation_seconds{operation}                histogram of how long they took, long polls included
penstock_waiting_receives                            long polls waiting now
penstock_queue_messages{queue, state}                messages by state: ready, delayed, in_flight
penstock_queue_oldest_message_age_seconds{queue}     since the oldest message was sent; 0 for an empty queue
penstock_queue_{sent,received,deleted}_total{queue}  since the queue was created, by all processes on the store
penstock_queues_not_shown                            1 when there are more than the 1000 queues shown, else 0
process_*, python_info                               memory, processor time, open files; see prometheus-client

Where several processes serve one port, any tells of all, and what is not of queues has the label ``process``.
"""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from penstock.broker.contract import Broker
from penstock.core.clock import Clock
from penstock.core.operations import ListQueues, Operation
from penstock.core.queues import QueueDescription
from penstock.server.siblings import Figures, Siblings
from penstock.wire.http import Request, Response

MOST_QUEUES = 1000
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
"""Upper bounds in seconds."""

_HEADERS = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)
_BOUNDS = (*map(str, BUCKETS), "+Inf")


class Counting:
    """Observes operations. Its own numbers and not prometheus-client's: those take a lock for each, and 5 us."""

    def __init__(self) -> None:
        self.counts: dict[tuple[type, str], int] = {}
        self.sums: dict[type, float] = {}
        self.buckets: dict[type, list[int]] = {}

    def performed(self, operation: type[Operation], outcome: str, seconds: float) -> None:  # type: ignore[type-arg]
        """Count an operation that has ended."""
        which = (operation, outcome)
        if which not in self.counts:
            self.counts[which] = 0
            self.sums.setdefault(operation, 0.0)
            self.buckets.setdefault(operation, [0] * len(_BOUNDS))
        self.counts[which] += 1
        self.sums[operation] += seconds
        self.buckets[operation][bisect_left(BUCKETS, seconds)] += 1


class Metrics:
    """The page that Prometheus reads.

    Args:
        broker: tells of the queues.
        counting: what was counted.
        waiting_count: how many long polls wait now.
        clock: tells the time.
        siblings: the other processes of the port.
    """

    def __init__(
        self,
        broker: Broker,
        counting: Counting,
        waiting_count: Callable[[], int],
        clock: Clock,
        siblings: Siblings | None = None,
    ) -> None:
        self._broker = broker
        self._counting = counting
        self._waiting_count = waiting_count
        self._clock = clock
        self._siblings = siblings
        self._platform = CollectorRegistry()
        PlatformCollector(registry=self._platform)
        if siblings is not None:
            siblings.start(self.figures)

    def figures(self) -> Figures:
        """Return what this process has counted."""
        counting = self._counting
        return Figures(
            0 if self._siblings is None else self._siblings.index,
            os.getpid(),
            [(operation.__name__, outcome, count) for (operation, outcome), count in counting.counts.items()],
            {operation.__name__: seconds for operation, seconds in counting.sums.items()},
            {operation.__name__: buckets for operation, buckets in counting.buckets.items()},
            self._waiting_count(),
        )

    async def page(self, request: Request) -> Response:
        """Return everything there is to tell now."""
        reply = await self._broker.perform(ListQueues(limit=MOST_QUEUES))
        registry = CollectorRegistry()
        registry.register(_Fixed([*self._of_processes(), *self._of_queues(reply.queues, reply.next_after is not None)]))
        return Response(200, _HEADERS, generate_latest(registry) + generate_latest(self._platform))

    def _of_processes(self) -> Iterable[Metric]:
        if self._siblings is None:
            return _of_process(self.figures())
        everyone = sorted([self.figures(), *self._siblings.others()], key=lambda each: each.index)
        families: dict[str, Metric] = {}
        for figures in everyone:
            for family in _of_process(figures):
                samples, family.samples = family.samples, []
                families.setdefault(family.name, family).samples += [
                    each._replace(labels={**each.labels, "process": str(figures.index)}) for each in samples
                ]
        return families.values()

    def _of_queues(self, queues: Sequence[QueueDescription], has_more: bool) -> Iterator[Metric]:
        messages = GaugeMetricFamily("penstock_queue_messages", "Messages now.", labels=("queue", "state"))
        age = GaugeMetricFamily(
            "penstock_queue_oldest_message_age_seconds", "Since the oldest message was sent.", labels=("queue",)
        )
        totals = {
            verb: CounterMetricFamily(
                f"penstock_queue_{verb}", f"Messages {verb} since the queue was created.", labels=("queue",)
            )
            for verb in ("sent", "received", "deleted")
        }
        now = self._clock.now_ms()
        for queue in queues:
            for state in ("ready", "delayed", "in_flight"):
                messages.add_metric((queue.name, state), getattr(queue.counts, state))
            oldest = now if queue.oldest_sent_at is None else queue.oldest_sent_at
            age.add_metric((queue.name,), max(0, now - oldest) / 1000)
            for verb, total in totals.items():
                total.add_metric((queue.name,), getattr(queue, f"{verb}_total"))
        yield from (messages, age, *totals.values())
        yield GaugeMetricFamily(
            "penstock_queues_not_shown", f"1: there are more than the {MOST_QUEUES} queues shown.", int(has_more)
        )


def _of_process(figures: Figures) -> Iterator[Metric]:
    total = CounterMetricFamily("penstock_operations", "Operations ended.", labels=("operation", "outcome"))
    for operation, outcome, count in figures.counts:
        total.add_metric((operation, outcome), count)
    yield total
    seconds = HistogramMetricFamily("penstock_operation_seconds", "How long operations took.", labels=("operation",))
    for operation, buckets in figures.buckets.items():
        cumulated = list(zip(_BOUNDS, accumulate(buckets), strict=True))
        seconds.add_metric((operation,), cumulated, figures.sums[operation])
    yield seconds
    yield GaugeMetricFamily("penstock_waiting_receives", "Long polls waiting now.", figures.waiting)
    yield from ProcessCollector(pid=lambda: figures.pid, registry=None).collect()


class _Fixed(Collector):
    """Families that are collected already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
