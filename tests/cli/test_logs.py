"""How the log is written, in a process of its own because it is one for the whole process."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging
from penstock.cli.logs import set_up
set_up({format!r}, "info")
log = logging.getLogger("penstock.server")
log.debug("too little to tell")
log.info("two\\nlines")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it failed")
"""


def logged(log_format: str) -> str:
    """Return what is logged where standard error is no terminal."""
    command = [sys.executable, "-c", PROGRAM.format(format=log_format)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=20)
    assert done.stdout == "", "standard output is for what the program says"
    return done.stderr


@pytest.mark.parametrize("log_format", ["json", "auto"])
def test_programs_read_an_object_a_line(log_format: str) -> None:
    first, second = map(json.loads, logged(log_format).splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("info", "penstock.server", "two\nlines")
    assert first["at"].endswith("Z")
    assert second["level"] == "error"
    assert "ZeroDivisionError" in second["exception"]


def test_people_read_plain_lines() -> None:
    said = logged("human")
    assert "INFO    penstock.server: two" in said
    assert "ERROR   penstock.server: it failed" in said
    assert "ZeroDivisionError" in said
    assert "too little" not in said
