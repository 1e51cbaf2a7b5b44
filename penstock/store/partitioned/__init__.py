"""Queues of several partitions, in any store."""

from penstock.store.partitioned.store import PartitionedStore

__all__ = ["PartitionedStore"]
