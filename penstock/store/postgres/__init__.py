"""The PostgreSQL store: one database for any number of processes and machines."""

from penstock.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
