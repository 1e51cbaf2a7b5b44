"""Moving out of a database file while others use it.

Triggers note in the table ``leaving`` which rows are changed, by whichever process, from before the first page is read
until the end. What is noted is read again and carried after. At last it is nobody's turn to write but ours: what is
left is carried, and the tables get other names, so that whoever comes next finds out where everything is now.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import apsw

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
from penstock.store.sqlite.belongings import read_one
from penstock.store.sqlite.connection import MOVED
from penstock.store.sqlite.ids import KEY_SHIFT, SEQUENCE_MASK

Noted = tuple[int, Belonging | Gone | None]

_TABLES: tuple[tuple[str, Kind, tuple[str, ...], tuple[str, ...]], ...] = (
    ("queues", KeptQueue, ("queue_number", "name"), ("INSERT", "UPDATE", "DELETE")),
    ("messages", KeptMessage, ("message_key",), ("INSERT", "UPDATE", "DELETE")),
    ("groups", KeptGroup, ("queue_number", "group_id"), ("INSERT", "UPDATE", "DELETE")),
    ("duplicates", KeptDuplicate, ("queue_number", "key"), ("INSERT", "UPDATE")),
    ("attempts", KeptAttempt, ("queue_number", "attempt_id"), ("INSERT", "UPDATE")),
    ("joins", KeptJoin, ("join_id",), ("INSERT", "UPDATE", "DELETE")),
    ("join_parts", KeptJoin, ("join_id",), ("INSERT",)),
    ("records", KeptRecord, ("key",), ("INSERT", "UPDATE", "DELETE")),
    ("moves", KeptMove, ("move_id",), ("INSERT", "UPDATE")),
    ("events", KeptEvent, ("event_id",), ("INSERT",)),
    ("deleted_queues", RestingName, ("name",), ("INSERT", "UPDATE")),
)
"""Table, what its rows are, what names one, and which changes matter: what ends by itself ends in the target too."""

_KINDS = {kind.__name__: kind for _, kind, _, _ in _TABLES}
_LEFT = ("queues", "messages", "groups", "records", "joins", "moves", "events", "orphans", "deleted_queues")
"""Whatever is asked of the file, one of these tables is wanted."""


T = TypeVar("T")


class File(Protocol):
    """The house as its leaving needs it; see ``SqliteHouse``."""

    connection: apsw.Connection

    def tell_others(self, queues: Sequence[str]) -> None:
        """Let the other processes look."""
        ...

    async def run(self, work: Callable[[], T]) -> T:
        """Do something in a thread."""
        ...

    def write(self, work: Callable[[], None]) -> None:
        """Change something when it is our turn, as a whole."""
        ...

    def keep_turn(self) -> None:
        """Let nobody else write until ``give_turn``."""
        ...

    def give_turn(self) -> None:
        """Let others write."""
        ...


class LeavingFile:
    """A house that is moved out of while others live in it.

    Args:
        house: the file.
    """

    def __init__(self, house: File) -> None:
        self._house = house
        self._connection = house.connection

    async def begin(self) -> None:
        await self._house.run(lambda: self._house.write(self._begin))

    async def noted(self, limit: int) -> list[Noted]:
        return await self._house.run(lambda: self._noted(limit))

    async def forget(self, numbers: Sequence[int]) -> None:
        await self._house.run(lambda: self._house.write(lambda: self._forget(numbers)))

    async def stop_others(self) -> None:
        await self._house.run(self._house.keep_turn)

    async def let_others(self) -> None:
        await self._house.run(self._house.give_turn)

    async def leave(self, url: str, shown: str) -> None:
        await self._house.run(lambda: self._house.write(lambda: self._leave(url, shown)))

    async def stay(self) -> None:
        await self._house.run(lambda: self._house.write(self._stay))

    def tell_others(self, queues: Sequence[str]) -> None:
        self._house.tell_others(queues)

    def _begin(self) -> None:
        self._connection.execute(
            """CREATE TABLE IF NOT EXISTS leaving (
                   number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, one NOT NULL, two NOT NULL)"""
        )
        self._connection.execute("CREATE INDEX IF NOT EXISTS leaving_by_key ON leaving (kind, one, two)")
        for table, kind, names, changes in _TABLES:
            for change in changes:
                rows = ("OLD", "NEW") if change == "UPDATE" else ("OLD",) if change == "DELETE" else ("NEW",)
                body = "".join(_note(kind, [f"{row}.{name}" for name in names]) for row in rows)
                self._connection.execute(
                    f"CREATE TRIGGER IF NOT EXISTS {_trigger(table, change)} AFTER {change} ON {table} BEGIN {body} END"
                )

    def _stay(self) -> None:
        for table, _, _, changes in _TABLES:
            for change in changes:
                self._connection.execute(f"DROP TRIGGER IF EXISTS {_trigger(table, change)}")
        self._connection.execute("DROP TABLE IF EXISTS leaving")

    def _noted(self, limit: int) -> list[Noted]:
        self._connection.execute("SAVEPOINT noted")
        try:
            rows: Any = self._connection.execute(
                "SELECT number, kind, one, two FROM leaving ORDER BY number LIMIT ?", (limit,)
            ).fetchall()
            return [(number, self._now(kind, one, two)) for number, kind, one, two in rows]
        finally:
            self._connection.execute("RELEASE noted")

    def _now(self, name: str, one: Any, two: Any) -> Belonging | Gone | None:
        kind = _KINDS[name]
        key = (one, two) if kind in (KeptGroup, KeptDuplicate, KeptAttempt) else (one,)
        found = read_one(self._connection, kind, key)
        if found is not None:
            return found
        if kind is KeptQueue:
            return Gone("queue", queue=two)
        if kind is KeptJoin:
            return Gone("join", key=one)
        if kind is KeptRecord:
            return Gone("record", key=one)
        if kind not in (KeptMessage, KeptGroup):
            return None
        number = one >> KEY_SHIFT if kind is KeptMessage else one
        queue = self._connection.execute("SELECT name FROM queues WHERE queue_number = ?", (number,)).fetchone()
        if queue is None:
            return None  # it went with its queue
        if kind is KeptGroup:
            return Gone("group", queue=queue[0], key=two)
        return Gone("message", queue=queue[0], sequence_number=one & SEQUENCE_MASK)

    def _forget(self, numbers: Sequence[int]) -> None:
        self._connection.executemany("DELETE FROM leaving WHERE number = ?", [(number,) for number in numbers])

    def _leave(self, url: str, shown: str) -> None:
        self._stay()
        self._connection.execute(f"CREATE TABLE {MOVED} (url TEXT NOT NULL, shown TEXT NOT NULL)")
        self._connection.execute(f"INSERT INTO {MOVED} VALUES (?, ?)", (url, shown))
        for table in _LEFT:
            self._connection.execute(f"ALTER TABLE {table} RENAME TO left_{table}")


def _trigger(table: str, change: str) -> str:
    return f"leaving_{table}_{change.lower()}"


def _note(kind: Kind, names: list[str]) -> str:
    """Return statements that note a row anew; ON CONFLICT would be overridden by the statement that fires a trigger."""
    one, two = names[0], names[1] if len(names) > 1 else "''"
    return (
        f"DELETE FROM leaving WHERE kind = '{kind.__name__}' AND one = {one} AND two = {two};"
        f"INSERT INTO leaving (kind, one, two) VALUES ('{kind.__name__}', {one}, {two});"
    )
