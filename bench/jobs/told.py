"""How jobs tell that they ran: a byte in one file for each, a line in another with what it took to start.

Imported in the venvs of all peers: nothing but the standard library.
"""

import os
import time

_FOLDER = os.environ.get("BENCH_FOLDER", ".")
URL = os.environ.get("BENCH_URL", "")
"""Where the jobs wait."""

RESULT_SECONDS = float(os.environ.get("BENCH_RESULT_SECONDS", "0"))
"""How long Penstock keeps how a job ended; its peers, as they are set up here, keep nothing of one that succeeded."""

RAN = "ran"
STARTED = "started"
_files: dict[str, int] = {}


def _file(name: str) -> int:
    if name not in _files:
        _files[name] = os.open(os.path.join(_FOLDER, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return _files[name]


def ran() -> None:
    """Tell that a job ran."""
    os.write(_file(RAN), b".")


def started(sent_ns: int) -> None:
    """Tell how long a job took from being sent to being started."""
    os.write(_file(STARTED), b"%d\n" % (time.monotonic_ns() - sent_ns))


def hang() -> None:
    """Tell the process that runs this and when, and go on for long, unless it is not the first time."""
    os.write(_file("hung"), b"%d %d\n" % (os.getpid(), time.monotonic_ns()))
    if os.path.getsize(os.path.join(_FOLDER, "hung")) < 40:
        time.sleep(600)
