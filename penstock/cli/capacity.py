"""``penstock capacity``: what a load asks of machines, reckoned from what operations were measured to cost.

Arithmetic only: it looks at no server. A message is sent, received and deleted once.
"""

from importlib.resources import files
from math import ceil

import msgspec
from msgspec import Struct

from penstock.core.errors import InvalidRequest

MOST_BUSY = 0.6
"""How much of a core is planned for: above it waiting grows faster than work."""

_DAY_SECONDS = 86_400
_GIB = 1 << 30


class HttpCosts(Struct, frozen=True):
    """What a request costs a server process, besides its store: microseconds, and bytes on the wire besides bodies."""

    request_us: float
    entry_us: float
    request_bytes: int
    answer_bytes: int
    entry_bytes: int


class StoreCosts(Struct, frozen=True):
    """What a message costs, through sending, receiving and deleting; pairs are by singles and by tens.

    Attributes:
        store_us: microseconds of the store's own core.
        process_us: microseconds of the process that asks it.
        kept_bytes: what a waiting message takes besides its body.
        log_bytes: written to the store's log, and sent to each replica, besides the body.
        is_in_memory: whether what waits is in memory, not only on disk.
        most_shards: how many independent servers one store can have.
    """

    store_us: tuple[float, float]
    process_us: tuple[float, float]
    kept_bytes: int
    log_bytes: int
    is_in_memory: bool
    most_shards: int


class Costs(Struct, frozen=True):
    """What was measured, when and on what."""

    measured_at: str
    machine: str
    http: HttpCosts
    stores: dict[str, StoreCosts]


class Load(Struct, frozen=True, kw_only=True):
    """What is asked for.

    Attributes:
        store: ``sqlite``, ``redis`` or ``postgresql``.
        messages_per_second: at the busiest.
        body_bytes: of a message.
        outage_days: so long consumers may be away, and nothing is lost.
        replicas: copies besides the first.
        batch: messages in a request, 1 to 10.
        room_gib: memory (Redis) or disk (the others) of one store machine.
    """

    store: str
    messages_per_second: float
    body_bytes: int = 200
    outage_days: float = 1
    replicas: int = 0
    batch: int = 1
    room_gib: float = 16


class Plan(Struct, frozen=True, kw_only=True):
    """What it takes.

    Attributes:
        client_mbit: on the wire between clients and servers, both ways together.
        replication_mbit: from each first copy to its replicas, all shards together.
        backlog_messages, backlog_gib: what waits at the end of the outage, in one copy.
        server_cores: of server processes, each at most ``MOST_BUSY``.
        store_cores: of the store, in one copy.
        shards: independent store servers, for work and for room.
        bottleneck: what asks for most shards: ``core`` or ``room``.
        days_survived: how long an outage those shards have room for.
        warnings: what the store cannot do.
    """

    client_mbit: float
    replication_mbit: float
    backlog_messages: int
    backlog_gib: float
    server_cores: int
    store_cores: int
    shards: int
    bottleneck: str
    days_survived: float
    warnings: tuple[str, ...] = ()


def measured() -> Costs:
    """Return what this project's operations were measured to cost."""
    return msgspec.json.decode(files(__package__).joinpath("costs.json").read_bytes(), type=Costs)


def between(costs: tuple[float, float], batch: int) -> float:
    """Return the cost by a batch: a part that each message pays, and a part that a batch shares."""
    shared = (costs[0] - costs[1]) / 0.9
    return costs[0] - shared + shared / batch


def plan(load: Load, costs: Costs) -> Plan:
    """Return what a load takes. Raises InvalidRequest for one that cannot be meant."""
    _check(load, costs)
    store, http, rate = costs.stores[load.store], costs.http, load.messages_per_second
    requests = 3 * rate / load.batch
    process_us = 3 * (http.request_us / load.batch + http.entry_us) + between(store.process_us, load.batch)
    store_us = between(store.store_us, load.batch)
    wire = requests * (http.request_bytes + http.answer_bytes) + rate * (2 * load.body_bytes + 3 * http.entry_bytes)
    backlog = round(rate * load.outage_days * _DAY_SECONDS)
    message_bytes = load.body_bytes + store.kept_bytes
    backlog_gib = backlog * message_bytes / _GIB
    for_work = ceil(rate * store_us / 1e6 / MOST_BUSY)
    for_room = ceil(backlog_gib / load.room_gib)
    # PostgreSQL uses many cores of one machine, Redis one of each; SQLite is in the servers' process
    needed = max(1, for_room, for_work if load.store == "redis" else 1)
    warnings = []
    if needed > store.most_shards:
        warnings.append(f"{load.store} is one machine: it has no room for this backlog. Give it more, or take redis.")
    if load.store == "sqlite" and rate * (process_us + store_us) / 1e6 > MOST_BUSY:
        warnings.append("One SQLite file has one writer: this is more than one core of it. Take postgresql or redis.")
    shards = min(needed, store.most_shards)
    return Plan(
        client_mbit=wire * 8 / 1e6,
        replication_mbit=load.replicas * rate * (load.body_bytes + store.log_bytes) * 8 / 1e6,
        backlog_messages=backlog,
        backlog_gib=backlog_gib,
        server_cores=max(1, ceil(rate * process_us / 1e6 / MOST_BUSY)),
        store_cores=max(1, for_work),
        shards=shards,
        bottleneck="room" if for_room > max(1, for_work) else "core",
        days_survived=shards * load.room_gib * _GIB / (rate * message_bytes * _DAY_SECONDS),
        warnings=tuple(warnings),
    )


def rows(load: Load, plan: Plan, costs: Costs) -> list[tuple[str, str]]:
    """Return a plan as a table for people."""
    kept = "memory" if costs.stores[load.store].is_in_memory else "disk"
    return [
        ("between clients and servers", f"{plan.client_mbit:,.1f} Mbit/s"),
        ("to replicas", f"{plan.replication_mbit:,.1f} Mbit/s"),
        ("cores of server processes", str(plan.server_cores)),
        ("cores of the store", "in the server" if load.store == "sqlite" else str(plan.store_cores)),
        ("shards", f"{plan.shards} (for {plan.bottleneck})"),
        (f"waiting after {load.outage_days:g} days of outage", f"{plan.backlog_messages:,} messages"),
        (f"{kept} for them, in each copy", f"{plan.backlog_gib:,.1f} GiB"),
        ("outage survived", f"{plan.days_survived:,.1f} days"),
    ]


def _check(load: Load, costs: Costs) -> None:
    if load.store not in costs.stores:
        raise InvalidRequest(
            f"No costs are known of {load.store!r}.", hint=f"Choose one of {', '.join(costs.stores)}.", field="store"
        )
    for name, low, high in (
        ("messages_per_second", 0.001, 1e9),
        ("body_bytes", 1, 1 << 30),
        ("outage_days", 0, 3650),
        ("replicas", 0, 100),
        ("batch", 1, 10),
        ("room_gib", 0.001, 1e6),
    ):
        if not low <= getattr(load, name) <= high:
            raise InvalidRequest(
                f"{name} must be between {low:g} and {high:g}.", hint=f"Choose another {name}.", field=name
            )
