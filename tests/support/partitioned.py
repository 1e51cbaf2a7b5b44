"""Stores with queues of several partitions, and one such queue, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from penstock.core.messages import Draft
from penstock.core.partitions import partition_of_key
from penstock.store.contract import Store
from penstock.store.partitioned import PartitionedStore
from tests.conformance.implementations import STORES, Implementation
from tests.support.world import World

GROUPS = tuple(f"g{number}" for number in range(12))


def implementation(name: str) -> Implementation:
    """Return a store by its name, its queues of as many partitions as they are made with."""

    @asynccontextmanager
    async def open_it(directory: Path) -> AsyncIterator[Store]:
        async with STORES[name](directory) as store:
            yield store if isinstance(store, PartitionedStore) else cast(Store, PartitionedStore(store))

    return Implementation(name, open_it)


async def fill(world: World, **settings: Any) -> list[str]:
    """Make the queue ``q`` of four partitions and send a message of each group; return their ids."""
    await world.create("q", partitions=4, **settings)
    sent = await world.send_drafts("q", *(Draft(group, group_id=group) for group in GROUPS))
    return [each.message_id for each in sent]  # type: ignore[union-attr]


def number_of(group_id: str) -> int:
    """Return the partition of that queue that a group is in."""
    return partition_of_key("hash", 4, group_id)
