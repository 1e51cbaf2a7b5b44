"""Fixtures: a sealed store on a file, and the same file opened in other ways."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from penstock.broker.local import LocalBroker
from penstock.store.contract import Store
from penstock.store.sealed.opening import sealed_with
from penstock.store.sealed.resealing import Resealing
from penstock.store.sealed.store import SealedStore
from penstock.store.sqlite import SqliteStore
from penstock.testing import ManualClock
from tests.support.encryption import FIRST_KEY, keyring
from tests.support.entropy import CountingEntropy
from tests.support.world import World


class Place:
    """A file, and a clock that goes on whoever opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self._entropy = CountingEntropy()

    @asynccontextmanager
    async def opened(self, *keys: str) -> AsyncIterator[World]:
        """Open the file with keys; without any, as it is kept."""
        plain = cast(Store, await SqliteStore.open(self.folder / "penstock.db", durability="os"))
        try:
            store = await sealed_with(plain, keyring(*keys)) if keys else plain
            broker = LocalBroker(store, self.clock, self._entropy)
            yield World(broker, broker, store, self.clock, self._entropy)
        finally:
            await plain.aclose()

    def files(self) -> bytes:
        """Return all that is in the folder."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file())


def plain_store(world: World) -> Store:
    """Return the store below a sealed one."""
    return cast(SealedStore, world.store).plain_store


def resealing(world: World) -> Resealing:
    """Return what reseals a world's store."""
    return Resealing(cast(SealedStore, world.store), world.clock.now_ms)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def sealed(place: Place) -> AsyncIterator[World]:
    async with place.opened(FIRST_KEY) as world:
        yield world
