"""Workers beside their peers: the same jobs, the same machine, the same run, by turns.

Penstock keeps jobs durably (fsync before a send is answered); Redis keeps those of the peers in memory.
"""

import sys
from collections.abc import Sequence
from time import monotonic, sleep

from rich.console import Console

from bench.figures import Figure, figure_of
from bench.jobs.contenders import OVER_HTTP, PEERS, PENSTOCK, WITH_RESULTS, Contender
from bench.jobs.running import Place, has_redis, placed
from bench.jobs.turns import OURS, beside, by_turns, drain, drained, starting_of
from bench.measuring import Pace

_console = Console(stderr=True)
_LONGEST_RECOVERY_SECONDS = 40
_TARGETS_DRAINING = {"celery": ">= 10", "dramatiq": ">= 2"}


def draining(pace: Pace) -> list[Figure]:
    """Drain no-ops that are there already, with workers in two processes."""

    def drain_in_threads(place: Place) -> float:
        place.send("threads", OURS // 2)
        return drained(place, OURS // 2)

    rates = by_turns("drain", (*_contenders(), WITH_RESULTS), drain, pace)
    figures = beside("drain", PENSTOCK, PEERS, rates, _TARGETS_DRAINING)
    figures += beside("drain", OVER_HTTP, PEERS, rates, {"celery": ">= 4"})
    figures += beside("drain", WITH_RESULTS, PEERS, rates, {})
    threads = by_turns("drain, sync tasks in threads", (PENSTOCK,), drain_in_threads, pace)[PENSTOCK.name]
    figures.append(figure_of("drain, Penstock, SQLite, sync tasks in threads", threads, "jobs/s"))
    return figures


def sending(pace: Pace) -> list[Figure]:
    """Send jobs one by one, and as fast as each library takes many."""
    one = by_turns("send one by one", _contenders(), lambda place: 1000 / place.send("one", 1000), pace)
    many = by_turns("send many", _contenders(), lambda place: 5000 / place.send("many", 5000), pace)
    figures = beside("send one by one", PENSTOCK, PEERS, one, {})
    for ours in (PENSTOCK, OVER_HTTP):
        figures += beside("send many", ours, PEERS, many, {})
    if "Dramatiq" in one:
        ratios = [ours / theirs for ours, theirs in zip(many[PENSTOCK.name], one["Dramatiq"], strict=True)]
        figures.append(figure_of("send many, Penstock by Dramatiq's send", ratios, "x Dramatiq", ">= 5"))
    return figures


def starting(pace: Pace) -> list[Figure]:
    """How long from a send to the start of the job on an idle worker; what an idle worker takes of the machine."""
    figures: list[Figure] = []
    for contender in _contenders():
        figures += starting_of(contender, *((3, 15) if contender is PENSTOCK else ()))
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
