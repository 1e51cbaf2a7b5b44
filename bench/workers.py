"""Workers beside their peers: the same jobs, the same machine, the same run, by turns.

Penstock keeps jobs durably (fsync before a send is answered); Redis keeps those of the peers in memory.
"""

import sys
from collections.abc import Callable, Sequence
from statistics import median
from time import monotonic, perf_counter, sleep

from rich.console import Console

from bench.figures import Figure, figure_of
from bench.jobs.contenders import OVER_HTTP, PEERS, PENSTOCK, Contender
from bench.jobs.running import Place, has_redis, placed
from bench.jobs.told import STARTED
from bench.measuring import Pace

_console = Console(stderr=True)
_JOBS = {"celery": 2_000, "dramatiq": 8_000, "taskiq": 5_000, "saq": 3_000, "huey": 4_000, "rq": 600}
_OURS = 20_000
_STAMPS = 200
_IDLE_SECONDS = 4
_LONGEST_RECOVERY_SECONDS = 40
_TARGETS_DRAINING = {"celery": ">= 10", "dramatiq": ">= 2"}


def draining(pace: Pace) -> list[Figure]:
    """Drain no-ops that are there already, with workers in two processes."""

    def drain(place: Place) -> float:
        count = _OURS if place.contender.is_ours else _JOBS[place.contender.module]
        place.send("many", count)
        return _drained(place, count)

    def drain_in_threads(place: Place) -> float:
        place.send("threads", _OURS // 2)
        return _drained(place, _OURS // 2)

    rates = _by_turns("drain", _contenders(), drain, pace)
    figures = _beside_peers("drain", PENSTOCK, rates, _TARGETS_DRAINING)
    figures += _beside_peers("drain", OVER_HTTP, rates, {"celery": ">= 4"})
    threads = _by_turns("drain, sync tasks in threads", (PENSTOCK,), drain_in_threads, pace)[PENSTOCK.name]
    figures.append(figure_of("drain, Penstock, SQLite, sync tasks in threads", threads, "jobs/s"))
    return figures


def sending(pace: Pace) -> list[Figure]:
    """Send jobs one by one, and as fast as each library takes many."""
    one = _by_turns("send one by one", _contenders(), lambda place: 1000 / place.send("one", 1000), pace)
    many = _by_turns("send many", _contenders(), lambda place: 5000 / place.send("many", 5000), pace)
    figures = _beside_peers("send one by one", PENSTOCK, one, {})
    for ours in (PENSTOCK, OVER_HTTP):
        figures += _beside_peers("send many", ours, many, {})
    if "Dramatiq" in one:
        ratios = [ours / theirs for ours, theirs in zip(many[PENSTOCK.name], one["Dramatiq"], strict=True)]
        figures.append(figure_of("send many, Penstock by Dramatiq's send", ratios, "x Dramatiq", ">= 5"))
    return figures


def starting(pace: Pace) -> list[Figure]:
    """How long from a send to the start of the job on an idle worker; what an idle worker takes of the machine."""
    figures = []
    for contender in _contenders():
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
        name, has_target = contender.name, contender is PENSTOCK
        _console.print(f"  {name}: p50 {p50:.1f} p99 {p99:.1f} ms; {rss:.0f} MiB, {processor:.2f} % idle")
        figures += [
            Figure(what=f"send to start, p50, {name}", value=p50, unit="ms", target="<= 3" if has_target else ""),
            Figure(what=f"send to start, p99, {name}", value=p99, unit="ms", target="<= 15" if has_target else ""),
            Figure(
                what=f"memory of an idle worker, {name}",
                value=rss,
                unit="MiB",
                target="<= 60" if has_target else "",
                detail=f"{processes} processes",
            ),
            Figure(
                what=f"processor of an idle worker, {name}",
                value=processor,
                unit="% of a core",
                target="<= 0.5" if has_target else "",
            ),
        ]
    return figures


def recovery(pace: Pace) -> list[Figure]:
    """How long until another worker runs a job whose worker was killed with SIGKILL; each with its defaults."""
    figures = []
    for contender in _contenders():
        with placed(contender) as place:
            place.send("hang")
            with place.working(contender.one) as first:
                if not place.until(lambda place=place: bool(place.lines("hung"))):  # type: ignore[misc]
                    raise RuntimeError(f"{contender.name} does not start its job.")
                with place.working(contender.one):
                    sleep(3)
                    first.kill()
                    killed_at = monotonic()
                    place.until(lambda place=place: len(place.lines("hung")) > 1, _LONGEST_RECOVERY_SECONDS)  # type: ignore[misc]
                    seconds = monotonic() - killed_at
        is_late = seconds >= _LONGEST_RECOVERY_SECONDS
        _console.print(f"  {contender.name}: {seconds:.1f} s")
        figures.append(
            Figure(
                what=f"SIGKILL to the job running again, {contender.name}",
                value=seconds,
                unit="s",
                target="<= 5" if contender.is_ours else "",
                detail=f"not within {_LONGEST_RECOVERY_SECONDS} s" if is_late else "",
            )
        )
    return figures


def _contenders() -> Sequence[Contender]:
    if has_redis():
        return (PENSTOCK, OVER_HTTP, *PEERS)
    print("redis-server is not here: only Penstock and Huey are measured.", file=sys.stderr)
    return (PENSTOCK, OVER_HTTP, *(peer for peer in PEERS if peer.needs == "file"))


def _drained(place: Place, count: int) -> float:
    """Start two processes, and return jobs a second from when both had time to begin until all have run."""
    with place.working(place.contender.two):
        early = count // 10
        place.until(lambda: place.ran >= early)
        began, before = perf_counter(), place.ran
        if not place.until(lambda: place.ran >= count):
            raise RuntimeError(f"{place.contender.name} ran {place.ran} of {count} jobs.")
        return (count - before) / (perf_counter() - began)


def _by_turns(
    what: str, contenders: Sequence[Contender], measure: Callable[[Place], float], pace: Pace
) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(min(pace.pairs, 3)):
        for contender in contenders:
            with placed(contender) as place:
                rates[contender.name].append(measure(place))
            _console.print(f"  {what} {number + 1}: {contender.name} {rates[contender.name][-1]:,.0f}/s")
    return rates


def _beside_peers(what: str, ours: Contender, rates: dict[str, list[float]], targets: dict[str, str]) -> list[Figure]:
    figures = [figure_of(f"{what}, {ours.name}", rates[ours.name], "jobs/s")]
    for peer in PEERS:
        if peer.name in rates:
            ratios = [our / their for our, their in zip(rates[ours.name], rates[peer.name], strict=True)]
            detail = f"{peer.name} {median(rates[peer.name]):,.0f}/s"
            target = targets.get(peer.module, "")
            figures.append(figure_of(f"{what}, {ours.name} by {peer.name}", ratios, f"x {peer.name}", target, detail))
    return figures
