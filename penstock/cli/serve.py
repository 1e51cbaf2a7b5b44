"""`penstock serve`: one server process, or several under a supervisor."""

from pathlib import Path

import uvloop

from penstock.cli import logs
from penstock.cli.server_processes import supervise
from penstock.cli.serving import run
from penstock.config import Settings


def serve(settings: Settings) -> int:
    """Serve until a signal comes; return the exit status.

    Raises:
        PenstockError: it could not start.
    """
    logs.set_up(settings.log_format, settings.log_level)
    if settings.store is None:
        Path(settings.data_directory).mkdir(parents=True, exist_ok=True)
    if settings.processes > 1:
        return supervise(settings)
    uvloop.run(run(settings))
    return 0
