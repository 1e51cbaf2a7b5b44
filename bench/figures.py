"""A figure, what it is held against, and how figures are shown and kept."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct
from rich import box
from rich.console import Console
from rich.table import Table

HISTORY = Path(__file__).with_name("history.jsonl")


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the table.

    Attributes:
        what: was measured.
        value: the median of what was compared with the target.
        unit: of the value; ``x floor`` and the like for ratios.
        target: such as ``>= 0.45``; empty when there is none.
        low, high: the least and the most of the values that the median was taken of.
        detail: the absolute figures behind it.
    """

    what: str
    value: float
    unit: str
    target: str = ""
    low: float | None = None
    high: float | None = None
    detail: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; ``None`` without one."""
        if not self.target:
            return None
        relation, limit = self.target.split()
        return self.value >= float(limit) if relation == ">=" else self.value <= float(limit)


def figure_of(what: str, values: list[float], unit: str, target: str = "", detail: str = "") -> Figure:
    """Return the median of values taken one after the other."""
    return Figure(
        what=what, value=median(values), unit=unit, target=target, low=min(values), high=max(values), detail=detail
    )


def show(figures: list[Figure]) -> None:
    """Print the table."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("what", "figure", "spread", "target", "", "behind it"):
        table.add_column(heading, justify="right" if heading in ("figure", "spread") else "left")
    for each in figures:
        spread = "" if each.low is None else f"{_number(each.low)} .. {_number(each.high or 0)}"
        verdict = {None: "", True: "[green]met[/]", False: "[red]MISSED[/]"}[each.is_met]
        value = f"{_number(each.value)} {each.unit}"
        table.add_row(each.what, value, spread, each.target, verdict, each.detail)
    Console(width=180).print(table)


def keep(command: str, figures: list[Figure]) -> None:
    """Append the figures to the history of this machine."""
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "command": command,
        "machine": {
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "load": round(os.getloadavg()[0], 2),
        },
        "figures": [msgspec.to_builtins(each) for each in figures],
    }
    with HISTORY.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HISTORY.parent, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
