"""``python -m bench``: measure, print a table with targets and verdicts, keep the figures in history.jsonl."""

import argparse
import os
import sys

from rich.console import Console

from bench import console, peers, scenarios, shared, workers
from bench.figures import Figure, keep, show
from bench.measuring import FULL, QUICK

_SCENARIOS = {
    "rates": scenarios.rates,
    "latency": scenarios.latency,
    "authentication": scenarios.authentication,
    "waiting": scenarios.waiting,
    "idle": scenarios.idle,
    "console": console.console,
    "peers": peers.peers,
    "jobs-draining": workers.draining,
    "jobs-sending": workers.sending,
    "jobs-starting": workers.starting,
    "jobs-recovery": workers.recovery,
    "stores-draining": shared.draining,
    "stores-sending": shared.sending,
    "stores-starting": shared.starting,
    "stores-serving": shared.serving,
}
_ON_REQUEST = {"peers", *(name for name in _SCENARIOS if name.startswith(("jobs-", "stores-")))}
_BUSY = 0.5


def main() -> int:
    """Measure what the command line asks for; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "scenario",
        nargs="*",
        metavar="scenario",
        help=f"any of {', '.join(_SCENARIOS)}; by default all but those that need other programs",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the time and of the messages")
    chosen = parser.parse_args()
    unknown = set(chosen.scenario) - set(_SCENARIOS)
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    if os.getloadavg()[0] > _BUSY:
        Console(stderr=True).print(f"[yellow]This machine is busy (load {os.getloadavg()[0]:.1f}): ratios only.[/]")
    pace = QUICK if chosen.quick else FULL
    figures: list[Figure] = []
    for name in chosen.scenario or [name for name in _SCENARIOS if name not in _ON_REQUEST]:
        figures += _SCENARIOS[name](pace)
    show(figures)
    keep(" ".join(["python -m bench", *sys.argv[1:]]), figures)
    return int(any(each.is_met is False for each in figures))


if __name__ == "__main__":
    sys.exit(main())
