"""The store in memory: for tests, and the executable specification of every other store."""

from penstock.store.memory.store import MemoryStore

__all__ = ["MemoryStore"]
