"""Copying the write-ahead log back into the database file without making writers wait for it.

A checkpoint in a thread and on a connection of its own copies most of the log while writing goes on; what was written
meanwhile is little, and the writer copies it between two transactions, so that the log starts from its beginning again
(sqlite.org, "Write-Ahead Logging", section 3.2).
"""

import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

import apsw

from penstock.store.sqlite.connection import open_copier

_LEAST_BYTES = 64 << 20
"""How long the log of a small database gets: a page that is written often is copied once."""

_MOST_BYTES = 192 << 20
"""How long it gets at most, where the database is as large: changes are scattered over many pages there, and a page is
copied once for several of them. After a crash this is read again in a fraction of a second."""

_LITTLE_PAGES = 500
_MOST_ROUNDS = 4
_NICE = 10


def _stand_back() -> None:
    """Let the calling thread yield to those that somebody waits for, where a thread has a priority of its own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class _Stage(Enum):
    RESTING = auto()
    COPYING = auto()
    TO_FINISH = auto()


class Checkpoints:
    """When to copy the log, for one writer.

    Args:
        writer: the writing connection; its log hook is taken.
        path: the database file.
    """

    def __init__(self, writer: apsw.Connection, path: Path) -> None:
        self._writer = writer
        self._path = path
        self._page_bytes = int(writer.pragma("page_size"))
        self._pages = 0
        self._stage = _Stage.RESTING
        self._copier = open_copier(path)
        self._thread = ThreadPoolExecutor(1, "penstock-checkpoint", initializer=_stand_back)
        writer.set_wal_hook(self._note)

    @property
    def is_to_finish(self) -> bool:
        """Whether the writer shall call ``finish`` before its next transaction."""
        return self._stage is _Stage.TO_FINISH

    def start_if_due(self) -> None:
        """Begin to copy the log if it has grown long; after a commit, on the event loop."""
        if self._stage is _Stage.RESTING and self._is_long:
            self._stage = _Stage.COPYING
            self._thread.submit(self._copy).add_done_callback(self._copied)

    @property
    def _is_long(self) -> bool:
        """Whether the log is as long as the database, within its limits."""
        log_bytes = self._pages * self._page_bytes
        if log_bytes < _LEAST_BYTES:
            return False
        try:
            return log_bytes >= min(self._path.stat().st_size, _MOST_BYTES)
        except OSError:
            return True

    def finish(self) -> None:
        """Copy the rest, in the writer's thread, between two transactions."""
        try:
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            # another process copies, or the disk is full: the log stays as it is and the next commit tries again
            pass
        finally:
            self._pages = 0
            self._stage = _Stage.RESTING

    def close(self) -> None:
        """Wait for a copy under way and let go."""
        self._thread.shutdown(wait=True)
        self._copier.close()

    def _note(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def _copy(self) -> None:
        """Copy until little is left of what was written meanwhile: the writer waits for the rest."""
        before = 0
        for _ in range(_MOST_ROUNDS):
            logged, _ = self._copier.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if logged - before < _LITTLE_PAGES:
                return
            before = logged

    def _copied(self, done: "Future[None]") -> None:
        self._stage = _Stage.RESTING if done.exception() else _Stage.TO_FINISH
