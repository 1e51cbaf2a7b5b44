"""Whose turn it is to write, among the processes that share a database file.

SQLite's own waiting is a series of sleeps that grow to tenths of a second; a blocking lock on a file beside the
database wakes the next writer the moment the last has committed. Without ``fcntl`` SQLite's waiting has to do.
"""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Turns:
    """This process's place in the queue of writers.

    Args:
        path: the database file.
    """

    def __init__(self, path: Path) -> None:
        self._file = -1
        if fcntl is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path.with_name(path.name + "-turn"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def take_at_once(self) -> bool:
        """Take the turn if nobody has it; return whether that was so."""
        if fcntl is None:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def take(self) -> None:
        """Wait for the turn; not on the event loop."""
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def give(self) -> None:
        """Let the next one write."""
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Leave."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
