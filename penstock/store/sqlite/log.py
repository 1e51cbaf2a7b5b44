"""Bringing the write-ahead log to the disk.

SQLite would do it within COMMIT, while it holds the lock that lets one process write. Done after COMMIT, others write
meanwhile, and what need not survive a loss of power does not wait. SQLite itself brings the log's header to the disk,
and all of the log before it is copied back into the database (sqlite.org, "PRAGMA synchronous", NORMAL).
"""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FULL_SYNC = getattr(fcntl, "F_FULLFSYNC", None)


class Log:
    """The write-ahead log of a database that stays open for as long as this does.

    Args:
        path: the database file.
        is_synced: whether ``sync`` does anything; without it, changes are handed to the operating system only.
    """

    def __init__(self, path: Path, *, is_synced: bool) -> None:
        self.is_synced = is_synced
        self._file = os.open(path.with_name(path.name + "-wal"), os.O_RDWR | os.O_CLOEXEC) if is_synced else -1

    def sync(self) -> None:
        """Return when everything that was committed before is on the disk. Raises OSError."""
        if not self.is_synced:
            return
        if _FULL_SYNC is not None:
            fcntl.fcntl(self._file, _FULL_SYNC)  # on macOS an fsync alone does not reach the disk
        elif hasattr(os, "fdatasync"):
            os.fdatasync(self._file)
        else:
            os.fsync(self._file)

    def close(self) -> None:
        """Let go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
