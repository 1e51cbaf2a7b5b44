"""One store made of several: each queue lives on one of them, and what crosses is relayed."""

from penstock.store.sharded.store import ShardedStore

__all__ = ["ShardedStore"]
