"""A transaction as the verbs see it: statements, the queues they touch, what they count, note and wake."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import apsw
import msgspec
from msgspec import Struct, convert, structs

from penstock.core.clock import to_ms
from penstock.core.events import EventKind, is_kept
from penstock.core.fairness import BusyTime
from penstock.core.message_ids import to_blob
from penstock.core.queues import QueueCounts, QueueDescription, QueueSettings
from penstock.core.refusals import queue_not_found
from penstock.store.sqlite.ids import KEY_SHIFT
from penstock.store.sqlite.queries import SQL

_QUEUE_BY_NAME = SQL["queue_by_name"]
_UPDATE_QUEUE_STATE = SQL["update_queue_state"]
_INSERT_EVENT = SQL["insert_event"]
_LAPSED = SQL["lapsed"]
_LAPSE_GROUP = SQL["lapse_group"]
_OLDEST = SQL["oldest_sent_at"]

_MOST_QUEUES_KEPT = 2_000

PLAIN, DELAYED, HANDED_OUT = 0, 1, 2
"""A message's phase: why ``visible_at`` is what it is. It stays when that instant has passed."""

Execute = Callable[..., Any]
"""Runs a statement with its parameters; what it returns is fetched from before the next statement."""


class _QueueRow(Struct, array_like=True):
    """The types that a row of ``queues`` begins with."""

    queue_number: int
    name: str
    settings: bytes
    created_at: int
    modified_at: int
    purged_at: int | None
    last_sequence: int
    last_turn: int
    lanes: int
    group_count: int
    message_count: int
    in_flight: int
    delayed: int
    counted_at: int


_decode_settings = lru_cache(maxsize=1000)(msgspec.json.Decoder(QueueSettings).decode)
"""Most queues are set like others."""


class QueueState:
    """A queue's row, kept while no other process writes. Counts of leased and delayed are those at ``counted_at``."""

    __slots__ = (
        "busy",
        "comes_back",
        "counted_at",
        "created_at",
        "delayed",
        "deleted_total",
        "group_count",
        "in_flight",
        "is_changed",
        "is_strict",
        "keeps_history",
        "lanes",
        "last_sequence",
        "last_turn",
        "max_receive_count",
        "message_count",
        "modified_at",
        "name",
        "number",
        "purged_at",
        "received_total",
        "retention_ms",
        "sent_total",
        "settings",
    )

    number: int
    last_sequence: int
    message_count: int

    def __init__(self, row: tuple[Any, ...]) -> None:
        (
            self.number,
            self.name,
            settings,
            self.created_at,
            self.modified_at,
            self.purged_at,
            self.last_sequence,
            self.last_turn,
            self.lanes,
            self.group_count,
            self.message_count,
            self.in_flight,
            self.delayed,
            self.counted_at,
            self.sent_total,
            self.received_total,
            self.deleted_total,
            *busy,
        ) = row
        try:
            convert(row, _QueueRow)
            self.use(_decode_settings(settings))
        except msgspec.DecodeError as error:
            raise msgspec.DecodeError(f"queue {self.name!r} cannot be read: {error}") from error
        self.busy = BusyTime(*busy)
        self.is_changed = False

    def use(self, settings: QueueSettings) -> None:
        """Follow these settings; what is asked of them for every message is worked out once."""
        self.settings = settings
        self.is_strict = settings.group_order == "strict"
        self.keeps_history = settings.history != "off"
        self.comes_back = settings.redelivery == "first"
        self.retention_ms = to_ms(settings.retention_seconds)
        self.max_receive_count = None if settings.redrive is None else settings.redrive.max_receive_count

    @property
    def key_range(self) -> tuple[int, int]:
        """Message keys of the queue lie between these two, exclusive."""
        return self.number << KEY_SHIFT, (self.number + 1) << KEY_SHIFT

    def state_row(self) -> tuple[Any, ...]:
        """Return the parameters of ``update_queue_state``."""
        return (
            self.last_sequence,
            self.last_turn,
            self.lanes,
            self.group_count,
            self.message_count,
            self.in_flight,
            self.delayed,
            self.counted_at,
            self.sent_total,
            self.received_total,
            self.deleted_total,
            *structs.astuple(self.busy),
            self.number,
        )

    def describe(self, execute: Execute, now: int) -> QueueDescription:
        """Show the queue as it is at ``now``."""
        in_flight, delayed = self.in_flight, self.delayed
        lapsed = execute(_LAPSED, (self.number, self.counted_at, now)).fetchall() if in_flight or delayed else ()
        for phase, _, count in lapsed:
            if phase == HANDED_OUT:
                in_flight -= count
            else:
                delayed -= count
        oldest = execute(_OLDEST, self.key_range).fetchone() if self.message_count else None
        return QueueDescription(
            name=self.name,
            settings=self.settings,
            created_at=self.created_at,
            modified_at=self.modified_at,
            counts=QueueCounts(self.message_count - in_flight - delayed, delayed, in_flight),
            oldest_sent_at=None if oldest is None else oldest[0],
            purged_at=self.purged_at,
            sent_total=self.sent_total,
            received_total=self.received_total,
            deleted_total=self.deleted_total,
        )


