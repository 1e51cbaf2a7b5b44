"""The one writer of a process: many callers' changes share one transaction and one fsync (group commit).

Statements and commits run on the event loop, where nothing contends for the interpreter; a thread waits for the disk.
What is asked for meanwhile makes up the next transactions, and the next fsync is for all of them. A change that fails
in an unforeseen way is undone alone: its transaction is rolled back and the others' changes are made again without it.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import apsw

from penstock.core.errors import PenstockError, StoreUnavailable
from penstock.store.sqlite.checkpoints import Checkpoints
from penstock.store.sqlite.committing import CommitThread
from penstock.store.sqlite.connection import BUSY_MS, TRANSLATED, translate
from penstock.store.sqlite.log import Log
from penstock.store.sqlite.transaction import Transaction
from penstock.store.sqlite.turns import Turns

T = TypeVar("T")
Work = Callable[[Transaction], T]


class Change(NamedTuple):
    """A change in line. ``is_long``: it runs in the thread; ``is_lasting``: it is answered when it is on the disk."""

    work: Work[Any]
    future: "asyncio.Future[Any]"
    is_long: bool
    is_lasting: bool


Batch = list[Change]
_MOST_TOGETHER = 256
_MOST_WAIT_SECONDS = 0.005
_QUIET_TURNS = 4
"""Of the event loop, in which nobody asked for anything more, before a transaction begins; some 10 us each."""


class Writer:
    """Runs changes on the writing connection, in order, each durable when its future is done.

    Args:
        connection: used by nothing else.
        path: the file, for error messages.
        turns: whose turn it is to write; closed with the writer.
        log: brought to the disk before what must last is answered; closed with the writer.
        on_commit: told the queues and instants of a transaction's wake-ups, on the event loop.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        path: Path,
        turns: Turns,
        log: Log,
        on_commit: Callable[[dict[str, int]], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._thread = CommitThread("penstock-commit")
        self._disk = CommitThread("penstock-sync")
        self._transaction = Transaction(connection)
        self._turns = turns
        self._log = log
        self._checkpoints = Checkpoints(connection, path)
        self._pending: Batch = []
        self._is_scheduled = False
        self._seen = self._quiet_turns = 0
        self._wait_until = 0.0
        self._is_away = False
        self._unsynced: list[tuple[Change, Any]] = []
        self._syncing_count = 0
        self._is_closed = False
        self._drained: asyncio.Future[None] | None = None

    def submit(self, work: Work[T], *, is_long: bool = False, is_lasting: bool = True) -> "asyncio.Future[T]":
        """Return the future of a change.

        Args:
            work: makes the change.
            is_long: it runs in the thread, so that the event loop goes on.
            is_lasting: it must not be lost with the machine's power once it was answered.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if self._is_closed:
            future.set_exception(StoreUnavailable("The store is closed."))
            return future
        self._pending.append(Change(work, future, is_long, is_lasting))
        if self._is_worth_beginning:
            self._schedule()
        return future

    async def aclose(self) -> None:
        """Finish what was submitted and close the connection."""
        self._is_closed = True
        if not self._is_idle:
            self._drained = self._loop.create_future()
            await self._drained
        closed: asyncio.Future[BaseException | None] = self._loop.create_future()
        self._thread.run(self._close, lambda _, error: closed.set_result(error))
        error = await closed
        self._thread.stop()
        self._disk.stop()
        self._turns.close()
        self._log.close()
        if error is not None:
            raise error

    def _close(self) -> None:
        self._checkpoints.close()
        self._connection.close()

    # -- one transaction ---------------------------------------------------------------------------------------------

    @property
    def _is_worth_beginning(self) -> bool:
        """While the disk is waited for, a transaction begins when it has at least as many changes as that waits for.

        So what arrives one by one meanwhile goes together, and two halves of a crowd take turns: one on the loop, one
        at the disk.
        """
        return not self._is_scheduled and not self._is_away and len(self._pending) >= max(1, self._syncing_count)

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._seen = self._quiet_turns = 0
        self._wait_until = self._loop.time() + _MOST_WAIT_SECONDS
        self._loop.call_soon(self._run)

    def _run(self) -> None:
        if self._seen < len(self._pending):
            self._quiet_turns = 0
            self._seen = len(self._pending)
        else:
            self._quiet_turns += 1
        if self._quiet_turns < _QUIET_TURNS and self._seen < _MOST_TOGETHER and self._loop.time() < self._wait_until:
            # a transaction has its price, that of 3 to 5 requests: let others get on, as long as they come
            self._loop.call_soon(self._run)
            return
        self._is_scheduled = False
        if not self._pending:
            return
        if self._checkpoints.is_to_finish:
            self._offload(self._finish_checkpoint, [])
            return
        batch = self._next_batch()
        if batch[0].is_long or not self._turns.take_at_once():
            self._offload(lambda: self._wait_and_run(batch), batch)
            return
        try:
            outcomes = self._transact(batch, busy_timeout_ms=0)
        except apsw.BusyError:
            # a program that takes no turns is writing
            self._offload(lambda: self._wait_and_run(batch), batch)
        except Exception as error:
            self._fail(batch, error)
        else:
            self._committed(batch, outcomes)

    def _next_batch(self) -> Batch:
        count = 0
        for change in self._pending[:_MOST_TOGETHER]:
            if change.is_long:
                break
            count += 1
        count = max(1, count)
        batch, self._pending = self._pending[:count], self._pending[count:]
        return batch

    def _offload(self, task: Callable[[], list[Any]], batch: Batch) -> None:
        def done(outcomes: list[Any], error: BaseException | None) -> None:
            self._is_away = False
            if error is None:
                self._committed(batch, outcomes)
            else:
                self._fail(batch, error)

        self._is_away = True
        self._thread.run(task, done)

    def _wait_and_run(self, batch: Batch) -> list[Any]:
        self._turns.take()
        return self._transact(batch, busy_timeout_ms=BUSY_MS)

    def _transact(self, batch: Batch, busy_timeout_ms: int) -> list[Any]:
        """Make the changes of a batch and commit them, in our turn, which ends; return for each its result or error."""
        try:
            self._transaction.begin(busy_timeout_ms=busy_timeout_ms)
            outcomes = self._change(batch)
            self._transaction.commit()
            return outcomes
        finally:
            self._turns.give()

    def _change(self, batch: Batch) -> list[Any]:
        """Make the changes of a batch; return for each its result or its error. The transaction stays open."""
        failed: dict[int, Exception] = {}
        while True:
            outcomes: list[Any] = []
            for index, (work, future, _, _) in enumerate(batch):
                if index in failed or future.cancelled():
                    outcomes.append(failed.get(index))
                    continue
                try:
                    outcomes.append(work(self._transaction))
                except PenstockError as refused:
                    outcomes.append(refused)
                except Exception as error:
                    failed[index] = translate(error, self._path) if isinstance(error, TRANSLATED) else error
                    break
            else:
                return outcomes
            self._transaction.rollback()
            self._transaction.begin(busy_timeout_ms=BUSY_MS)

    def _finish_checkpoint(self) -> list[Any]:
        self._checkpoints.finish()
        return []

    # -- after it ----------------------------------------------------------------------------------------------------

    def _committed(self, batch: Batch, outcomes: list[Any]) -> None:
        """Answer what was committed, what must last when it is on the disk; go on with what is pending."""
        wakeups = self._transaction.take_wakeups()
        if not (self._transaction.has_changes and self._log.is_synced):
            self._answer(zip(batch, outcomes, strict=True))
        else:
            ended = list(zip(batch, outcomes, strict=True))
            self._answer(pair for pair in ended if not pair[0].is_lasting)
            lasting = [pair for pair in ended if pair[0].is_lasting]
            if lasting:
                self._unsynced += lasting
                if not self._syncing_count:
                    self._sync()
        if wakeups:
            self._on_commit(wakeups)
        self._checkpoints.start_if_due()
        self._go_on()

    def _sync(self) -> None:
        """Bring to the disk all that was committed until now."""
        committed, self._unsynced = self._unsynced, []

        def done(_: None, error: BaseException | None) -> None:
            self._syncing_count = 0
            if self._unsynced:
                self._sync()
            if error is None:
                self._answer(committed)
            else:
                self._refuse([change for change, _ in committed], error)
            self._go_on()

        self._syncing_count = len(committed)
        self._disk.run(self._log.sync, done)

    @property
    def _is_idle(self) -> bool:
        return not (self._pending or self._is_away or self._syncing_count)

    def _go_on(self) -> None:
        if self._is_worth_beginning:
            self._schedule()
        elif self._drained is not None and not self._drained.done() and self._is_idle:
            self._drained.set_result(None)

    def _answer(self, ended: Iterable[tuple[Change, Any]]) -> None:
        for (_, future, _, _), outcome in ended:
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _fail(self, batch: Batch, error: BaseException) -> None:
        self._transaction.rollback()
        self._refuse(batch, error)
        self._go_on()

    def _refuse(self, batch: Batch, error: BaseException) -> None:
        for _, future, _, _ in batch:
            if not future.done():
                future.set_exception(translate(error, self._path) if isinstance(error, TRANSLATED) else error)
