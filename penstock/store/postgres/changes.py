"""Changes that take several statements, each in a transaction of its own: queues, moves, records, the sweep.

Like a batch, each has a number that the database keeps with it, so that one whose commit was not answered is known to
have happened or not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg

from penstock.store.postgres.connecting import LOST, UNDONE, Connection, Connections, translate
from penstock.store.postgres.options import Options
from penstock.store.postgres.replies import note_wakeup

T = TypeVar("T")
_MOST_ATTEMPTS = 12
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 1.0


class Transaction:
    """What the work of a change gets: statements by name."""

    def __init__(self, connection: Connection, sql: dict[str, str]) -> None:
        self._connection = connection
        self._sql = sql

    async def rows(self, name: str, *arguments: Any) -> Sequence[Any]:
        """Run a statement; return its rows."""
        found: Sequence[Any] = await self._connection.fetch(self._sql[name], *arguments)
        return found

    async def row(self, name: str, *arguments: Any) -> Any:
        """Run a statement; return its first row, or ``None``."""
        return await self._connection.fetchrow(self._sql[name], *arguments)

    async def value(self, name: str, *arguments: Any) -> Any:
        """Run a statement; return the first value of its first row, or ``None``."""
        return await self._connection.fetchval(self._sql[name], *arguments)


class Changes:
    """Makes changes and answers questions on the store's pool.

    Args:
        options: of the store.
        sql: its statements.
        connections: the pool.
        own_writers: gets the numbers under which this writes.
        on_commit: told the names and instants of a change's wake-ups.
    """

    def __init__(
        self,
        options: Options,
        sql: dict[str, str],
        connections: Connections,
        own_writers: set[str],
        on_commit: Callable[[dict[str, int]], None],
    ) -> None:
        self._options = options
        self._sql = sql
        self._connections = connections
        self._own_writers = own_writers
        self._on_commit = on_commit
        self._writers: list[tuple[int, int]] = []

    async def read(self, question: Callable[[Transaction], Awaitable[T]]) -> T:
        """Answer a question from one consistent state for each statement."""
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            try:
                async with self._connections.borrowed() as connection:
                    return await question(Transaction(connection, self._sql))
            except (asyncpg.PostgresError, *LOST) as error:
                pause = await self._again(error, attempt, pause)
        raise AssertionError("not reached")

    async def make(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Make a change, once, however often it takes to get it through."""
        writer, batch = self._writers.pop() if self._writers else (0, 0)
        batch += 1
        pause = _FIRST_PAUSE_SECONDS
        try:
            for attempt in range(1, _MOST_ATTEMPTS + 1):
                result: list[T] = []
                try:
                    async with self._connections.borrowed() as connection:
                        tx = Transaction(connection, self._sql)
                        if writer == 0:
                            writer = await tx.value("next_writer")
                            self._own_writers.add(str(writer))
                        return await self._attempt(connection, tx, writer, batch, work, result)
                except (asyncpg.PostgresError, *LOST) as error:
                    pause = await self._again(error, attempt, pause)
                    if result and await self._has_happened(writer, batch):
                        return result[0]
        finally:
            if writer:
                self._writers.append((writer, batch))
        raise AssertionError("not reached")

    async def _attempt(
        self,
        connection: Connection,
        tx: Transaction,
        writer: int,
        batch: int,
        work: Callable[[Transaction], Awaitable[T]],
        result: list[T],
    ) -> T:
        wakeups: dict[str, int] = {}
        async with connection.transaction():
            await tx.value("begin_batch", writer, batch, self._options.synchronous_commit)
            result.append(await work(tx))
            await tx.value("end_batch", writer, batch)
            for queue, group_id, at in await tx.rows("woken"):
                note_wakeup(wakeups, queue, group_id, at)
        self._on_commit(wakeups)
        return result[0]

    async def _has_happened(self, writer: int, batch: int) -> bool:
        known = await self.read(lambda tx: tx.value("batch_of", writer))
        return known is not None and int(known) >= batch

    async def _again(self, error: BaseException, attempt: int, pause: float) -> float:
        """Wait until it may be tried again; raise what the error means if that is no use."""
        if attempt == _MOST_ATTEMPTS or not isinstance(error, (*LOST, *UNDONE)):
            raise translate(error, self._options) from error
        if isinstance(error, LOST):
            self._connections.drop()
            await asyncio.sleep(pause)
        return min(2 * pause, _LONGEST_PAUSE_SECONDS)
