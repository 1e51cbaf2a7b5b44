"""``penstock top``: what it tells, that it fits, its keys."""

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from penstock.cli.top_figures import Figures, Look, QueueFigures, figures
from penstock.cli.top_screen import rate, screen, short
from penstock.core.queues import QueueCounts, QueueDescription, QueueSettings, RedrivePolicy
from penstock.worker.presence import RunningJob, WorkerRecord
from tests.cli.test_commands import Terminal, _elsewhere, terminal
from tests.cli.test_whole import COMMAND, ROOT

__all__ = ["_elsewhere", "terminal"]

NOW = 1_700_000_000_000


def queue(
    name: str, *, ready: int = 0, sent: int = 0, deleted: int = 0, made: int = 0, age_ms: int | None = None
) -> QueueDescription:
    settings = QueueSettings(redrive=RedrivePolicy("dead", 3)) if name != "dead" else QueueSettings()
    oldest = None if age_ms is None else NOW - age_ms
    return QueueDescription(
        name, settings, made, made, QueueCounts(ready, 0, 0), oldest, sent_total=sent, deleted_total=deleted
    )


def test_rates_are_those_between_two_looks() -> None:
    before = Look(NOW - 2000, (queue("a", sent=100, deleted=50), queue("b", sent=9)), ())
    now = Look(
        NOW, (queue("a", sent=140, deleted=60, age_ms=5000), queue("b", sent=3, made=1), queue("dead", ready=7)), ()
    )
    a, b, dead = figures(now, before, "name").queues
    assert (a.in_per_second, a.out_per_second, a.oldest_ms, a.dead) == (20, 5, 5000, 7)
    assert (b.in_per_second, b.out_per_second) == (0, 0), "made anew since"
    assert (dead.dead, dead.ready) == (None, 7)
    assert {each.in_per_second for each in figures(now, None, "name").queues} == {0}


@pytest.mark.parametrize(
    ("sorting", "names"),
    [
        ("moving", ["b", "a", "c", "d"]),
        ("waiting", ["a", "b", "c", "d"]),
        ("age", ["c", "a", "b", "d"]),
        ("name", ["a", "b", "c", "d"]),
    ],
)
def test_queues_are_sorted(sorting: str, names: list[str]) -> None:
    before = Look(NOW - 1000, (queue("b"), queue("a"), queue("c"), queue("d")), ())
    now = Look(NOW, (queue("d"), queue("c", age_ms=9), queue("b", sent=5), queue("a", ready=4, age_ms=3)), ())
    assert [each.name for each in figures(now, before, sorting).queues] == names


@pytest.mark.parametrize("height", [10, 24, 50])
@pytest.mark.parametrize("width", [80, 120])
def test_everything_fits_the_terminal(width: int, height: int) -> None:
    from rich.console import Console

    queues = [
        QueueFigures(f"queue-{number}-" + "x" * 60, 10**8, 10**7, 10**6, 5, 12345.6, 9, 10**9, number == 0)
        for number in range(90)
    ]
    jobs = tuple(
        RunningJob(f"018b0000-0000-7000-8000-{number:012}", "a\x1b[2Jtask" * 9, NOW - 65_000) for number in range(40)
    )
    worker = WorkerRecord("machine.example/12345/0123456789ab", "machine", 1, NOW, ("q",), slots=50, beat=1, jobs=jobs)
    told = Figures(NOW, queues, (worker,))
    console = Console(width=width, height=height, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(screen(told, "moving", "127.0.0.1:3000", width, height))
    lines = console.export_text().rstrip("\n").split("\n")
    console.file.close()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for part in ("queue-0-", "100M", "90 queues, 1 workers", "slots 40 of 50", "12346", "q quit"):
        assert part in text, part
    assert "\x1b" not in text
    assert "queues more" in text
    assert "jobs more" in text
    assert ("018b0000-0000-7000-8000-000000000000" in text) == (width == 120)


def test_numbers_are_short() -> None:
    assert [short(each) for each in (0, 99_999, 123_456, 1_234_567, 100_000_000)] == [
        "0",
        "99999",
        "123k",
        "1.2M",
        "100M",
    ]
    assert [rate(each) for each in (0, 0.25, 99.94, 1234.5)] == [".", "0.2", "99.9", "1234"]


def test_in_a_pipe_it_is_told_once(terminal: Terminal) -> None:
    terminal("queue", "create", "orders")
    terminal("send", "orders", "one")
    told = terminal.json("top", "--interval", "0.1")
    assert [(each["name"], each["ready"]) for each in told["queues"]] == [("orders", 1)]
    assert told["workers"] == []
    assert terminal("top", "--interval", "0.1").splitlines()[1].split()[:3] == ["orders", "1", "0"]
    terminal.fails("top", "--sort", "size", status=2)


def test_on_a_terminal_keys_sort_and_end_it(tmp_path: Path) -> None:
    import asyncio

    from tests.cli.test_commands import _made

    asyncio.run(_made(store := f"sqlite:////{tmp_path}/penstock.db"))
    Terminal("--store", store)("queue", "create", "orders")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    command = [*COMMAND, "top", "--store", store, "--interval", "0.1"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        _read_until(ours, b"orders")
        os.write(ours, b"w")
        _read_until(ours, b"4mwaiting", b"4;mwaiting", b"1;4mwaiting")
        os.write(ours, b"q")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read_until(file: int, *wanted: bytes) -> None:
    seen, end = b"", time.monotonic() + 20
    while not any(each in seen for each in wanted):
        ready, _, _ = select.select([file], [], [], max(0, end - time.monotonic()))
        assert ready, seen[-2000:]
        seen += os.read(file, 65_536)
