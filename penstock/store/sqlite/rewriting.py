"""What messages say, put in other words, in their rows and in joins."""

from collections.abc import Sequence

from msgspec import structs

from penstock.core.message_ids import to_blob
from penstock.core.messages import MessageView, blocked_view
from penstock.store.sqlite.effects import pack_follow_up, unpack_follow_up
from penstock.store.sqlite.keeping import LONGEST_IN_ROW
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import NO_EXTRAS, message_of, pack, unpack_extras
from penstock.store.sqlite.transaction import Execute, Transaction


def rewrite(tx: Transaction, messages: Sequence[MessageView]) -> None:
    """Replace body and attributes of messages that are kept."""
    for message in messages:
        blob = to_blob(message.message_id)
        row = tx.execute(SQL["message_by_id"], (blob,)).fetchone()
        if row is not None:
            _rewrite_row(tx, row, message)
        else:
            _rewrite_join(tx, blob, message)


def _rewrite_row(tx: Transaction, row: tuple[object, ...], message: MessageView) -> None:
    kept = message_of(row)
    (packed,) = tx.execute(SQL["extras_by_key"], (kept.message_key,)).fetchone()
    extras = structs.replace(
        unpack_extras(packed), attributes=message.attributes, system_attributes=message.system_attributes
    )
    is_long = len(message.body) > LONGEST_IN_ROW
    words = (None if extras == NO_EXTRAS else pack(extras), None if is_long else message.body, kept.message_key)
    tx.execute(SQL["rewrite_message"], words)
    if kept.has_long_body:
        tx.execute(SQL["delete_body"], (kept.message_key,))
    if is_long:
        tx.execute(SQL["insert_body"], (kept.message_key, message.body))


def _rewrite_join(tx: Transaction, blob: bytes, message: MessageView) -> None:
    row = tx.execute(SQL["join_by_message"], (blob,)).fetchone()
    if row is not None:
        follow_up = unpack_follow_up(row[1])
        draft = structs.replace(
            follow_up.message,
            body=message.body,
            attributes=message.attributes,
            system_attributes=message.system_attributes,
        )
        tx.execute(SQL["update_join"], (pack_follow_up(structs.replace(follow_up, message=draft)), row[0]))


def list_blocked(execute: Execute, after: str, limit: int) -> tuple[list[MessageView], str | None]:
    """Return messages that joins hold, by their ids."""
    rows = execute(SQL["joins_after"], (to_blob(after) if after else b"", limit + 1)).fetchall()
    follow_ups = [unpack_follow_up(row[0]) for row in rows[:limit]]
    found = [blocked_view(each.queue, each.message) for each in follow_ups]
    return found, found[-1].message_id if len(rows) > limit else None
