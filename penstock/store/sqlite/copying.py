"""Backups: a copy of the database as it is at one instant, taken while others write, and put back in its place.

A copy is looked through before it is called one; it comes to its name in one step, so that what has the name is whole.
"""

import contextlib
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import apsw

from penstock.core.errors import InvalidRequest, StoreDamaged, StoreTooNew, StoreUnavailable
from penstock.store.sqlite import integrity
from penstock.store.sqlite.connection import APPLICATION_ID, TRANSLATED, newest_version, open_reader, translate

Progress = Callable[[int, int], None]
"""Told how many pages of how many are done."""

_PAGES_AT_ONCE = 2_000
_FAULTS_SHOWN = 3


def back_up(path: Path, copy: Path, progress: Progress) -> None:
    """Copy the database at ``path`` to ``copy``, which is replaced if it is there.

    The copy is of one instant. The log of the database grows while it is taken, for what is copied must stay.

    Raises:
        StoreUnavailable: one of both cannot be opened, or the disk is full.
        StoreDamaged: the copy cannot be read as a whole; there is none then.
    """
    if not path.exists():
        raise StoreUnavailable(f"There is no database {path}.", hint="Check --store.")
    unfinished = copy.with_name(f"{copy.name}.unfinished")
    try:
        _forget(unfinished)
        _copy(path, unfinished, progress)
        examine(unfinished)
        _take_name(unfinished, copy)
    except TRANSLATED as error:
        raise translate(error, path) from error
    finally:
        _forget(unfinished)


def restore(copy: Path, path: Path, progress: Progress, *, replaces: bool) -> Path | None:
    """Put a copy in the place of the database at ``path``; return where what was there before is now, if anything was.

    Raises:
        InvalidRequest: a database is there and ``replaces`` is not said, or a process has it open.
        StoreDamaged, StoreTooNew: the copy is no database of Penstock, or not one to be used; nothing was changed.
        StoreUnavailable: one of both cannot be opened, or the disk is full.
    """
    if not copy.exists():
        raise StoreUnavailable(f"There is no backup {copy}.", hint="Check the path.")
    if path.exists() and not replaces:
        raise InvalidRequest(f"{path} is there already.", hint="Say --force to put the backup in its place.")
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget(unfinished)
        _copy(copy, unfinished, progress)
        examine(unfinished)
        before = _set_aside(path)
        _take_name(unfinished, path)
        return before
    except TRANSLATED as error:
        raise translate(error, copy) from error
    finally:
        _forget(unfinished)


def examine(path: Path) -> None:
    """Raise StoreDamaged or StoreTooNew unless a file is a database of Penstock's that can be read as a whole."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        if connection.pragma("application_id") != APPLICATION_ID:
            raise StoreDamaged(f"{path} is no database of Penstock's.", hint="Check the path.")
        version, newest = connection.pragma("user_version"), newest_version()
        if version > newest:
            raise StoreTooNew(
                f"{path} has schema version {version}; this Penstock knows up to {newest}.",
                hint="Use the Penstock that wrote it, or a later one.",
            )
        found = list(islice(integrity.faults(connection.cursor().execute), _FAULTS_SHOWN))
        if found:
            raise StoreDamaged(f"The copy is damaged: {'; '.join(found)}.", hint="Nothing was replaced.")
    finally:
        connection.close()


def _copy(source_path: Path, target_path: Path, progress: Progress) -> None:
    source, target = open_reader(source_path), apsw.Connection(str(target_path))
    try:
        # what is read in one transaction is of one instant; without it each change by others would begin the copy anew
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").get  # noqa: B018
        with target.backup("main", source, "main") as copying:
            while not copying.done:
                copying.step(_PAGES_AT_ONCE)
                progress(copying.page_count - copying.remaining, copying.page_count)
        source.execute("COMMIT")
        target.pragma("journal_mode", "delete")  # one file, without a log beside it
    finally:
        target.close()
        source.close()
    with target_path.open("rb") as written:
        os.fsync(written.fileno())


def _set_aside(path: Path) -> Path | None:
    """Rename what is in the place; return what it is called now."""
    if not path.exists():
        return None
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            # it leaves the log only where no other process has the database open
            is_alone = connection.pragma("journal_mode", "delete") == "delete"
        finally:
            connection.close()
    except (apsw.NotADBError, apsw.CorruptError):
        is_alone = True
    except apsw.BusyError:
        is_alone = False
    if not is_alone:
        raise InvalidRequest(
            f"A process has {path} open.", hint="Stop the servers and workers that use it, then restore."
        )
    before = path.with_name(f"{path.name}.replaced")
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{before}{suffix}")
    os.replace(path, before)
    return before


def _take_name(unfinished: Path, path: Path) -> None:
    os.replace(unfinished, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _forget(path: Path) -> None:
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm"), Path(f"{path}-journal")):
        each.unlink(missing_ok=True)
