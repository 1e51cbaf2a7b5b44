"""Sending inside a user's own transaction: the statement to run on their connection, whatever driver that is of.

The message is sent when that transaction commits and not at all when it does not; who waits for it is woken then. The
queue is held while the commit lasts, not before.
"""

from typing import Literal

import msgspec

from penstock.core.errors import InvalidRequest
from penstock.core.messages import Draft

Style = Literal["numbered", "percent", "named"]
_PLACES = {
    "numbered": ("$1", "$2", "$3::jsonb"),
    "percent": ("%s", "%s", "%s::jsonb"),
    "named": (":queue", ":body", "CAST(:options AS jsonb)"),
}


def statement(
    queue: str, draft: Draft, *, style: Style = "percent", schema: str = "penstock"
) -> tuple[str, tuple[str, str, str]]:
    """Return SQL and its parameters: queue, body, options. It answers the message's id.

    Args:
        queue: where to.
        draft: the message. With a ``message_id`` sending it twice is harmless.
        style: how the driver marks parameters: ``numbered`` asyncpg, ``percent`` psycopg and Django, ``named``
            SQLAlchemy's ``text()``, whose names are ``queue``, ``body`` and ``options``.
        schema: of the store.

    Raises:
        InvalidRequest: the body has a character that PostgreSQL's text cannot hold (U+0000).
    """
    if "\0" in draft.body:
        raise InvalidRequest(
            "The body has the character U+0000.", hint="PostgreSQL's text cannot hold it; encode it.", field="body"
        )
    options = msgspec.to_builtins(draft)
    del options["body"]
    sql = f'SELECT "{schema}".send({", ".join(_PLACES[style])})'
    return sql, (queue, draft.body, msgspec.json.encode(options).decode())
