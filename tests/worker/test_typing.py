"""The typed face of tasks, as mypy sees it: what is right passes, what is wrong is told."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CALLS = Path(__file__).with_name("typed_calls.py")
PATIENCE_SECONDS = 110


def test_calls_of_tasks_are_checked() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty", str(CALLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert not said.stderr
    told = {
        (int(line), kind) for line, kind in re.findall(r":(\d+): error: .*\[([\w-]+)\]$", said.stdout, re.MULTILINE)
    }
    wanted = {
        (number, found.group(1))
        for number, line in enumerate(CALLS.read_text().splitlines(), 1)
        if (found := re.search(r"# wrong: ([\w-]+)$", line))
    }
    assert wanted
    assert told == wanted, said.stdout
