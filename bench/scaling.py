"""From one machine to a hundred shards, simulated: ``python -m bench.scaling`` prints the table of docs/scaling.md.

Deterministic. A thousand queues, the busiest with a share of one in fifty, fall to shards as they do in a store. Rates
rise until the busiest core of a step is at ``MOST_BUSY``; then requests arrive there at random.
"""

from random import Random

from msgspec import Struct

from penstock.cli.capacity import MOST_BUSY, Costs, between, measured
from penstock.core.partitions import MOST_PARTITIONS, partition_name
from penstock.core.placement import homes, slot_of

QUEUES = 1000
_BUSIEST = 0.02
_PARTITIONED = 20
_ARRIVALS = 20_000


class Step(Struct, frozen=True):
    """A size of system.

    Attributes:
        name: for people.
        store: of ``costs.json``.
        server_cores: of server processes.
        store_cores: of the store; for Redis its shards; 0 where it lives in the server.
        batch: messages in a request.
        partitions: the twenty busiest queues are in so many parts each.
    """

    name: str
    store: str
    server_cores: int
    store_cores: int
    batch: int = 1
    partitions: int = 1


STEPS = (
    Step("SQLite, one process", "sqlite", 1, 0),
    Step("SQLite, tens", "sqlite", 1, 0, 10),
    Step("PostgreSQL, 2 server cores, 4 of its own", "postgresql", 2, 4),
    Step("Redis, 2 server cores", "redis", 2, 1),
    Step("Redis, 4 server cores", "redis", 4, 1),
    Step("Redis, 4 server cores, tens", "redis", 4, 1, 10),
    Step("2 shards, 8 server cores, tens", "redis", 8, 2, 10),
    Step("10 shards, 40 server cores, tens", "redis", 40, 10, 10),
    Step("10 shards, partitions", "redis", 40, 10, 10, 10),
    Step("100 shards, 400 server cores, tens", "redis", 400, 100, 10),
    Step("100 shards, partitions", "redis", 400, 100, 10, MOST_PARTITIONS),
)


class Outcome(Struct, frozen=True):
    """What a step carries: messages a second, what stops it, the busiest shard's share, waits there."""

    rate: float
    bottleneck: str
    busiest_share: float
    p50_ms: float
    p99_ms: float


def simulate(step: Step, costs: Costs) -> Outcome:
    """Return what a step carries before a core is busier than ``MOST_BUSY``."""
    store, http = costs.stores[step.store], costs.http
    store_us = between(store.store_us, step.batch)
    server_us = 3 * (http.request_us / step.batch + http.entry_us) + between(store.process_us, step.batch)
    share = _busiest_share(step)
    if step.store_cores == 0:
        service_us, rate, what = server_us + store_us, MOST_BUSY * 1e6 / (server_us + store_us), "the one process"
    else:
        by_servers = MOST_BUSY * step.server_cores * 1e6 / server_us
        by_store = MOST_BUSY * 1e6 / (store_us * share)
        rate = min(by_servers, by_store)
        what = "server cores" if by_servers < by_store else "the busiest store core"
        service_us = server_us if by_servers < by_store else store_us
    p50_ms, p99_ms = _waits(service_us * step.batch)
    return Outcome(rate, what, share, p50_ms, p99_ms)


def _busiest_share(step: Step) -> float:
    """Return which part of all messages goes to the busiest core of the store."""
    cores = max(1, step.store_cores)
    weights = [1 / (number + 1) ** 0.5 for number in range(QUEUES)]
    rest = sum(weights[1:])
    shares = [_BUSIEST, *((1 - _BUSIEST) * weight / rest for weight in weights[1:])]
    carried = [0.0] * cores
    for number, part in enumerate(shares):
        partitions = step.partitions if number < _PARTITIONED else 1
        for partition in range(partitions):
            name = f"queue-{number}"
            whole_or_part = name if partitions == 1 else partition_name(name, partition)
            carried[homes(cores)[slot_of(whole_or_part)]] += part / partitions
    return max(carried)


def _waits(service_us: float) -> tuple[float, float]:
    """Return median and 99th percentile of waiting and service at a core that is busy to ``MOST_BUSY``, in ms."""
    random, free_at, now, waits = Random(1), 0.0, 0.0, []
    for _ in range(_ARRIVALS):
        now += random.expovariate(MOST_BUSY / service_us)
        free_at = max(free_at, now) + service_us
        waits.append(free_at - now)
    waits.sort()
    return waits[len(waits) // 2] / 1000, waits[len(waits) * 99 // 100] / 1000


def table() -> str:
    """Return the table of the document."""
    costs = measured()
    lines = [
        "| Step | messages/s | stops at | busiest store core | p50; p99 there, ms |",
        "|---|---|---|---|---|",
    ]
    for step in STEPS:
        outcome = simulate(step, costs)
        lines.append(
            f"| {step.name} | {outcome.rate:,.0f} | {outcome.bottleneck} | {outcome.busiest_share:.1%} "
            f"| {outcome.p50_ms:.2f}; {outcome.p99_ms:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
