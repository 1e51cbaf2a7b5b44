"""Opening the database file: settings, schema version, and what SQLite's errors mean here."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, get_args

import apsw
import msgspec

from penstock.core.errors import InvalidRequest, PenstockError, StoreDamaged, StoreTooNew, StoreUnavailable
from penstock.store.following import StoreMoved
from penstock.store.sqlite.turns import Turns

Durability = Literal["full", "os"]
"""``full``: the log is fsynced before each answer; survives power loss. ``os``: handed to the operating system before
each answer; survives the end of every process, may lose the last moments when the machine goes down."""

APPLICATION_ID = 0x50454E53
"""Marks a database file as Penstock's ("PENS")."""

MOVED = "moved_to"
"""The table that says where everything is that was in a file."""

_CACHE_KIB = 32_768
"""Holds the pages of the order index that a million messages in 10,000 groups need."""

DAMAGE = (msgspec.DecodeError, UnicodeDecodeError)
"""What decoding raises when stored bytes are not what was written."""

TRANSLATED = (apsw.Error, OSError, *DAMAGE)
"""Errors that ``translate`` is for; others are mistakes of the program."""

BUSY_MS = 10_000
"""How long to wait for a program that holds the database without taking turns."""


def open_writer(path: Path, durability: Durability, turns: Turns) -> apsw.Connection:
    """Open the file for reading and writing, create or migrate its schema.

    Raises:
        StoreTooNew: a newer Penstock wrote it.
        StoreDamaged: it is no database, or one that cannot be read. It is left as it is.
        StoreUnavailable: it cannot be opened.
    """
    if durability not in get_args(Durability):
        raise InvalidRequest(
            f"There is no durability {durability!r}.", hint='Choose "full" or "os".', field="durability"
        )
    turns.take()
    try:
        connection = _connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        _check_owner(connection, path)
        _pragma(connection, "journal_mode = WAL")
        _pragma(connection, "synchronous = NORMAL")  # the log itself is brought to the disk by the writer: see log.py
        _pragma(connection, "fullfsync = 1")  # on macOS an fsync alone does not reach the disk
        _migrate(connection, path)
        _check_presence(connection)
        return connection
    except (apsw.Error, OSError) as error:
        raise translate(error, path) from error
    finally:
        turns.give()


def open_reader(path: Path) -> apsw.Connection:
    """Open the file for reading only."""
    connection = _connect(path, apsw.SQLITE_OPEN_READWRITE)
    _pragma(connection, "query_only = 1")
    return connection


def open_copier(path: Path) -> apsw.Connection:
    """Open the file for checkpoints only."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_MS)
    # until it has read, a connection does not know of the log, and its checkpoints copy nothing
    _pragma(connection, "schema_version")
    return connection


def translate(error: Exception, path: Path) -> PenstockError:
    """Return what an error of SQLite or the operating system means to the caller."""
    if isinstance(error, apsw.SQLError):
        try:
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                _check_presence(connection)
            finally:
                connection.close()
        except StoreMoved as moved:
            return moved
        except apsw.Error:
            pass
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError, *DAMAGE)):
        return StoreDamaged(
            f"The database {path} is damaged: {error}.",
            hint="Nothing was replaced. Restore a backup, or move the file away to start empty.",
        )
    hint = "Try again; nothing was changed."
    if isinstance(error, apsw.FullError):
        hint = "The disk is full. Make room; nothing was changed."
    elif isinstance(error, apsw.CantOpenError | apsw.PermissionsError | apsw.ReadOnlyError | OSError):
        hint = "Check the path and its permissions."
    elif isinstance(error, apsw.BusyError):
        hint = "Another process holds the database for long. Try again."
    return StoreUnavailable(f"The database {path} cannot do that now: {error}.", hint=hint)


def _connect(path: Path, flags: int) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=256)
    connection.set_busy_timeout(BUSY_MS)
    # plans do not depend on parameters; without this SQLite plans anew at each new LIMIT or bound (30 us instead of 3)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    _pragma(connection, f"cache_size = -{_CACHE_KIB}")
    _pragma(connection, "temp_store = MEMORY")
    return connection


def _check_presence(connection: apsw.Connection) -> None:
    """Raise StoreMoved if everything is elsewhere."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (MOVED,)).fetchone() is not None:
        ((url, shown),) = connection.execute(f"SELECT url, shown FROM {MOVED}").fetchall()
        raise StoreMoved(str(url), str(shown))


def _check_owner(connection: apsw.Connection, path: Path) -> None:
    owner = _pragma(connection, "application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if owner != APPLICATION_ID and tables:
        raise StoreDamaged(f"{path} is a database of another program.", hint="Choose another file for the store.")


def _migrate(connection: apsw.Connection, path: Path) -> None:
    """Bring the schema up to date; several processes may try at once and one does it."""
    steps = _steps()
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _pragma(connection, "user_version")
        if version > len(steps):
            raise StoreTooNew(
                f"{path} has schema version {version}; this Penstock knows up to {len(steps)}.",
                hint="Use the Penstock that wrote it, or a later one.",
            )
        for step in steps[version:]:
            for _ in connection.execute(step.read_text("utf-8")):
                pass
        if version < len(steps):
            _pragma(connection, f"user_version = {len(steps)}")
            _pragma(connection, f"application_id = {APPLICATION_ID}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def newest_version() -> int:
    """Return the schema version that this Penstock writes."""
    return len(_steps())


def _steps() -> list[Traversable]:
    found = (step for step in files(__package__).joinpath("migrations").iterdir() if step.name.endswith(".sql"))
    return sorted(found, key=lambda step: step.name)


def _pragma(connection: apsw.Connection, text: str) -> int:
    answer = connection.execute(f"PRAGMA {text}").get
    return answer if isinstance(answer, int) else 0
