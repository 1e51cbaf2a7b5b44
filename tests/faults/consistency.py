"""Counts again, from the rows of a SQLite store, everything that the store keeps counted."""

import shutil
from pathlib import Path
from typing import Any

import apsw

_STRICT = """
    CREATE TEMP VIEW strict AS
        SELECT queue_number FROM queues WHERE CAST(settings AS TEXT) ->> 'group_order' = 'strict'"""

_WRONG = {
    "a message without a body": """
        SELECT message_key FROM messages
        WHERE body IS NULL AND message_key NOT IN (SELECT message_key FROM bodies)""",
    "a body without a message that wants it": """
        SELECT message_key FROM bodies
        WHERE message_key NOT IN (SELECT message_key FROM messages WHERE body IS NULL)""",
    "a message under another queue's number": """
        SELECT message_key FROM messages WHERE message_key >> 40 <> queue_number""",
    "a message of no queue, and none is being forgotten": """
        SELECT message_key FROM messages WHERE queue_number NOT IN (SELECT queue_number FROM queues)
            AND queue_number NOT IN (SELECT queue_number FROM orphans)""",
    "a message of no group": """
        SELECT message_key FROM messages WHERE group_key > 0 AND group_key NOT IN (SELECT group_key FROM groups)""",
    "an ungrouped message of another queue": """
        SELECT message_key FROM messages WHERE group_key <= 0 AND group_key <> -queue_number""",
    "a message in a group of another queue": """
        SELECT message_key FROM messages JOIN groups USING (group_key)
        WHERE groups.queue_number <> messages.queue_number""",
    "a delivery without a token": """
        SELECT message_key FROM messages WHERE phase = 2 AND (token IS NULL OR receive_count = 0)""",
    "a message that does not stand where it is visible": """
        SELECT message_key FROM messages WHERE position <> CASE
            WHEN group_key > 0 AND queue_number IN strict THEN message_key & 0xFFFFFFFFFF
            ELSE visible_at END""",
    "an empty group that is not parked": """
        SELECT group_key FROM groups
        WHERE group_key NOT IN (SELECT group_key FROM messages) AND NOT is_parked""",
    "a group with messages that nobody will look at": """
        SELECT group_key FROM groups
        WHERE group_key IN (SELECT group_key FROM messages) AND NOT is_parked AND ready_at IS NULL""",
    "a fair group whose messages were miscounted": """
        SELECT group_key FROM groups WHERE queue_number NOT IN strict AND message_count <>
            (SELECT count(*) FROM messages WHERE messages.group_key = groups.group_key)""",
    "a strict group in which something is counted": """
        SELECT group_key FROM groups WHERE queue_number IN strict AND (message_count <> 0 OR in_flight <> 0)""",
    "a fair group whose leases were miscounted": """
        SELECT group_key, groups.in_flight FROM groups JOIN queues USING (queue_number)
        WHERE queue_number NOT IN strict AND groups.in_flight <>
            (SELECT count(*) FROM messages
             WHERE messages.group_key = groups.group_key AND phase = 2 AND visible_at > counted_at)""",
    "a strict group that shows another head": """
        SELECT group_key FROM groups WHERE queue_number IN strict AND NOT is_parked
            AND (head_key, head_visible_at) IS NOT
                (SELECT message_key, visible_at FROM messages
                 WHERE messages.group_key = groups.group_key ORDER BY position LIMIT 1)""",
    "a queue whose messages were miscounted": """
        SELECT name, message_count FROM queues WHERE message_count <>
            (SELECT count(*) FROM messages WHERE messages.queue_number = queues.queue_number)""",
    "a queue whose leases were miscounted": """
        SELECT name, in_flight FROM queues WHERE in_flight <>
            (SELECT count(*) FROM messages
             WHERE messages.queue_number = queues.queue_number AND phase = 2 AND visible_at > counted_at)""",
    "a queue whose delayed messages were miscounted": """
        SELECT name, delayed FROM queues WHERE delayed <>
            (SELECT count(*) FROM messages
             WHERE messages.queue_number = queues.queue_number AND phase = 1 AND visible_at > counted_at)""",
    "a queue whose groups were miscounted": """
        SELECT name, group_count FROM queues WHERE group_count <>
            (SELECT count(*) FROM groups WHERE groups.queue_number = queues.queue_number)""",
    "a queue that would give a sequence number again": """
        SELECT name FROM queues WHERE last_sequence <
            (SELECT max(message_key) & 0xFFFFFFFFFF FROM messages WHERE messages.queue_number = queues.queue_number)""",
    "a queue that overlooks a lane": """
        SELECT DISTINCT name FROM queues JOIN messages USING (queue_number)
        WHERE queue_number NOT IN strict AND NOT lanes >> rank & 1""",
}


def check_consistency(path: Path) -> None:
    """Raise AssertionError unless a database file is whole and agrees with itself. Nobody may be writing to it."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.execute(_STRICT)
        found = {wrong: _some(connection, query) for wrong, query in _WRONG.items()}
    finally:
        connection.close()
    assert not any(found.values()), {wrong: rows for wrong, rows in found.items() if rows}


def copy_store(path: Path, to: Path) -> Path:
    """Copy a database and its log as they lie there, into an existing folder; return the copy's path."""
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, to / source.name)
        else:
            (to / source.name).unlink(missing_ok=True)
    (to / f"{path.name}-shm").unlink(missing_ok=True)
    return to / path.name


def _some(connection: apsw.Connection, query: str) -> list[Any]:
    return list(connection.execute(f"{query} LIMIT 5"))
