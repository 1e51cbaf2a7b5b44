"""One of several processes that serve a port: it inherits the listening sockets, and says when it serves.

Started by the supervisor as ``python -m penstock.cli.server_process``, with its settings as JSON on standard input. A
SIGTERM drains; the second ends the process at once. SIGHUP, which it gets when the supervisor dies, drains.
"""

import json
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from penstock.broker.parents import die_with
from penstock.cli import logs
from penstock.cli.output import print_error
from penstock.cli.serving import Share, run
from penstock.config import Settings
from penstock.core.errors import PenstockError
from penstock.server.siblings import Siblings

DONE = 0
FAILED = 1
WRONG_USE = 2


class ProcessSettings(Struct, frozen=True, kw_only=True):
    """What a process is told when it starts.

    Attributes:
        settings: of the server.
        index: which process it is.
        parent_pid: of the supervisor.
        files: numbers of the inherited sockets.
        folder: where the processes tell each other their figures.
        declares_queues: it is this one that creates the queues of the configuration.
    """

    settings: Settings
    index: int
    parent_pid: int
    files: tuple[int, ...]
    folder: str
    declares_queues: bool


def main() -> int:
    """Be a supervisor's server process; return the exit status."""
    told = msgspec.json.decode(sys.stdin.buffer.read(), type=ProcessSettings)
    # not SIGTERM: the system sends this once for each thread of the supervisor that dies, and two mean something else
    die_with(told.parent_pid, signal.SIGHUP)
    logs.set_up(told.settings.log_format, told.settings.log_level)
    share = Share(
        sockets=tuple(socket.socket(fileno=number) for number in told.files),
        siblings=Siblings(Path(told.folder), told.index),
        declares_queues=told.declares_queues,
        announce=lambda said: print(json.dumps(said), flush=True),
    )
    try:
        uvloop.run(run(told.settings, share))
    except PenstockError as error:
        print_error(error)
        return WRONG_USE if error.code == "configuration_invalid" else FAILED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
