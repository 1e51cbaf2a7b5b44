"""What an answered change survives, as the server and the URL are set; and what is set so that queues may not last."""

from typing import Any

from penstock.store.examination import Concern, Examination
from penstock.store.postgres.changes import Transaction
from penstock.store.postgres.options import Options

LONG_TRANSACTION_SECONDS = 600


async def examine(tx: Transaction, options: Options) -> Examination:
    """Ask a server how it is set."""
    row = await tx.row("server_settings")
    committing = options.synchronous_commit or row["synchronous_commit"]
    durability = "delayed" if committing == "off" else "os" if row["fsync"] == "off" else "full"
    return Examination(durability, tuple(_concerns(row, committing, options)))


def _concerns(row: Any, committing: str, options: Options) -> list[Concern]:
    found: list[Concern] = []
    if row["fsync"] == "off":
        found.append(Concern("fsync is off: a crash of its machine may destroy the database", "Set fsync = on."))
    if committing == "off":
        found.append(
            Concern("PostgreSQL answers before a commit is on disk", "Use durability=full in the URL unless meant.")
        )
    if row["autovacuum"] == "off":
        found.append(Concern("autovacuum is off: the queues' tables grow and get slow", "Set autovacuum = on."))
    free = row["max_connections"] - row["used_connections"]
    if free < options.connections + 1:
        hint = "Raise max_connections, lower connections= in the URL, or put PgBouncer in between."
        found.append(Concern(f"{free} connections are free; a process takes {options.connections + 1}", hint))
    if row["oldest_seconds"] > LONG_TRANSACTION_SECONDS:
        found.append(
            Concern(
                f"a transaction has been open for {row['oldest_seconds'] / 60:.0f} minutes",
                "While it lasts, what is deleted cannot be cleared away and queues slow down. See pg_stat_activity.",
            )
        )
    return found
