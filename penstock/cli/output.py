"""What commands print: tables for people, JSON for programs, errors in one line with a hint.

Colour is for terminals, and only where ``NO_COLOR`` is not set. What others wrote never reaches a terminal as control
characters.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TextIO

import typer

from penstock.cli.gathering import Gathered

if TYPE_CHECKING:
    from penstock.core.errors import PenstockError

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Row = Sequence[object]

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_says_json: ContextVar[bool] = ContextVar("says_json", default=False)
"""Whether errors are told in JSON too."""


class Tinted(NamedTuple):
    """A cell of a table with a colour of its own."""

    text: object
    colour: str

    def __str__(self) -> str:
        return str(self.text)


class Answer:
    """Prints what a command answers: as JSON where that was asked for, else for people.

    Args:
        is_json: as the option says.
    """

    def __init__(self, is_json: bool) -> None:
        self.is_json = is_json

    def __call__(self, value: Any, text: str | Callable[[], object]) -> None:
        """Print a value, or a line for people, or let that be printed."""
        if self.is_json:
            print_json(value)
        elif isinstance(text, str):
            say(text)
        else:
            text()

    def table(
        self,
        values: Any,
        columns: Sequence[str],
        rows: Callable[[], Iterable[Row]],
        *,
        nothing: str,
        numbers: Sequence[str] = (),
    ) -> None:
        """Print values, as a table with these columns; ``nothing`` where there are none."""
        if self.is_json:
            print_json(values)
        elif not values:
            say(nothing)
        else:
            print_table(columns, rows(), numbers=numbers)


def answer(as_json: Json = False) -> Answer:
    """Return what answers as the option says."""
    _says_json.set(as_json)
    return Answer(as_json)


Answers = Annotated[Answer, Gathered(answer, order=1)]


def print_json(value: Any) -> None:
    """Print a value as JSON, one line."""
    import msgspec

    say(msgspec.json.encode(value).decode())


def print_table(columns: Sequence[str], rows: Iterable[Row], *, numbers: Sequence[str] = ()) -> None:
    """Print a table: with rules and colour on a terminal, in plain columns otherwise.

    Args:
        columns: their headings.
        rows: the cells.
        numbers: headings of the columns that are aligned to the right.
    """
    if not sys.stdout.isatty():
        _print_plain(columns, rows, numbers)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(
            *(Text(visible(str(cell)), style=cell.colour if isinstance(cell, Tinted) else "") for cell in row)
        )
    Console().print(table)


def say(text: str) -> None:
    """Print a line for people."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Tell people something beside the answer, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def confirm(yes: bool, question: str) -> None:
    """Ask before something that cannot be undone, unless it was confirmed already; a no ends the command."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def visible(text: str) -> str:
    """Return a text in which control characters are written out, except for tabs and ends of lines."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shortened(text: str, most: int = 60) -> str:
    """Return the first line of a text, and no more of it than so many characters."""
    line, _, rest = text.partition("\n")
    return line[: most - 1] + "…" if len(line) > most or rest else line


def has_colour(stream: TextIO) -> bool:
    """Return whether a stream is shown in colour."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_error(error: "PenstockError") -> None:
    """Print an error and what to do about it, on standard error; in JSON where the answer would be."""
    problem = error.problem
    if _says_json.get():
        import msgspec

        note(msgspec.json.encode(problem).decode())
        return
    start, end = ("\x1b[31m", "\x1b[0m") if has_colour(sys.stderr) else ("", "")
    hint = f" {problem.hint}" if problem.hint else ""
    note(f"{start}penstock:{end} {visible(problem.message + hint)}")


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
    start_of, end = (lambda colour: colour, "\x1b[0m") if has_colour(sys.stdout) else (lambda _: "", "")
    for verdict, what, found, hint in findings:
        mark, colour = marks[verdict]
        say(f"{start_of(colour)}{mark}{end} {what}: {found}")
        if hint is not None:
            say(f"{' ' * len(mark)} -> {hint}")


@contextmanager
def progress(label: str, total: float | None = None) -> Iterator[Callable[..., None]]:
    """Show on a terminal how far long work is; give what is to be called with how much is done in all, and with another
    label if it has one."""
    if not sys.stderr.isatty():
        yield lambda done, label=None: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=total)
        yield lambda done, label=None: shown.update(task, completed=done, description=label)


def _print_plain(columns: Sequence[str], rows: Iterable[Row], numbers: Sequence[str]) -> None:
    from rich.cells import cell_len

    lines = [[[column] for column in columns]]
    lines += [[visible(str(cell)).split("\n") for cell in row] for row in rows]
    widths = [max(cell_len(line) for row in lines for line in row[at]) for at in range(len(columns))]
    for row in lines:
        for number in range(max(map(len, row))):
            cells = [cell[number] if number < len(cell) else "" for cell in row]
            filled = (
                " " * (width - cell_len(cell)) + cell if column in numbers else cell + " " * (width - cell_len(cell))
                for column, cell, width in zip(columns, cells, widths, strict=True)
            )
            say("  ".join(filled).rstrip())
