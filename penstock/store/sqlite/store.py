"""The contract's verbs over one database file: changes through the writer, questions through a reader of its own."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import apsw
from msgspec import structs

from penstock.core.effects import Effects, Record
from penstock.core.errors import PenstockError, StoreDamaged, StoreUnavailable
from penstock.core.events import Event, EventKind
from penstock.core.filters import Matcher, MessageFilter, matches
from penstock.core.message_ids import to_blob, to_text
from penstock.core.messages import Delivery, Draft, MessageView, blocked_view
from penstock.core.moves import Move
from penstock.core.operations import ApplyReply, IdOutcome, SendOutcome
from penstock.core.queues import GroupView, QueueChanges, QueueDescription
from penstock.core.settlements import Settlement, SettleOutcome
from penstock.store.contract import Received, WakeupListener
from penstock.store.sqlite import effects, integrity, moving, queues, records, rewriting, settling, upkeep
from penstock.store.sqlite.connection import TRANSLATED, Durability, open_reader, open_writer, translate
from penstock.store.sqlite.ids import KEY_SHIFT
from penstock.store.sqlite.log import Log
from penstock.store.sqlite.looking import find_queue, peek
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.receiving import receive
from penstock.store.sqlite.records import AFTER_ALL_TEXT
from penstock.store.sqlite.rows import GroupRow, group_from, view
from penstock.store.sqlite.together import send_all, settle_all
from penstock.store.sqlite.transaction import Execute, QueueState, Transaction
from penstock.store.sqlite.turns import Turns
from penstock.store.sqlite.wakeups import Wakeups
from penstock.store.sqlite.writer import Writer

T = TypeVar("T")
_MOST_EFFECTS_AT_ONCE = 500
"""More of them would keep the event loop for tens of milliseconds."""
_FAULTS_SHOWN = 5


class SqliteStore:
    """Keeps everything in one SQLite file, which several processes of one machine may open at once.

    Made by ``await SqliteStore.open(path)``.
    """

    def __init__(self, path: Path, durability: Durability) -> None:
        self._path = path
        self._matches: Matcher = matches
        self._listeners: list[WakeupListener] = []
        try:
            turns = Turns(path)
            connection = open_writer(path, durability, turns)
            log = Log(path, is_synced=durability == "full")
            self._writer = Writer(connection, path, turns, log, self._committed)
            self._reader = open_reader(path)
            self._wakeups = Wakeups(path, self._wake)
        except (apsw.Error, OSError) as error:
            raise translate(error, path) from error
        self._opened = _identity(path)
        self._reader_thread = ThreadPoolExecutor(1, "penstock-read")

    @classmethod
    async def open(cls, path: str | Path, *, durability: Durability = "full") -> "SqliteStore":
        """Open a database file, or create it.

        Args:
            path: the file; its folder is created.
            durability: what an answer promises; see ``connection.Durability``.

        Raises:
            StoreTooNew, StoreDamaged, StoreUnavailable: it cannot be used; it is left as it is.
        """
        return cls(Path(path), durability)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def tell_others(self, queues: Sequence[str]) -> None:
        """Have the other processes on the file look again whether there is something in queues."""
        self._wakeups.tell(dict.fromkeys(queues, 0))

    def _committed(self, wakeups: dict[str, int]) -> None:
        self._wake(wakeups)
        self._wakeups.tell(wakeups)

    def _wake(self, wakeups: dict[str, int]) -> None:
        for name, at in wakeups.items():
            for listener in self._listeners:
                listener(name, at)

    async def _read(self, question: Callable[[Execute], T]) -> T:
        """Answer a question on the reader, in its thread, from one consistent state."""

        def ask() -> T:
            try:
                self._reader.execute("BEGIN")
                try:
                    return question(self._reader.execute)
                finally:
                    self._reader.execute("COMMIT")
            except TRANSLATED as error:
                raise translate(error, self._path) from error

        return await asyncio.get_running_loop().run_in_executor(self._reader_thread, ask)

    # -- queues ------------------------------------------------------------------------------------------------------

    async def create_queue(
        self, name: str, changes: QueueChanges, name_rest_ms: int, now: int
    ) -> tuple[QueueDescription, bool]:
        return await self._writer.submit(lambda tx: queues.create_queue(tx, name, changes, name_rest_ms, now))

    async def update_queue(self, name: str, changes: QueueChanges, now: int) -> QueueDescription:
        return await self._writer.submit(lambda tx: queues.update_queue(tx, name, changes, now), is_long=True)

    async def delete_queue(self, name: str, now: int) -> None:
        await self._writer.submit(lambda tx: queues.delete_queue(tx, name, now))

    async def describe_queue(self, name: str, now: int) -> QueueDescription:
        return await self._read(lambda execute: find_queue(execute, name).describe(execute, now))

    async def list_queues(
        self, prefix: str, after: str, limit: int, dead_letter_queue: str | None, now: int
    ) -> Sequence[QueueDescription]:
        span = (prefix, prefix + AFTER_ALL_TEXT, after, limit)

        def ask(execute: Execute) -> list[QueueDescription]:
            if dead_letter_queue is None:
                rows = execute(SQL["queue_page"], span).fetchall()
            else:
                rows = execute(SQL["queue_page_of_sources"], (dead_letter_queue, *span)).fetchall()
            return [QueueState(row).describe(execute, now) for row in rows]

        return await self._read(ask)

    async def purge_queue(self, name: str, rest_ms: int, now: int) -> int:
        return await self._writer.submit(lambda tx: queues.purge_queue(tx, name, rest_ms, now))

    async def list_groups(self, name: str, after: str, limit: int, only_parked: bool, now: int) -> Sequence[GroupView]:
        def ask(execute: Execute) -> list[GroupView]:
            queue = find_queue(execute, name)
            held = dict(execute(SQL["held_by_group"], (queue.number, now)).fetchall())
            rows = execute(SQL["group_page"], (queue.number, after, int(only_parked), limit)).fetchall()
            return [_group_view(execute, group_from(row), held.get(row[0], 0)) for row in rows]

        return await self._read(ask)

    async def update_group(self, name: str, group_id: str, is_parked: bool, now: int) -> None:
        await self._writer.submit(lambda tx: queues.update_group(tx, name, group_id, is_parked, now))

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, drafts: Sequence[Draft], now: int) -> tuple[SendOutcome, ...]:
        return await self._writer.submit(lambda tx: send_all(tx, tx.queue(queue), drafts, now))

    async def receive(
        self,
        queue: str,
        tokens: Sequence[bytes],
        visibility_timeout_ms: int | None,
        now: int,
        *,
        owner: str | None = None,
        attempt_id: str | None = None,
        following: str | None = None,
    ) -> Received:
        leased: list[Delivery] = []

        def work(tx: Transaction) -> Received:
            received = receive(tx, tx.queue(queue), tokens, visibility_timeout_ms, now, owner, attempt_id, following)
            leased.extend(received.deliveries)
            return received

        try:
            # a lease that is lost with the power is a message that is handed out again, as it would be without it
            return await self._writer.submit(work, is_lasting=False)
        except asyncio.CancelledError:
            with contextlib.suppress(PenstockError):
                await asyncio.shield(self._writer.submit(lambda tx: settling.give_back_all(tx, queue, leased, now)))
            raise

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        return await self._writer.submit(lambda tx: settle_all(tx, settlements, now))

    async def release_leases(self, owner: str, now: int) -> int:
        return await self._writer.submit(lambda tx: settling.release_leases(tx, owner, now))

    async def apply(self, effects_: Effects, now: int) -> ApplyReply:
        is_long = sum(map(len, structs.astuple(effects_))) > _MOST_EFFECTS_AT_ONCE
        return await self._writer.submit(lambda tx: effects.apply_alone(tx, effects_, now), is_long=is_long)

    async def cancel(self, message_ids: Sequence[str], queue: str | None, now: int) -> tuple[IdOutcome, ...]:
        return await self._writer.submit(
            lambda tx: tuple([settling.cancel(tx, each, queue, now) for each in message_ids])
        )

    async def reschedule(
        self, message_ids: Sequence[str], deliver_at: int, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return await self._writer.submit(
            lambda tx: tuple([settling.reschedule(tx, each, deliver_at, queue, now) for each in message_ids])
        )

    async def delete_messages(
        self, message_ids: Sequence[str], only_in_flight: bool, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return await self._writer.submit(
            lambda tx: tuple([settling.delete_message(tx, each, only_in_flight, queue, now) for each in message_ids])
        )

    async def peek(
        self, queue: str, wanted: MessageFilter, after: int, limit: int, now: int
    ) -> tuple[Sequence[MessageView], int | None]:
        return await self._read(lambda execute: peek(execute, self._matches, queue, wanted, after, limit, now))

    async def find(self, message_ids: Sequence[str], now: int) -> tuple[MessageView | None, ...]:
        return await self._read(lambda execute: tuple([_find(execute, each, now) for each in message_ids]))

    async def list_blocked(self, after: str, limit: int, now: int) -> tuple[Sequence[MessageView], str | None]:
        return await self._read(lambda execute: rewriting.list_blocked(execute, after, limit))

    async def rewrite(self, messages: Sequence[MessageView], now: int) -> None:
        await self._writer.submit(lambda tx: rewriting.rewrite(tx, messages), is_long=True)

    def match_by(self, matcher: Matcher) -> None:
        self._matches = matcher

    # -- moves -------------------------------------------------------------------------------------------------------

    async def start_move(self, move: Move, now: int) -> Move:
        return await self._writer.submit(lambda tx: moving.start_move(tx, move))

    async def cancel_move(self, move_id: str, now: int) -> Move:
        return await self._writer.submit(lambda tx: moving.cancel_move(tx, move_id))

    async def list_moves(self, source: str, limit: int, now: int) -> Sequence[Move]:
        def ask(execute: Execute) -> list[Move]:
            find_queue(execute, source)
            return [moving.decode_move(row[0]) for row in execute(SQL["moves_of"], (source, limit)).fetchall()]

        return await self._read(ask)

    async def step_moves(self, message_ids: Sequence[str], now: int) -> int | None:
        return await self._writer.submit(
            lambda tx: moving.step_moves(tx, list(message_ids), self._matches, now), is_long=True
        )

    # -- records -----------------------------------------------------------------------------------------------------

    async def put_records(self, records_: Sequence[Record], now: int) -> tuple[bool, ...]:
        return await self._writer.submit(lambda tx: effects.put_records(tx, records_, now))

    async def get_records(self, keys: Sequence[str], now: int) -> tuple[Record | None, ...]:
        return await self._read(lambda execute: tuple([records.get_record(execute, key, now) for key in keys]))

    async def delete_records(self, keys: Sequence[str], now: int) -> None:
        await self._writer.submit(lambda tx: records.delete_records(tx, keys))

    async def find_records(
        self, prefix: str, tag: str | None, after: str, limit: int, now: int, *, is_descending: bool = False
    ) -> Sequence[Record]:
        return await self._read(
            lambda execute: records.find_records(execute, prefix, tag, after, limit, now, is_descending=is_descending)
        )

    # -- feed --------------------------------------------------------------------------------------------------------

    async def read_history(self, message_id: str) -> Sequence[Event]:
        try:
            blob = to_blob(message_id)
        except ValueError:
            return []
        return await self._read(lambda execute: _events(execute(SQL["history"], (blob,))))

    async def read_events(self, after: int, limit: int) -> Sequence[Event]:
        if after < 0:
            return await self._read(lambda execute: _events(execute(SQL["latest_events"], (limit,)))[::-1])
        return await self._read(lambda execute: _events(execute(SQL["events_after"], (after, limit))))

    def listen(self, listener: WakeupListener) -> None:
        self._listeners.append(listener)

    # -- upkeep ------------------------------------------------------------------------------------------------------

    async def sweep(self, limit: int, now: int) -> int:
        return await self._writer.submit(lambda tx: upkeep.sweep(tx, limit, now), is_long=True)

    async def check(self) -> None:
        if _identity(self._path) != self._opened:
            raise StoreUnavailable(
                f"The database {self._path} was moved or deleted while it was open.",
                hint="What is sent now goes to a file that nobody will find. Put it back, or start the server again.",
            )
        await self._writer.submit(upkeep.check)
        found = await self._read(lambda execute: list(islice(integrity.faults(execute), _FAULTS_SHOWN)))
        if found:
            raise StoreDamaged(
                f"The database {self._path} is damaged: {'; '.join(found)}.",
                hint="Nothing was replaced. Restore a backup; until then what is sound is served.",
            )

    async def aclose(self) -> None:
        self._listeners.clear()
        self._wakeups.close()
        await self._writer.aclose()
        await asyncio.get_running_loop().run_in_executor(self._reader_thread, self._reader.close)
        self._reader_thread.shutdown(wait=False)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file a path leads to now."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _find(execute: Execute, message_id: str, now: int) -> MessageView | None:
    try:
        blob = to_blob(message_id)
    except ValueError:
        return None
    row = execute(SQL["message_by_id"], (blob,)).fetchone()
    if row is not None:
        name = execute(SQL["queue_by_number"], (row[0] >> KEY_SHIFT,)).fetchone()
        if name is not None:
            return view(execute, name[0], execute(SQL["whole_message"], (row[0],)).fetchone(), now)
    row = execute(SQL["join_by_message"], (blob,)).fetchone()
    if row is not None:
        follow_up = effects.unpack_follow_up(row[1])
        return blocked_view(follow_up.queue, follow_up.message)
    return None


def _group_view(execute: Execute, group: GroupRow, in_flight: int) -> GroupView:
    (message_count,) = execute(SQL["count_group"], (group.group_key,)).fetchone()
    return GroupView(
        group_id=group.group_id,
        waiting=message_count - in_flight,
        in_flight=in_flight,
        ready_at=group.ready_at,
        is_parked=bool(group.is_parked),
        is_noisy=bool(group.is_noisy),
    )


def _events(rows: Any) -> list[Event]:
    return [
        Event(event_id, at, queue, to_text(blob), EventKind(kind), detail)
        for event_id, at, queue, blob, kind, detail in rows.fetchall()
    ]
