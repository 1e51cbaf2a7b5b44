"""Looking for damage: SQLite's own check of pages, indexes and types, and whether all that is stored can be read."""

from collections.abc import Iterator

from penstock.core.errors import PenstockError
from penstock.store.sqlite import effects, moving, records
from penstock.store.sqlite.connection import DAMAGE
from penstock.store.sqlite.ids import KEY_SHIFT
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import group_from, view
from penstock.store.sqlite.transaction import Execute, QueueState

_CHUNK = 500
_DECODED = (
    ("a queue", "every_queue", QueueState),
    ("a message group", "every_group", group_from),
    ("a join", "every_follow_up", lambda row: effects.unpack_follow_up(row[0])),
    ("a move task", "every_move", lambda row: moving.decode_move(row[0])),
    ("a record", "every_record", records.record_of),
)


def faults(execute: Execute) -> Iterator[str]:
    """Read everything and yield what is wrong with it; a million messages take half a minute.

    Raises:
        apsw.CorruptError: pages are damaged so that it ends here.
    """
    for (text,) in execute("PRAGMA integrity_check(10)").fetchall():
        if text != "ok":
            yield text
    for what, statement, decode in _DECODED:
        rows = execute(SQL[statement])
        try:
            for row in rows:
                decode(row)
        except DAMAGE as error:
            yield f"{what} cannot be read: {error}"
    for number, name in execute(SQL["queue_names"]).fetchall():
        yield from _damaged_messages(execute, name, number << KEY_SHIFT, (number + 1) << KEY_SHIFT)


def _damaged_messages(execute: Execute, queue: str, after: int, below: int) -> Iterator[str]:
    while rows := execute(SQL["messages_after"], (after, below, _CHUNK)).fetchall():
        for row in rows:
            try:
                view(execute, queue, row, 0)
            except PenstockError as error:
                yield error.problem.message
        after = rows[-1][0]
