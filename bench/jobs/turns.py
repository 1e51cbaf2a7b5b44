"""Contenders by turns in one run: how fast they drain and send, and how soon a job starts."""

from collections.abc import Callable, Sequence
from statistics import median
from time import monotonic, perf_counter, sleep

from rich.console import Console

from bench.figures import Figure, figure_of
from bench.jobs.contenders import Contender
from bench.jobs.running import Place, placed
from bench.jobs.told import STARTED
from bench.measuring import Pace

JOBS = {
    "celery": 2_000,
    "dramatiq": 8_000,
    "taskiq": 5_000,
    "saq": 3_000,
    "huey": 4_000,
    "rq": 600,
    "bullmq": 60_000,
    "procrastinate": 2_000,
}
"""How many jobs each drains, by module: as many as take it some seconds."""

OURS = 100_000
_STAMPS = 200
_IDLE_SECONDS = 4

_console = Console(stderr=True)


def by_turns(
    what: str, contenders: Sequence[Contender], measure: Callable[[Place], float], pace: Pace
) -> dict[str, list[float]]:
    """Measure each contender as often as the pace says, in alternation; return what came out, by name."""
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(min(pace.pairs, 3)):
        for contender in contenders:
            with placed(contender) as place:
                rates[contender.name].append(measure(place))
            _console.print(f"  {what} {number + 1}: {contender.name} {rates[contender.name][-1]:,.0f}/s")
    return rates


def beside(
    what: str, ours: Contender, peers: Sequence[Contender], rates: dict[str, list[float]], targets: dict[str, str]
) -> list[Figure]:
    """Return our rate, and its ratio to that of each peer; targets by the peers' modules."""
    figures = [figure_of(f"{what}, {ours.name}", rates[ours.name], "jobs/s")]
    for peer in peers:
        if peer.name in rates:
            ratios = [our / their for our, their in zip(rates[ours.name], rates[peer.name], strict=True)]
            detail = f"{peer.name} {median(rates[peer.name]):,.0f}/s"
            target = targets.get(peer.module, "")
            figures.append(figure_of(f"{what}, {ours.name} by {peer.name}", ratios, f"x {peer.name}", target, detail))
    return figures


def drain(place: Place) -> float:
    """Send as many jobs as take a contender some seconds, and return how many a second it drains."""
    count = OURS if place.contender.is_ours else JOBS[place.contender.module]
    place.send("many", count)
    return drained(place, count)


def drained(place: Place, count: int) -> float:
    """Start two processes, and return jobs a second from when both had time to begin until all have run."""
    with place.working(place.contender.two):
        early = count // 10
        place.until(lambda: place.ran >= early)
        began, before = perf_counter(), place.ran
        if not place.until(lambda: place.ran >= count):
            raise RuntimeError(f"{place.contender.name} ran {place.ran} of {count} jobs.")
        return (count - before) / (perf_counter() - began)


def starting_of(contender: Contender, p50_ms: float | None = None, p99_ms: float | None = None) -> list[Figure]:
    """Return how long a job takes from its sending to its start on an idle worker, and what that worker takes.

    Args:
        contender: measured.
        p50_ms, p99_ms: at most, if it has targets.
    """
    with placed(contender) as place, place.working(contender.one) as workers:
        place.send("stamps", 1)
        place.until_started(2)
        sleep(1)
        before, began = workers.processor_seconds, monotonic()
        sleep(_IDLE_SECONDS)
        processor = 100 * (workers.processor_seconds - before) / (monotonic() - began)
        rss = workers.rss_mib
        place.send("stamps", _STAMPS)
        place.until_started(_STAMPS + 3)
        waits = sorted(int(line) / 1e6 for line in place.lines(STARTED)[3:])
        processes = len(workers.pids)
    p50, p99 = median(waits), waits[int(len(waits) * 0.99) - 1]
    name, has_target = contender.name, p50_ms is not None
    _console.print(f"  {name}: p50 {p50:.1f} p99 {p99:.1f} ms; {rss:.0f} MiB, {processor:.2f} % idle")
    targets = (f"<= {p50_ms}", f"<= {p99_ms}", "<= 60", "<= 0.5") if has_target else ("", "", "", "")
    return [
        Figure(what=f"send to start, p50, {name}", value=p50, unit="ms", target=targets[0]),
        Figure(what=f"send to start, p99, {name}", value=p99, unit="ms", target=targets[1]),
        Figure(
            what=f"memory of an idle worker, {name}",
            value=rss,
            unit="MiB",
            target=targets[2],
            detail=f"{processes} processes",
        ),
        Figure(what=f"processor of an idle worker, {name}", value=processor, unit="% of a core", target=targets[3]),
    ]
