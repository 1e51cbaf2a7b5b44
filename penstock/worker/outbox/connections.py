"""Users' database connections, told apart by where their class comes from; no driver is imported here.

Statements are written with ``?`` and translated to what the driver wants.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Literal, cast

from penstock.core.errors import InvalidRequest

Dialect = Literal["sqlite", "postgresql", "mysql"]
Rows = list[Sequence[Any]]

KNOWN = "sqlite3, aiosqlite, psycopg, asyncpg, SQLAlchemy (Connection, Session, and their async forms) and Django"
_PLACEHOLDER = re.compile(r"\?")


class Connection:
    """A connection of the user's, as far as an outbox needs it. Of an async one, ``run`` and ``commit`` are awaited.

    Attributes:
        dialect: of SQL.
        is_async: whether answers are awaitable.
    """

    dialect: Dialect = "sqlite"
    is_async = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, sql: str, *values: Any) -> Any:
        """Run a statement in the transaction as it is and return its rows."""
        raise NotImplementedError

    def commit(self) -> Any:
        """Commit, where the connection does not by itself."""
        return self._connection.commit()

    def transact(self, sql: str, *values: Any) -> Any:
        """Run a statement in a transaction of its own and return its rows; locks are held no longer than that takes."""
        if self.is_async:
            return self._atransact(sql, *values)
        rows = self.run(sql, *values)
        self.commit()
        return rows

    async def _atransact(self, sql: str, *values: Any) -> Any:
        rows = await self.run(sql, *values)
        await self.commit()
        return rows

    def close(self) -> Any:
        """Let go of the connection."""
        return self._connection.close()

    def on_commit(self, call: Callable[[], None]) -> bool:
        """Call when the user's transaction has been committed; return whether that can be known."""
        return False


class _Cursor(Connection):
    """DB-API 2.0 with ``%s``, or with ``?``."""

    mark = "%s"

    def run(self, sql: str, *values: Any) -> Rows:
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql.replace("?", self.mark), values)
            return cursor.fetchall() if cursor.description else []
        finally:
            cursor.close()


class _Sqlite(_Cursor):
    mark = "?"

    def run(self, sql: str, *values: Any) -> Rows:
        cursor = self._connection.cursor()
        cursor.row_factory = None
        try:
            return cast(Rows, cursor.execute(sql, values).fetchall())
        finally:
            cursor.close()


class _Aiosqlite(Connection):
    is_async = True

    async def run(self, sql: str, *values: Any) -> Rows:
        async with self._connection.execute(sql, values) as cursor:
            return [tuple(row) for row in await cursor.fetchall()]


class _Psycopg(Connection):
    dialect: Dialect = "postgresql"

    def run(self, sql: str, *values: Any) -> Rows:
        tuple_row = import_module("psycopg.rows").tuple_row
        with self._connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(sql.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []


class _AsyncPsycopg(_Psycopg):
    is_async = True

    async def run(self, sql: str, *values: Any) -> Rows:  # type: ignore[override]
        tuple_row = import_module("psycopg.rows").tuple_row
        async with self._connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(sql.replace("?", "%s"), values)
            return await cursor.fetchall() if cursor.description else []


class _Psycopg2(_Cursor):
    dialect: Dialect = "postgresql"


class _Mysql(_Cursor):
    dialect: Dialect = "mysql"


class _Asyncpg(Connection):
    dialect: Dialect = "postgresql"
    is_async = True

    async def run(self, sql: str, *values: Any) -> Rows:
        numbers = iter(range(1, len(values) + 1))
        return list(await self._connection.fetch(_PLACEHOLDER.sub(lambda _: f"${next(numbers)}", sql), *values))

    async def commit(self) -> None:
        """It commits by itself outside of a transaction."""


class _Sqlalchemy(Connection):
    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        get_bind = getattr(connection, "get_bind", None)
        self.dialect = (connection if get_bind is None else get_bind()).dialect.name

    def run(self, sql: str, *values: Any) -> Rows:
        result = self._connection.execute(*self._statement(sql, values))
        return list(map(tuple, result)) if result.returns_rows else []

    def on_commit(self, call: Callable[[], None]) -> bool:
        from sqlalchemy import event
        from sqlalchemy.orm import Session

        session = getattr(self._connection, "sync_session", self._connection)
        if not isinstance(session, Session):
            return False
        event.listen(session, "after_commit", lambda _: call(), once=True)
        return True

    def _statement(self, sql: str, values: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
        from sqlalchemy import text

        names = iter(f"v{index}" for index in range(len(values)))
        named = {f"v{index}": value for index, value in enumerate(values)}
        return text(_PLACEHOLDER.sub(lambda _: f":{next(names)}", sql)), named


class _AsyncSqlalchemy(_Sqlalchemy):
    is_async = True

    async def run(self, sql: str, *values: Any) -> Rows:  # type: ignore[override]
        result = await self._connection.execute(*self._statement(sql, values))
        return list(map(tuple, result)) if result.returns_rows else []


class _Django(_Cursor):
    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.dialect = connection.vendor

    def run(self, sql: str, *values: Any) -> Rows:
        with self._connection.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), values)
            return cast(Rows, cursor.fetchall()) if cursor.description else []

    def commit(self) -> None:
        if not self._connection.get_autocommit():
            self._connection.commit()

    def on_commit(self, call: Callable[[], None]) -> bool:
        if not (self._connection.in_atomic_block or self._connection.get_autocommit()):
            return False  # Django tells nobody of commits that are made by hand
        self._connection.on_commit(call)
        return True


_KINDS: dict[str, tuple[type[Connection], type[Connection] | None]] = {
    # by the package the class is from: what to use, and what for its async form
    "sqlite3": (_Sqlite, None),
    "aiosqlite": (_Aiosqlite, _Aiosqlite),
    "psycopg": (_Psycopg, _AsyncPsycopg),
    "psycopg2": (_Psycopg2, None),
    "asyncpg": (_Asyncpg, _Asyncpg),
    "sqlalchemy": (_Sqlalchemy, _AsyncSqlalchemy),
    "django": (_Django, None),
    "MySQLdb": (_Mysql, None),
    "pymysql": (_Mysql, None),
}


def is_connection(value: object) -> bool:
    """Return whether something looks like a connection; some can be called, too."""
    return any(kind.__module__.partition(".")[0] in _KINDS for kind in type(value).__mro__) and hasattr(value, "commit")


def adapt(connection: Any) -> Connection:
    """Return a user's connection as an outbox uses it.

    Raises:
        InvalidRequest: it is of no kind that is known, or of a database that is not.
    """
    if isinstance(connection, Connection):
        return connection
    for kind in type(connection).__mro__:
        known = _KINDS.get(kind.__module__.partition(".")[0])
        if known is not None:
            sync_kind, async_kind = known
            is_async = inspect.iscoroutinefunction(getattr(connection, "execute", None))
            adapted = (async_kind if is_async and async_kind is not None else sync_kind)(connection)
            if adapted.dialect not in ("sqlite", "postgresql", "mysql"):
                raise InvalidRequest(f"There is no outbox in {adapted.dialect}.", hint="SQLite, PostgreSQL or MySQL.")
            return adapted
    raise InvalidRequest(
        f"{type(connection).__module__}.{type(connection).__qualname__} is no connection that an outbox knows.",
        hint=f"It knows {KNOWN}.",
        field="connection",
    )
