"""The relay: takes rows out of outboxes in their order and sends them, each effectively once.

A row is sent in one step with a mark that it was; only then it is deleted. Whoever finds the row again, after a crash
in between or beside another relay, finds the mark too and only deletes it.
"""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from penstock.broker.contract import Broker
from penstock.core.effects import Effects, FollowUp, Guard, Record
from penstock.core.errors import GuardFailed, InvalidRequest, PenstockError, QueueNotFound
from penstock.core.operations import Apply, GetRecords
from penstock.worker.outbox.connections import Connection, adapt, is_connection
from penstock.worker.outbox.table import AT_ONCE, REFUSE, SELECT, Row, create_statement, delete_statement, row_of
from penstock.worker.queues import QueueDefinition, ensure

log = logging.getLogger("penstock.relay")

T = TypeVar("T")
Connect = Callable[[], Any]

MARK_PREFIX = "outbox/"
MARK_KEPT_MS = 7 * 86_400_000
"""How old a row may be that comes back, out of a backup say, and is not sent again."""

SHORTEST_INTERVAL_MS = 100


class Relay:
    """Relays the outbox of one database. It lives in a worker, or in ``penstock relay``.

    Args:
        connect: opens a connection, or an async one; called in a thread of the relay's own, where a connection that is
            not async is used too.
        now: tells the time, in ms since the epoch.
        definition: says how a queue is made that is not there.
        interval_seconds: how long at most a row waits that nobody told the relay of.
    """

    def __init__(
        self,
        connect: Connect,
        now: Callable[[], int],
        definition: Callable[[str], QueueDefinition],
        interval_seconds: float,
    ) -> None:
        self._connect = connect
        self._now = now
        self._definition = definition
        self._longest_ms = max(SHORTEST_INTERVAL_MS, round(interval_seconds * 1000))
        self._interval_ms = SHORTEST_INTERVAL_MS
        self._connection: Connection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self.wake: Callable[[], None] | None = None

    def nudge(self) -> None:
        """Say that there may be rows; from any thread."""
        self._interval_ms = SHORTEST_INTERVAL_MS
        if self.wake is not None:
            self.wake()

    async def step(self, broker: Broker) -> int | None:
        """Relay what is there and return when to look again."""
        try:
            while await self._relay(broker) == AT_ONCE:
                self._interval_ms = SHORTEST_INTERVAL_MS
        except PenstockError:
            raise
        except Exception:
            await self.aclose()  # the next step opens a connection of its own
            raise
        looks_again_at = self._now() + self._interval_ms
        self._interval_ms = min(self._longest_ms, self._interval_ms * 2)
        return looks_again_at

    async def aclose(self) -> None:
        """Let go of the connection; the next step opens another one."""
        connection, self._connection = self._connection, None
        thread, self._thread = self._thread, None
        if connection is not None and thread is not None:
            with contextlib.suppress(Exception):
                await self._awaited(thread, connection.close)
        if thread is not None:
            thread.shutdown(wait=False)

    async def _relay(self, broker: Broker) -> int:
        rows = [row_of(values) for values in await self._run(SELECT)]
        if not rows:
            return 0
        self._interval_ms = SHORTEST_INTERVAL_MS
        sent: list[Row] = []
        for row, mark in zip(rows, await self._marks(broker, rows), strict=True):
            if mark is not None:
                sent.append(row)
        unsent = [row for row in rows if row not in sent]
        try:
            await self._send(broker, unsent)
            sent = rows
        except PenstockError as error:
            if error.fault == "server":
                raise
            # one of them cannot be sent, or another relay was quicker: each for itself, in order
            for row in unsent:
                problem = await self._send_alone(broker, row)
                if problem is None:
                    sent.append(row)
                else:
                    log.error("outbox row %d cannot be sent and stays: %s", row.position, problem)
                    await self._run(REFUSE, str(problem)[:2000], row.position)
        if sent:
            await self._run(delete_statement(len(sent)), *(row.position for row in sent))
        return len(rows)

    async def _send_alone(self, broker: Broker, row: Row) -> PenstockError | None:
        """Send a row and return why it can never be sent, if it cannot."""
        try:
            try:
                await self._send(broker, [row])
            except QueueNotFound:
                await ensure(broker, self._definition(row.queue))
                await self._send(broker, [row])
        except GuardFailed:
            return None  # somebody else has sent it
        except PenstockError as error:
            if error.fault == "server":
                raise
            return error
        return None

    async def _send(self, broker: Broker, rows: Sequence[Row]) -> None:
        if not rows:
            return
        expires_at = self._now() + MARK_KEPT_MS
        keys = [MARK_PREFIX + row.job_id for row in rows]
        effects = Effects(
            guards=tuple(Guard(key, None) for key in keys),
            records=tuple(Record(key, b"", expires_at=expires_at) for key in keys),
            sends=tuple(FollowUp(row.queue, row.draft()) for row in rows),
        )
        await broker.perform(Apply(effects))

    async def _marks(self, broker: Broker, rows: Sequence[Row]) -> Sequence[Record | None]:
        return (await broker.perform(GetRecords(tuple(MARK_PREFIX + row.job_id for row in rows)))).records

    # -- the user's database -------------------------------------------------------------------------------------------

    async def _run(self, sql: str, *values: Any) -> Any:
        """Run a statement in a transaction of its own."""
        thread = self._thread = self._thread or ThreadPoolExecutor(1, "penstock-relay")
        if self._connection is None:
            made = await self._awaited(thread, self._connect)
            connection = self._connection = adapt(made)
            await self._awaited(thread, connection.transact, create_statement(connection.dialect))
        return await self._awaited(thread, self._connection.transact, sql, *values)

    async def _awaited(self, thread: ThreadPoolExecutor, call: Callable[..., Any], *values: Any) -> Any:
        """Call in the relay's thread; await here what an async connection answers."""
        answer = await asyncio.get_running_loop().run_in_executor(thread, call, *values)
        return await answer if inspect.isawaitable(answer) else answer


def check_connect(connect: object) -> None:
    """Refuse what opens no connections. Raises InvalidRequest."""
    if not callable(connect) or is_connection(connect):
        raise InvalidRequest(
            "A relay is given what opens a connection, not a connection.",
            hint='Like lambda: sqlite3.connect("shop.db").',
            field="connect",
        )
