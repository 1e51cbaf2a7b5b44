"""A SQLite file as a house that everything is carried out of or into, by statements on its tables.

Pages are read on a connection of their own. What is taken in is written without keeping counts and order in step;
``settle_in`` works them out.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import apsw
import msgspec
from msgspec import structs

from penstock.core.belongings import (
    Belonging,
    Gone,
    KeptAttempt,
    KeptDuplicate,
    KeptEvent,
    KeptGroup,
    KeptJoin,
    KeptMessage,
    KeptMove,
    KeptQueue,
    KeptRecord,
    Kind,
    RestingName,
)
from penstock.core.lifecycle import lane_of
from penstock.core.message_ids import to_blob
from penstock.core.messages import Draft
from penstock.core.moves import MoveStatus
from penstock.core.queues import QueueSettings
from penstock.store.contract import Store
from penstock.store.house import Leaving, Place
from penstock.store.sqlite.belongings import read_page
from penstock.store.sqlite.connection import BUSY_MS, TRANSLATED, translate
from penstock.store.sqlite.ids import KEY_SHIFT
from penstock.store.sqlite.keeping import LONGEST_IN_ROW
from penstock.store.sqlite.leaving import LeavingFile
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import pack_extras
from penstock.store.sqlite.store import SqliteStore
from penstock.store.sqlite.transaction import DELAYED, HANDED_OUT, PLAIN
from penstock.store.sqlite.turns import Turns

T = TypeVar("T")
_decode_settings = msgspec.json.Decoder(QueueSettings).decode
_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_unpack_leases = msgspec.msgpack.Decoder(tuple[tuple[int, bytes], ...]).decode
_decode_tags = msgspec.json.Decoder(dict[str, str]).decode


_TABLES: tuple[str, ...] = (
    "queues",
    "deleted_queues",
    "orphans",
    "messages",
    "bodies",
    "groups",
    "duplicates",
    "attempts",
    "joins",
)
_TABLES += ("join_counts", "join_parts", "records", "record_tags", "moves", "events")


class SqliteHouse:
    """A house in a database file.

    Args:
        store: the same file, opened.
    """

    def __init__(self, store: Store) -> None:
        assert isinstance(store, SqliteStore)
        self.store: Store = store
        self.tell_others = store.tell_others
        self.path: Path = store.path
        self._turns = Turns(self.path)
        self.keeps_turn = False
        self.connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        self.connection.set_busy_timeout(BUSY_MS)
        self.connection.pragma("synchronous", "full")
        self._queues: dict[str, tuple[int, bool]] = {}

    @classmethod
    async def open(cls, url: str) -> "SqliteHouse":
        """Open the file a store's URL names. Raises StoreMoved, and what opening it raises."""
        store = await SqliteStore.open(Path(unquote(urlsplit(url).path[1:])))
        try:
            return cls(store)
        except BaseException:
            await store.aclose()
            raise

    async def gather(self, now: int) -> None:
        return None

    async def page(self, kind: Kind, after: Place | None, limit: int) -> tuple[Sequence[Belonging], Place | None]:
        return await self.run(lambda: read_page(self.connection, kind, after, limit))

    async def take_in(self, things: Sequence[Belonging | Gone]) -> None:
        await self.run(lambda: self.write(lambda: self._take_in(things)))

    async def settle_in(self, now: int) -> None:
        await self.run(lambda: self.write(lambda: self._settle_in(now)))

    async def clear(self) -> None:
        await self.run(lambda: self.write(self._clear))

    def leaving(self) -> Leaving:
        return LeavingFile(self)

    async def aclose(self) -> None:
        self.connection.close()
        self._turns.close()
        await self.store.aclose()

    async def run(self, work: Callable[[], T]) -> T:
        """Do something in a thread; errors are those of the store."""

        def translated() -> T:
            try:
                return work()
            except TRANSLATED as error:
                raise translate(error, self.path) from error

        return await asyncio.get_running_loop().run_in_executor(None, translated)

    def write(self, work: Callable[[], None]) -> None:
        """Change something when it is our turn, as a whole."""
        if self.keeps_turn:
            with self.connection:
                work()
            return
        self._turns.take()
        try:
            with self.connection:
                work()
        finally:
            self._turns.give()

    def keep_turn(self) -> None:
        """Let nobody else write until ``give_turn``, or until this process has ended."""
        self._turns.take()
        self.keeps_turn = True

    def give_turn(self) -> None:
        """Let others write."""
        self.keeps_turn = False
        self._turns.give()

    def _clear(self) -> None:
        for table in _TABLES:
            self._do(f"DELETE FROM {table}")

    # -- taking in ---------------------------------------------------------------------------------------------------

    def _take_in(self, things: Sequence[Belonging | Gone]) -> None:
        self._queues.clear()
        for thing in things:
            _TAKERS[type(thing)](self, thing)

    def _do(self, sql: str, *parameters: Any) -> list[Any]:
        return self.connection.execute(sql, parameters).fetchall()

    def _queue_called(self, name: str) -> tuple[int, bool]:
        """Return a queue's number, and whether its groups are strict."""
        if name not in self._queues:
            ((number, order),) = self._do(SQL["queue_order"], name)
            self._queues[name] = (number, order == "strict")
        return self._queues[name]

    def _number(self, name: str) -> int:
        return self._queue_called(name)[0]

    def _queue(self, queue: KeptQueue) -> None:
        redrive = queue.settings.redrive
        self._do(SQL["wake_name"], queue.name)
        self._do(
            SQL["take_in_queue"],
            *(queue.name, _json(queue.settings), None if redrive is None else redrive.dead_letter_queue),
            *(queue.created_at, queue.modified_at, queue.purged_at, queue.last_sequence, queue.last_turn),
            *(queue.sent_total, queue.received_total, queue.deleted_total, *structs.astuple(queue.busy)),
        )

    def _message(self, message: KeptMessage) -> None:
        number, is_strict = self._queue_called(message.queue)
        key = number << KEY_SHIFT | message.sequence_number
        is_ordered = message.group_id is not None and is_strict
        draft = Draft(
            message.body,
            message.attributes,
            message.system_attributes,
            message.sender_id,
            group_id=message.group_id,
            deduplication_id=message.deduplication_id,
        )
        phase = HANDED_OUT if message.token is not None else DELAYED if message.was_delayed else PLAIN
        is_long = len(message.body) > LONGEST_IN_ROW
        self._do(
            SQL["take_in_message"],
            *(key, number, to_blob(message.message_id)),
            -number if message.group_id is None else self._group_key(number, message.group_id),
            0 if is_ordered else lane_of(message.priority, comes_back=message.comes_back),
            message.sequence_number if is_ordered else message.visible_at,
            *(message.visible_at, phase, message.priority, message.sent_at, message.expires_at, message.receive_count),
            *(message.carried_count, message.first_received_at, message.received_at, message.token, message.owner),
            *(message.dead_letter_source, pack_extras(draft), None if is_long else message.body),
        )
        if is_long:
            self._do(SQL["take_in_body"], key, message.body)

    def _group_key(self, number: int, group_id: str) -> int:
        self._do(SQL["make_group"], number, group_id)
        ((key,),) = self._do(SQL["group_key"], number, group_id)
        return int(key)

    def _group(self, group: KeptGroup) -> None:
        number, is_strict = self._queue_called(group.queue)
        head = None if group.head is None else number << KEY_SHIFT | group.head
        turn = group.turn if is_strict or head is None else head
        self._do(
            SQL["take_in_group"],
            *(group.lane, group.ready_at, turn, head, group.head_visible_at, int(group.is_parked)),
            *(int(group.is_noisy), group.last_sent_at, *structs.astuple(group.busy)),
            self._group_key(number, group.group_id),
        )

    def _duplicate(self, known: KeptDuplicate) -> None:
        key = f"{known.scope}\0{known.deduplication_id}".encode()
        values = (to_blob(known.message_id), known.sequence_number, known.kept_until)
        self._do(SQL["remember_duplicate"], self._number(known.queue), key, *values)

    def _attempt(self, attempt: KeptAttempt) -> None:
        values = (attempt.attempt_id, _pack(attempt.leases), attempt.kept_until)
        self._do(SQL["remember_attempt"], self._number(attempt.queue), *values)

    def _join(self, kept: KeptJoin) -> None:
        join = kept.join
        self._forget_join(join.join_id)
        message_id = join.follow_up.message.message_id
        assert message_id is not None
        self._do(
            SQL["insert_join"],
            *(join.join_id, join.parts, to_blob(message_id), _pack(join.follow_up), join.expires_at),
        )
        for part in kept.arrived:
            self._do(SQL["take_in_join_part"], join.join_id, part)
        if kept.arrived:
            self._do(SQL["take_in_join_count"], join.join_id, len(kept.arrived))

    def _forget_join(self, join_id: str) -> None:
        for name in ("delete_join", "delete_join_parts", "delete_join_count"):
            self._do(SQL[name], join_id)

    def _record(self, kept: KeptRecord) -> None:
        record = kept.record
        self._forget_record(record.key)
        tags = _json(dict(record.tags))
        self._do(SQL["take_in_record"], record.key, record.value, tags, record.expires_at)
        for name, value in record.tags.items():
            self._do(SQL["take_in_record_tag"], f"{name}={value}", record.key)

    def _forget_record(self, key: str) -> None:
        for (tags,) in self._do(SQL["tags_of_record"], key):
            for name, value in _decode_tags(tags).items():
                self._do(SQL["forget_record_tag"], f"{name}={value}", key)
        self._do(SQL["forget_record"], key)

    def _move(self, kept: KeptMove) -> None:
        move = kept.move
        is_running = int(move.status is MoveStatus.RUNNING)
        self._do(SQL["put_move"], move.move_id, move.source, move.started_at, is_running, _json(move))

    def _event(self, kept: KeptEvent) -> None:
        event = kept.event
        self._do(
            SQL["take_in_event"],
            *(event.event_id, event.at, event.queue, to_blob(event.message_id), event.kind.value, event.detail),
        )

    def _resting(self, name: RestingName) -> None:
        if not self._do(SQL["is_queue"], name.name):
            self._do(SQL["rest_name"], name.name, name.deleted_at)

    def _gone(self, gone: Gone) -> None:
        if gone.kind == "record":
            self._forget_record(gone.key)
        elif gone.kind == "join":
            self._forget_join(gone.key)
        elif self._do(SQL["is_queue"], gone.queue):
            number = self._number(gone.queue)
            if gone.kind == "queue":
                del self._queues[gone.queue]
                self._do(SQL["delete_queue"], number)
                self._do(SQL["insert_orphan"], number)
            elif gone.kind == "group":
                self._do(SQL["delete_group_by_id"], number, gone.key)
            else:
                key = number << KEY_SHIFT | gone.sequence_number
                self._do(SQL["delete_message"], key)
                self._do(SQL["delete_body"], key)

    def _settle_in(self, now: int) -> None:
        self._do(SQL["forget_bodies_alone"])
        self._do(SQL["forget_empty_groups"])
        self._do(
            SQL["count_fair_groups"],
            now,
        )
        for number, *_ in self._do(SQL["queue_numbers"]):
            span = (number << KEY_SHIFT, (number + 1) << KEY_SHIFT)
            lanes = 0
            for rank, priority in self._do(SQL["lanes_in"], *span):
                lanes |= 1 << lane_of(priority) | 1 << rank
            ((count, held, waits),) = self._do(
                SQL["counts_in"],
                *(now, now, *span),
            )
            self._do(
                SQL["count_queue"],
                *(count, held, waits, now, lanes, number),
            )


_TAKERS: dict[type, Callable[[SqliteHouse, Any], None]] = {
    KeptQueue: SqliteHouse._queue,
    KeptMessage: SqliteHouse._message,
    KeptGroup: SqliteHouse._group,
    KeptDuplicate: SqliteHouse._duplicate,
    KeptAttempt: SqliteHouse._attempt,
    KeptJoin: SqliteHouse._join,
    KeptRecord: SqliteHouse._record,
    KeptMove: SqliteHouse._move,
    KeptEvent: SqliteHouse._event,
    RestingName: SqliteHouse._resting,
    Gone: SqliteHouse._gone,
}