class Transaction:
    """What a verb works with. One object serves all transactions of the writer, one after the other."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        cursor = connection.cursor()
        self.execute: Execute = cursor.execute
        self.execute_many: Execute = cursor.executemany
        self._queues: dict[str, QueueState] = {}
        self._touched: set[QueueState] = set()
        self._wakeups: dict[str, int] = {}
        self._data_version: Any = None
        self._busy_timeout_ms = -1
        self._changes_before = 0
        self._has_joins: bool | None = None
        self.damaged: set[int] = set()
        """Keys of messages that were found damaged; receives pass over them."""

    # -- begin and end -----------------------------------------------------------------------------------------------

    def begin(self, *, busy_timeout_ms: int) -> None:
        """Take the write lock; forget cached rows if another process has written since."""
        if busy_timeout_ms != self._busy_timeout_ms:
            self._connection.set_busy_timeout(busy_timeout_ms)
            self._busy_timeout_ms = busy_timeout_ms
        self.execute("BEGIN IMMEDIATE")
        version = self.execute("PRAGMA data_version").fetchone()
        if version != self._data_version:
            self._queues.clear()
            self._data_version = version
        self._touched.clear()
        self._changes_before = self._connection.total_changes()
        self._has_joins = None

    @property
    def change_count(self) -> int:
        """How many rows have been changed on this connection."""
        return self._connection.total_changes()

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to commit."""
        return self.change_count != self._changes_before or any(queue.is_changed for queue in self._touched)

    def commit(self) -> None:
        """Write the changed queue rows and make everything durable."""
        for queue in self._touched:
            if queue.is_changed:
                self.execute(_UPDATE_QUEUE_STATE, queue.state_row())
                queue.is_changed = False
        self.execute("COMMIT")
        if len(self._queues) > _MOST_QUEUES_KEPT:
            self._queues.clear()

    def rollback(self) -> None:
        """Undo everything since ``begin``."""
        self._queues.clear()
        self._touched.clear()
        self._wakeups.clear()
        if self._connection.in_transaction:
            self.execute("ROLLBACK")

    def take_wakeups(self) -> dict[str, int]:
        """Return the queues in which something may be receivable, and from when on; once."""
        taken, self._wakeups = self._wakeups, {}
        return taken

    # -- queues ------------------------------------------------------------------------------------------------------

    def queue(self, name: str) -> QueueState:
        """Return a queue. Raises QueueNotFound."""
        queue = self.find_queue(name)
        if queue is None:
            raise queue_not_found(name)
        return queue

    def find_queue(self, name: str) -> QueueState | None:
        """Return a queue, or ``None``."""
        queue = self._queues.get(name)
        if queue is None:
            row = self.execute(_QUEUE_BY_NAME, (name,)).fetchone()
            if row is None:
                return None
            queue = self._queues[name] = QueueState(row)
        self._touched.add(queue)
        return queue

    def forget_queue(self, name: str) -> None:
        """Read the queue's row again when it is next needed."""
        forgotten = self._queues.pop(name, None)
        if forgotten is not None:
            self._touched.discard(forgotten)

    def advance(self, queue: QueueState, now: int) -> None:
        """Let the counts be those at ``now``: each lease and delay that has ended since is counted once."""
        if now <= queue.counted_at:
            return
        for phase, group_key, count in self.execute(_LAPSED, (queue.number, queue.counted_at, now)).fetchall():
            if phase == HANDED_OUT:
                queue.in_flight -= count
                if group_key > 0 and not queue.is_strict:
                    self.execute(_LAPSE_GROUP, (count, group_key))
            else:
                queue.delayed -= count
            queue.is_changed = True
        # where nothing ended, the old instant says the same: no reason to write
        queue.counted_at = now

    # -- notes -------------------------------------------------------------------------------------------------------

    def wake(self, name: str, at: int) -> None:
        """After the commit, tell that something may be receivable under a name of wake-ups from an instant on."""
        known = self._wakeups.get(name)
        if known is None or at < known:
            self._wakeups[name] = at

    def note(self, queue: QueueState, kind: EventKind, message_id: str, now: int, detail: str | None = None) -> None:
        """Keep an event if the queue's history wants it."""
        if queue.keeps_history and is_kept(queue.settings.history, kind):
            self.execute(_INSERT_EVENT, (now, queue.name, to_blob(message_id), kind.value, detail))

    @property
    def has_joins(self) -> bool:
        """Whether any join is open; asked once a transaction."""
        if self._has_joins is None:
            self._has_joins = self.execute(SQL["any_join"]).fetchone() is not None
        return self._has_joins

    def joins_changed(self) -> None:
        """A join was opened or closed."""
        self._has_joins = None
