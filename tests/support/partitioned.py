"""Stores with queues of several partitions, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from penstock.store.contract import Store
from penstock.store.partitioned import PartitionedStore
from tests.conformance.implementations import STORES, Implementation


def implementation(name: str) -> Implementation:
    """Return a store by its name, its queues of as many partitions as they are made with."""

    @asynccontextmanager
    async def open_it(directory: Path) -> AsyncIterator[Store]:
        async with STORES[name](directory) as store:
            yield store if isinstance(store, PartitionedStore) else cast(Store, PartitionedStore(store))

    return Implementation(name, open_it)
