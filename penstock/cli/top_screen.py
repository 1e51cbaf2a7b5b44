"""``penstock top`` on a terminal: every line fits, whatever its size; keys sort and end."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.cli.output import visible
from penstock.cli.times import told_duration, told_time
from penstock.cli.top_figures import SORTINGS, Figures, QueueFigures

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

KEYS = {name[0]: name for name in SORTINGS}
MOST_FOR_JOBS = 0.4
"""Of the height, where there are more queues than fit."""

OTHER_LINES = 8
WIDE = 100
"""From so many columns on, ids are shown too."""

_QUEUES = ("Queue", "Ready", "Delayed", "In flight", "Dead", "In/s", "Out/s", "Oldest")
_JOBS = ("Running", "For", "Worker", "Job")


def screen(told: Figures, sorting: str, where: str, width: int, height: int, trouble: str = "") -> "Group":
    """Return all that fits into a terminal of that size."""
    from rich.console import Group, RenderableType
    from rich.text import Text

    jobs = [(job, worker) for worker in told.workers for job in worker.jobs]
    room = max(2, height - OTHER_LINES)
    queue_count = min(len(told.queues), max(room - len(jobs), int(room * (1 - MOST_FOR_JOBS)), 1))
    job_count = min(len(jobs), room - queue_count)
    queues = _table(_QUEUES, wide=("Queue",))
    for queue in told.queues[:queue_count]:
        queues.add_row(*_cells(queue))
    running = _table(_JOBS[: 4 if width >= WIDE else 3], wide=("Running", "Worker"))
    for job, worker in sorted(jobs, key=lambda each: each[0].started_at)[:job_count]:
        cells = (visible(job.task), told_duration(told.at - job.started_at), worker.owner, job.job_id)
        running.add_row(*cells[: len(running.columns)])
    parts: list[RenderableType] = [_head(told, where, len(jobs), trouble), Text(""), queues]
    parts.append(Text(_more(len(told.queues) - queue_count, "queue"), style="dim"))
    if told.workers:
        parts += [running, Text(_more(len(jobs) - job_count, "job"), style="dim")]
    keys = Text.assemble(*(part for key, name in KEYS.items() for part in _key(key, name, sorting)), "q quit")
    keys.no_wrap = True
    return Group(*parts, keys)


def _head(told: Figures, where: str, job_count: int, trouble: str) -> "Text":
    from rich.text import Text

    sums = [sum(getattr(queue, name) for queue in told.queues) for name in ("ready", "delayed", "in_flight")]
    slots = sum(worker.slots for worker in told.workers)
    rates = [sum(getattr(queue, name) for queue in told.queues) for name in ("in_per_second", "out_per_second")]
    first = (
        f"Penstock {visible(where)} {told_time(told.at)} - {len(told.queues)} queues, {len(told.workers)} workers, "
        f"slots {job_count} of {slots}"
    )
    second = (
        f"ready {short(sums[0])}, delayed {short(sums[1])}, in flight {short(sums[2])} - "
        f"in {rate(rates[0])}/s, out {rate(rates[1])}/s"
    )
    text = Text.assemble((first, "bold"), "\n", (trouble, "red") if trouble else second)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _cells(queue: QueueFigures) -> "list[str | Text]":
    from rich.text import Text

    name = Text(
        visible(queue.name) + (" (paused)" if queue.is_paused else ""), style="yellow" if queue.is_paused else ""
    )
    dead = Text("" if queue.dead is None else short(queue.dead), style="red" if queue.dead else "")
    oldest = "" if queue.oldest_ms is None else told_duration(queue.oldest_ms)
    counts = [short(each) if each else "0" for each in (queue.ready, queue.delayed, queue.in_flight)]
    return [name, *counts, dead, rate(queue.in_per_second), rate(queue.out_per_second), oldest]


def _table(columns: tuple[str, ...], wide: tuple[str, ...]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold reverse", expand=True)
    for column in columns:
        is_number = column not in (*wide, "Job")
        table.add_column(
            column,
            justify="right" if is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column in wide else None,
            min_width=36 if column == "Job" else None,
        )
    return table


def _key(key: str, name: str, sorting: str) -> "Iterator[str | tuple[str, str]]":
    yield f"{key} "
    yield (name, "bold underline") if name == sorting else name
    yield "  "


def _more(count: int, what: str) -> str:
    return f"and {count} {what}{'s' if count > 1 else ''} more" if count > 0 else ""


def short(number: int) -> str:
    """Return a count in at most five characters: ``99999``, ``123k``, ``1.2M``."""
    if number < 100_000:
        return str(number)
    if number < 1_000_000:
        return f"{number / 1000:.0f}k"
    return f"{number / 1_000_000:.1f}M" if number < 100_000_000 else f"{number / 1_000_000:.0f}M"


def rate(per_second: float) -> str:
    """Return a rate; nothing moves: a dot."""
    if not per_second:
        return "."
    return f"{per_second:.1f}" if per_second < 100 else short(round(per_second))


@contextmanager
def keys(pressed: Callable[[str], None]) -> Iterator[None]:
    """Tell of each key on the terminal, as long as this lasts; nothing is echoed meanwhile."""
    import termios
    import tty

    if not sys.stdin.isatty():
        yield
        return
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    loop = asyncio.get_running_loop()
    tty.setcbreak(file)

    def read() -> None:
        for key in os.read(file, 64).decode(errors="replace") or ("",):
            pressed(key)

    loop.add_reader(file, read)
    try:
        yield
    finally:
        loop.remove_reader(file)
        termios.tcsetattr(file, termios.TCSADRAIN, before)
