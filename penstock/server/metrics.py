"""What Prometheus is told, put into words when it asks; docs/metrics.md lists all of it.

The number of series is bounded. Queues are told in order of their names and not the deepest first: a series that comes
and goes has no rate. Who has more than the bound, or wants none, says which in the address.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from urllib.parse import parse_qsl

from prometheus_client import PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from penstock.broker.contract import Broker
from penstock.core.clock import Clock
from penstock.core.errors import InvalidRequest
from penstock.core.operations import ListQueues, Operation
from penstock.core.queues import QueueDescription
from penstock.server.counting import ACTIONS, MOST_QUEUES, Counting, Durations
from penstock.server.siblings import Family, Figures, Siblings
from penstock.wire.http import Request, Response

_HEADERS = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)


class Metrics:
    """The page that Prometheus reads.

    Args:
        broker: tells of the queues.
        counting: what was counted.
        waiting_count: how many long polls wait now.
        connection_count: how many connections are open.
        clock: tells the time.
        siblings: the other processes of the port. Any tells of all then, and what is not of the store's queues has
            the label ``process``.
    """

    def __init__(
        self,
        broker: Broker,
        counting: Counting,
        waiting_count: Callable[[], int],
        connection_count: Callable[[], int],
        clock: Clock,
        siblings: Siblings | None = None,
    ) -> None:
        self._broker = broker
        self._counting = counting
        self._waiting_count = waiting_count
        self._connection_count = connection_count
        self._clock = clock
        self._version = _version()
        self._siblings = siblings
        self._process = ProcessCollector(registry=None)
        self._platform = CollectorRegistry()
        PlatformCollector(registry=self._platform)
        if siblings is not None:
            siblings.start(lambda: Figures(siblings.index, list(map(_as_family, self._of_this()))))

    async def page(self, request: Request) -> Response:
        """Return everything there is to tell now. Raises InvalidRequest for parameters it does not know."""
        asked = _asked(request)
        families = [*self._of_this()] if self._siblings is None else self._of_all(self._siblings)
        if asked.limit:
            reply = await self._broker.perform(asked)
            families += self._of_queues(reply.queues, reply.next_after is not None)
        registry = CollectorRegistry()
        registry.register(_Fixed(families))
        # a thousand queues take tens of milliseconds, in which others want to be served
        said = await asyncio.to_thread(lambda: generate_latest(registry) + generate_latest(self._platform))
        return Response(200, _HEADERS, said)

    def _of_this(self) -> Iterator[Metric]:
        yield from self._of_process()
        yield from self._of_operations()
        yield from self._process.collect()

    def _of_all(self, siblings: Siblings) -> list[Metric]:
        own = Figures(siblings.index, list(map(_as_family, self._of_this())))
        families: dict[str, Metric] = {}
        for figures in sorted([own, *siblings.others()], key=lambda each: each.index):
            for each in figures.families:
                family = families.setdefault(each.name, Metric(each.name, each.said, each.kind))
                for name, labels, value in each.samples:
                    family.add_sample(name, {**labels, "process": str(figures.index)}, value)
        return list(families.values())

    def _of_process(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("penstock_build_info", "Always 1.", labels=("version",))
        build.add_metric((self._version,), 1)
        yield build
        yield GaugeMetricFamily("penstock_waiting_receives", "Long polls waiting now.", self._waiting_count())
        yield GaugeMetricFamily("penstock_connections", "Connections open now.", self._connection_count())

    def _of_operations(self) -> Iterator[Metric]:
        counting = self._counting
        total = CounterMetricFamily("penstock_operations", "Operations ended.", labels=("operation", "outcome"))
        for (operation, outcome), count in counting.operations.items():
            total.add_metric((operation.__name__, outcome), count)
        yield total
        by_name = {_name(operation): each for operation, each in counting.operation_seconds.items()}
        yield _histogram("penstock_operation_seconds", "How long operations took.", "operation", by_name)
        called = {call: each for call, each in counting.store_seconds.items() if any(each.counts)}
        yield _histogram("penstock_store_seconds", "How long calls of the store took.", "call", called)
        waiting = HistogramMetricFamily("penstock_message_waiting_seconds", "From sending to the first delivery.")
        waiting.add_metric((), _cumulated(counting.waiting), counting.waiting.sum_seconds)
        yield waiting
        again = CounterMetricFamily("penstock_redeliveries", "Deliveries that were not the first.", labels=("queue",))
        for queue, count in counting.redeliveries.items():
            again.add_metric((queue,), count)
        yield again
        settled = CounterMetricFamily("penstock_settlements", "Deliveries settled.", labels=("action", "result"))
        for (action, result), count in counting.settlements.items():
            settled.add_metric((ACTIONS[action], result), count)
        yield settled

    def _of_queues(self, queues: Sequence[QueueDescription], has_more: bool) -> Iterator[Metric]:
        messages = GaugeMetricFamily("penstock_queue_messages", "Messages now.", labels=("queue", "state"))
        age = GaugeMetricFamily(
            "penstock_queue_oldest_message_age_seconds", "Since the oldest message was sent.", labels=("queue",)
        )
        dead = GaugeMetricFamily("penstock_queue_dead_letters", "Messages of a dead-letter queue.", labels=("queue",))
        totals = {
            verb: CounterMetricFamily(
                f"penstock_queue_{verb}", f"Messages {verb} since the queue was created.", labels=("queue",)
            )
            for verb in ("sent", "received", "deleted")
        }
        now = self._clock.now_ms()
        targets = {queue.settings.redrive.dead_letter_queue for queue in queues if queue.settings.redrive}
        for queue in queues:
            counts = queue.counts
            for state in ("ready", "delayed", "in_flight"):
                messages.add_metric((queue.name, state), getattr(counts, state))
            if queue.name in targets:
                dead.add_metric((queue.name,), counts.ready + counts.delayed + counts.in_flight)
            oldest = now if queue.oldest_sent_at is None else queue.oldest_sent_at
            age.add_metric((queue.name,), max(0, now - oldest) / 1000)
            for verb, total in totals.items():
                total.add_metric((queue.name,), getattr(queue, f"{verb}_total"))
        yield from (messages, dead, age, *totals.values())
        yield GaugeMetricFamily("penstock_queues_not_shown", "1: there are more queues than shown.", int(has_more))


def _as_family(family: Metric) -> Family:
    samples = [(each.name, dict(each.labels), float(each.value)) for each in family.samples]
    return Family(family.name, family.documentation, family.type, samples)


def _version() -> str:
    try:
        return version("penstock")
    except PackageNotFoundError:
        return "unknown"  # run from its sources, without having been installed


def _asked(request: Request) -> ListQueues:
    """Return which queues to tell of; a limit of 0: none."""
    asked = {"queues": str(MOST_QUEUES), "prefix": ""}
    for name, value in parse_qsl(request.query.decode("latin-1"), keep_blank_values=True):
        if name not in asked:
            raise InvalidRequest(f"There is no parameter {name!r}.", hint="There are: queues, prefix.", field=name)
        asked[name] = value
    limit = asked["queues"]
    if not (limit.isascii() and limit.isdigit() and int(limit) <= MOST_QUEUES):
        raise InvalidRequest(
            f"queues must be 0 to {MOST_QUEUES}.", hint="0 tells of no queue; prefix chooses by name.", field="queues"
        )
    return ListQueues(prefix=asked["prefix"], limit=int(limit))


def _name(operation: type[Operation]) -> str:  # type: ignore[type-arg]
    return operation.__name__


def _histogram(name: str, said: str, label: str, durations: dict[str, Durations]) -> Metric:
    family = HistogramMetricFamily(name, said, labels=(label,))
    for value, each in durations.items():
        family.add_metric((value,), _cumulated(each), each.sum_seconds)
    return family


def _cumulated(durations: Durations) -> list[tuple[str, float]]:
    return list(zip((*map(str, durations.bounds), "+Inf"), accumulate(durations.counts), strict=True))


class _Fixed(Collector):
    """Families that are collected already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
