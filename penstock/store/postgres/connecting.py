"""Connections to the database: opened when they are needed, at most so many; and what the driver's errors mean."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from penstock.core.errors import PenstockError, StoreDamaged, StoreUnavailable
from penstock.store.postgres.options import Options

Connection = Any
"""One of asyncpg's, which says nothing of types."""
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
"""The connection is gone, or could not be had; what was under way on it may have happened."""

UNDONE = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
    asyncpg.InvalidCachedStatementError,
)
"""The transaction was undone because others were at work beside it; it may be tried again at once."""

DAMAGE = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)

_APPLICATION = "penstock"


async def connect(options: Options) -> Connection:
    """Open a connection. Raises what asyncpg raises."""
    settings = {"application_name": _APPLICATION}
    if not options.is_pooled:
        settings |= {"timezone": "UTC", "default_transaction_isolation": "read committed", "jit": "off"}
        if options.statement_timeout_ms is not None:
            settings["statement_timeout"] = str(options.statement_timeout_ms)
            settings["idle_in_transaction_session_timeout"] = str(options.statement_timeout_ms)
    return await asyncpg.connect(
        options.dsn,
        timeout=options.connect_timeout_seconds,
        statement_cache_size=0 if options.is_pooled else 200,
        server_settings=settings,
    )


def translate(error: BaseException, options: Options) -> PenstockError:
    """Return what an error of PostgreSQL or of the way to it means to the caller."""
    if isinstance(error, PenstockError):
        return error
    said = str(error) or type(error).__name__
    if isinstance(error, DAMAGE):
        return StoreDamaged(
            f"PostgreSQL at {options.place} cannot read what it keeps: {said}.".replace("..", "."),
            hint="Nothing was replaced. See its log, and restore a backup or fail over to a standby.",
        )
    hints = (hint for kinds, hint in _HINTS if isinstance(error, kinds))
    hint = next(hints, "Try again; nothing was changed.")
    return StoreUnavailable(f"PostgreSQL at {options.place} cannot do that now: {said}.".replace("..", "."), hint=hint)


_HINTS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "Check user and password in the store's URL, and pg_hba.conf of the server.",
    ),
    (asyncpg.InvalidCatalogNameError, "Create the database (createdb), or mind its name in the store's URL."),
    (asyncpg.DiskFullError, "The disk of the database is full. Make room; nothing was changed."),
    (
        asyncpg.ReadOnlySQLTransactionError,
        "This server takes no writes: a standby, or default_transaction_read_only. Point the store's URL to the "
        "primary (target_session_attrs=read-write finds it among several hosts).",
    ),
    (asyncpg.InsufficientPrivilegeError, "Grant the user CREATE on the database, or make the schema and own it."),
    (
        asyncpg.TooManyConnectionsError,
        "Lower connections= in the store's URL, raise max_connections, or put PgBouncer in between.",
    ),
    (asyncpg.OutOfMemoryError, "The server is out of memory; see its log."),
    (asyncpg.QueryCanceledError, "It took longer than statement_timeout. See what holds it up in pg_stat_activity."),
    (asyncpg.ProtocolViolationError, "A pooler in between? Put pgbouncer=yes into the store's URL."),
    (asyncpg.DuplicatePreparedStatementError, "A pooler in transaction mode? Put pgbouncer=yes into the store's URL."),
    (
        asyncpg.InvalidSQLStatementNameError,
        "A pooler in transaction mode? Put pgbouncer=yes into the store's URL.",
    ),
    (LOST, "Is the server running, and does the store's URL name its host and port? It is tried again by itself."),
)


class Connections:
    """A small pool.

    Args:
        options: where to.
        most: how many may be open at once; who comes when all are in use waits.
    """

    def __init__(self, options: Options, most: int) -> None:
        self._options = options
        self._free: list[Connection] = []
        self._places = asyncio.Semaphore(most)
        self._is_closed = False

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Connection]:
        """Lend a connection; one that breaks, or is left in a transaction, is not lent again."""
        async with self._places:
            connection = None
            while self._free and (connection is None or connection.is_closed()):
                connection = self._free.pop()
            if connection is None or connection.is_closed():
                connection = await connect(self._options)
            is_good = False
            try:
                yield connection
                is_good = not connection.is_closed() and not connection.is_in_transaction()
            except (asyncpg.PostgresError, PenstockError):
                is_good = not connection.is_closed() and not connection.is_in_transaction()
                raise
            finally:
                if is_good and not self._is_closed:
                    self._free.append(connection)
                else:
                    connection.terminate()

    def drop(self) -> None:
        """Let go of what is not in use: the server has been away."""
        while self._free:
            self._free.pop().terminate()

    async def aclose(self) -> None:
        """Close what is not in use; what is in use closes when it is given back."""
        self._is_closed = True
        while self._free:
            with contextlib.suppress(asyncpg.PostgresError, *LOST):
                await self._free.pop().close(timeout=2)
