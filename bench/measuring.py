"""Taking figures in alternation: this machine is never quite at rest, so what is compared is measured side by side."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from statistics import mean, median

from msgspec import Struct, structs
from rich.console import Console

from bench.client import Figures, Plan
from bench.servers import ServerProcess, load

_console = Console(stderr=True)
_first_numbers = count(0, 10_000_000)
"""Of deduplication ids: no two clients use the same."""

Serving = Callable[[], AbstractContextManager[ServerProcess]]


class Pace(Struct, frozen=True):
    """How much is measured.

    Attributes:
        pairs: how often the two that are compared take turns.
        seconds: how long each turn lasts; the floor's turns half of that.
        waiting: how many messages wait where many shall wait.
    """

    pairs: int
    seconds: float
    waiting: int


FULL = Pace(7, 3, 1_000_000)
QUICK = Pace(3, 1, 100_000)


class Side(Struct, frozen=True):
    """One of the two that are compared.

    Attributes:
        serving: the server, for one turn.
        plan: what the client does there; the port is filled in.
    """

    serving: Serving
    plan: Plan


class Pair(Struct, frozen=True):
    """One turn of each side. ``base`` is the mean of the turns before and after ``other``.

    ``base_us`` and ``other_us`` are the processor time of the server for each request, in microseconds.
    """

    base: Figures
    other: Figures
    base_us: float
    other_us: float

    def ratio(self, of: Callable[[Figures], float] = lambda figures: figures.requests) -> float:
        """Return the other's figure by the base's requests per second."""
        return of(self.other) / self.base.requests


def compare(what: str, base: Side, other: Side, pace: Pace) -> list[Pair]:
    """Let two sides take turns; the base begins and ends."""
    pairs = []
    before, _ = _turn(base)
    for number in range(pace.pairs):
        done, other_us = _turn(other)
        after, base_us = _turn(base)
        pairs.append(Pair(_mean(before, after), done, base_us, other_us))
        _console.print(f"  {what} {number + 1}/{pace.pairs}: {done.requests:,.0f}/s beside {after.requests:,.0f}/s")
        before = after
    return pairs


def running(server: ServerProcess) -> Serving:
    """Return a side's server that runs on between turns."""
    return lambda: nullcontext(server)


def about(pairs: list[Pair], noun: str = "msg/s") -> str:
    """Return the absolute figures behind the ratios."""
    other = median(pair.other.messages for pair in pairs)
    requests = median(pair.other.requests for pair in pairs)
    base = median(pair.base.requests for pair in pairs)
    p50, p99 = median(pair.other.p50_ms for pair in pairs), median(pair.other.p99_ms for pair in pairs)
    us = min(pair.other_us for pair in pairs)
    base_us = min(pair.base_us for pair in pairs)
    return (
        f"{other:,.0f} {noun}, {requests:,.0f} req/s at {us:.0f} us of processor; p50 {p50:.2f} p99 {p99:.2f} ms; "
        f"beside {base:,.0f} req/s at {base_us:.0f} us"
    )


def _turn(side: Side) -> tuple[Figures, float]:
    with side.serving() as server:
        plan = structs.replace(side.plan, port=server.port, first_number=next(_first_numbers))
        before = server.processor_seconds
        figures = load(plan)
        used = server.processor_seconds - before
        seconds = plan.seconds + plan.warm_up_seconds
        return figures, 1e6 * used / max(1, figures.requests * seconds)


def _mean(before: Figures, after: Figures) -> Figures:
    return Figures(**{name: mean((getattr(before, name), getattr(after, name))) for name in Figures.__struct_fields__})
