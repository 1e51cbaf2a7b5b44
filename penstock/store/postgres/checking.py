"""What `penstock check` asks of a PostgreSQL server: is it set up so that a queue lasts, in both senses?"""

from typing import Literal

import asyncpg

from penstock.store.postgres.connecting import LOST, connect, translate
from penstock.store.postgres.options import options_from
from penstock.store.postgres.queries import statements

Verdict = Literal["ok", "warning", "failed"]
LONG_TRANSACTION_SECONDS = 600


async def findings(url: str) -> list[tuple[Verdict, str, str | None]]:
    """Return verdict, what was found and what to do about it. Raises StoreUnavailable."""
    options = options_from(url)
    try:
        connection = await connect(options)
        try:
            row = await connection.fetchrow(statements(options.schema)["server_settings"])
        finally:
            await connection.close(timeout=5)
    except (asyncpg.PostgresError, *LOST) as error:
        raise translate(error, options) from error
    found: list[tuple[Verdict, str, str | None]] = [("ok", f"PostgreSQL {row['version']}", None)]
    if row["fsync"] == "off":
        found.append(("failed", "fsync is off: a crash of its machine may destroy the database", "Set fsync = on."))
    committing = options.synchronous_commit or row["synchronous_commit"]
    if committing == "off":
        found.append(("warning", "commits are answered before they are on disk", "Use durability=full unless meant."))
    if row["autovacuum"] == "off":
        found.append(("failed", "autovacuum is off: the queues' tables grow and get slow", "Set autovacuum = on."))
    free = row["max_connections"] - row["used_connections"]
    if free < options.connections + 1:
        hint = "Raise max_connections, lower connections= in the URL, or put PgBouncer in between."
        found.append(("warning", f"{free} connections are free; a process takes {options.connections + 1}", hint))
    if row["oldest_seconds"] > LONG_TRANSACTION_SECONDS:
        found.append(
            (
                "warning",
                f"a transaction has been open for {row['oldest_seconds'] / 60:.0f} minutes",
                "While it lasts, what is deleted cannot be cleared away and queues slow down. See pg_stat_activity.",
            )
        )
    if options.is_pooled:
        found.append(
            ("ok", "PgBouncer in between: wake-ups of other processes are asked for, five times a second", None)
        )
    return found
