"""Group commit: what many callers of this process ask for becomes one transaction, one statement and one flush.

A batch has a number, which the database keeps with the outcome. When the answer is lost on the way, the batch is given
again under the same number: it is then done if it was not, and its replies are told again if it was.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

from penstock.core.errors import PenstockError, StoreUnavailable
from penstock.store.postgres.connecting import LOST, UNDONE, Connection, connect, translate
from penstock.store.postgres.options import Options
from penstock.store.postgres.packing import Packed
from penstock.store.postgres.replies import Answers
from penstock.store.postgres.requests import Request, cancelled, size_of_request

_MOST_TOGETHER = 256
_MOST_WAIT_SECONDS = 0.002
_MOST_ATTEMPTS = 12
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 1.0
_WORTH_A_SECOND = 24


class Lane:
    """One connection of the writer, and the number under which the database knows it."""

    def __init__(self, options: Options, sql: dict[str, str], own_writers: set[str]) -> None:
        self._options = options
        self._own_writers = own_writers
        self._sql = sql
        self._connection: Connection | None = None
        self._writer = 0
        self._batch = 0

    async def perform(self, arguments: list[Any]) -> list[Any]:
        """Perform a batch, once, however often it takes to get it through; return the replies."""
        self._batch += 1
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            try:
                connection = await self._connected()
                rows: list[Any] = await connection.fetch(
                    self._sql["perform"], self._writer, self._batch, self._options.synchronous_commit, *arguments
                )
                return rows
            except UNDONE:
                if attempt == _MOST_ATTEMPTS:
                    raise
            except LOST:
                self.drop()
                if attempt == _MOST_ATTEMPTS:
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise AssertionError("not reached")

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._options)
            if self._writer == 0:
                self._writer = await self._connection.fetchval(self._sql["next_writer"])
                self._own_writers.add(str(self._writer))
        return self._connection

    def drop(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def aclose(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=2)
            except (asyncpg.PostgresError, *LOST):
                connection.terminate()


class Writer:
    """Takes requests and performs them in batches, on a few connections.

    Args:
        options: of the store.
        sql: its statements.
        lanes: how many batches may be under way at once.
        own_writers: gets the numbers under which this writes.
        on_commit: told the names and instants of a batch's wake-ups.
    """

    def __init__(
        self,
        options: Options,
        sql: dict[str, str],
        lanes: int,
        own_writers: set[str],
        on_commit: Callable[[dict[str, int]], None],
    ) -> None:
        self._options = options
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._free = [Lane(options, sql, own_writers) for _ in range(lanes)]
        self._busy: set[asyncio.Task[None]] = set()
        self._pending: list[Request] = []
        self._is_scheduled = False
        self._seen = 0
        self._wait_until = 0.0
        self._is_closed = False

    def submit(self, request: Request) -> None:
        """Perform a request with others; its future gets the outcome."""
        if self._is_closed:
            request.future.set_exception(StoreUnavailable("The store is closed."))
            return
        self._pending.append(request)
        if not self._is_scheduled and self._may_start():
            self._schedule()

    async def aclose(self) -> None:
        """Finish what was submitted and close the connections."""
        self._is_closed = True
        while self._busy or self._pending:
            if not self._busy:
                self._start()
            await asyncio.wait(self._busy)
        await asyncio.gather(*(lane.aclose() for lane in self._free))

    def _may_start(self) -> bool:
        # a transaction has its price: a second one beside the first only when it has much to do
        return bool(self._free) and (not self._busy or len(self._pending) >= _WORTH_A_SECOND)

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._seen = 0
        self._wait_until = self._loop.time() + _MOST_WAIT_SECONDS
        self._loop.call_soon(self._run)

    def _run(self) -> None:
        if self._seen < len(self._pending) < _MOST_TOGETHER and self._loop.time() < self._wait_until:
            # more came in this turn of the loop: let others get on
            self._seen = len(self._pending)
            self._loop.call_soon(self._run)
            return
        self._is_scheduled = False
        if self._pending and self._free:
            self._start()

    def _start(self) -> None:
        batch: list[Request] = []
        size = 0
        while self._pending and size < _MOST_TOGETHER:
            size += size_of_request(self._pending[len(batch)])
            batch.append(self._pending[len(batch)])
            if len(batch) == len(self._pending):
                break
        del self._pending[: len(batch)]
        batch = [request for request in batch if not cancelled(request)]
        if not batch:
            return
        lane = self._free.pop()
        task = self._loop.create_task(self._use(lane, batch))
        self._busy.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._busy.discard(task)
        if self._pending and not self._is_scheduled and self._may_start():
            self._schedule()

    async def _perform(self, lane: Lane, batch: list[Request]) -> None:
        try:
            packed = Packed(batch)
            answers = Answers(batch, packed, await lane.perform(packed.arguments()))
        except LOST as error:
            self._fail(batch, translate(error, self._options))
        except Exception as error:
            if len(batch) == 1:
                self._fail(
                    batch, translate(error, self._options) if isinstance(error, asyncpg.PostgresError) else error
                )
            # one of them is to blame; the others are done without it
            for request in batch if len(batch) > 1 else ():
                await self._perform(lane, [request])
        else:
            self._answer(answers)

    async def _use(self, lane: Lane, batch: list[Request]) -> None:
        try:
            await self._perform(lane, batch)
        finally:
            self._free.append(lane)

    def _answer(self, answers: Answers) -> None:
        for request, outcome in answers.outcomes.items():
            future: asyncio.Future[Any] = request.future
            if future.done():
                continue
            if isinstance(outcome, PenstockError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        if answers.wakeups:
            self._on_commit(answers.wakeups)

    def _fail(self, batch: list[Request], error: BaseException) -> None:
        for request in batch:
            if not request.future.done():
                request.future.set_exception(error)
