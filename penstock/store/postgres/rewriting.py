"""What messages say, put in other words, in their rows and in joins.

Rows that somebody else changes at the same time are left as they are, so that nothing here waits for a lock.
"""

from collections.abc import Sequence

from penstock.core.messages import MessageView
from penstock.store.postgres.changes import Transaction
from penstock.store.postgres.rows import held_view, pack_extras

_NO_ID = "00000000-0000-0000-0000-000000000000"


async def rewrite(tx: Transaction, messages: Sequence[MessageView]) -> None:
    """Replace body and attributes of messages that are kept."""
    ids = [message.message_id for message in messages]
    bodies = [message.body.encode() for message in messages]
    extras = [pack_extras(each.sender_id, each.attributes, each.system_attributes) for each in messages]
    for statement in ("rewrite_messages", "rewrite_joins"):
        await tx.rows(statement, ids, bodies, extras)


async def list_blocked(tx: Transaction, after: str, limit: int) -> tuple[list[MessageView], str | None]:
    """Return messages that joins hold, by their ids."""
    found = [held_view(row) for row in await tx.rows("joins_after", after or _NO_ID, limit + 1)]
    return found[:limit], found[limit - 1].message_id if len(found) > limit else None
