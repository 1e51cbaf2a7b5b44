"""The embedded store: one SQLite file, durable by default, shared by the processes of one machine."""

from penstock.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
