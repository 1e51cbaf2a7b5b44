"""What commands print: tables for people, JSON for programs, errors in one line with a hint."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from penstock.core.errors import PenstockError


def print_json(value: Any) -> None:
    """Print a value as JSON, one line."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()) -> None:
    """Print a table: with rules and colour on a terminal, in plain columns otherwise.

    Args:
        columns: their headings.
        rows: the cells.
        numbers: headings of the columns that are aligned to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 1000)
    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console.print(table)


def say(text: str) -> None:
    """Print a line for people."""
    sys.stdout.write(text + "\n")


def print_error(error: PenstockError) -> None:
    """Print an error and what to do about it, on standard error."""
    problem = error.problem
    is_terminal = sys.stderr.isatty()
    start, end = ("\x1b[31m", "\x1b[0m") if is_terminal else ("", "")
    hint = f" {problem.hint}" if problem.hint else ""
    sys.stderr.write(f"{start}penstock:{end} {problem.message}{hint}\n")


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far something is, on a terminal; the function given is told how much of how much is done."""
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def print_findings(findings: Iterable[tuple[str, str, str, str | None]]) -> None:
    """Print what was looked at: verdict, what, what was found, what to do; a line each and one for the hint."""
    marks = {"ok": ("ok     ", "\x1b[32m"), "warning": ("warning", "\x1b[33m"), "failed": ("FAILED ", "\x1b[31m")}
    start_of, end = (lambda colour: colour, "\x1b[0m") if sys.stdout.isatty() else (lambda _: "", "")
    for verdict, what, found, hint in findings:
        mark, colour = marks[verdict]
        say(f"{start_of(colour)}{mark}{end} {what}: {found}")
        if hint is not None:
            say(f"{' ' * len(mark)} -> {hint}")
