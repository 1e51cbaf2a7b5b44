"""What an answer of the SQLite store promises: with ``full`` the log was fsynced before it, with ``os`` it was not.

SQLite is led through a file system of this test, which hands everything on to the real one and counts.
"""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest

from penstock.broker.local import LocalBroker
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, Receive, Send, Settle
from penstock.core.settlements import Settlement
from penstock.store import open_store


class Disk(apsw.VFS):
    """The real file system, and how often the write-ahead log was fsynced on it."""

    def __init__(self) -> None:
        self.log_syncs = 0
        self.real = apsw.vfs_names()[0]
        super().__init__("penstock-counting", self.real, makedefault=True)

    def xOpen(self, name: Any, flags: Any) -> "File":  # noqa: N802
        return File(self, name, flags)


class File(apsw.VFSFile):
    """A file of it."""

    def __init__(self, disk: Disk, name: Any, flags: Any) -> None:
        super().__init__(disk.real, name, flags)
        self._disk = disk
        self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._disk.log_syncs += self._is_log


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    apsw.set_default_vfs(disk.real)
    disk.unregister()


async def changes_and_their_syncs(disk: Disk, url: str) -> list[int]:
    """Return how often the log was fsynced for each of three changes, one after the other."""
    broker = LocalBroker(await open_store(url))
    await broker.perform(CreateQueue("q"))
    syncs = [disk.log_syncs]
    await broker.perform(Send("q", (Draft("hello"),)))
    syncs.append(disk.log_syncs)
    (delivery,) = (await broker.perform(Receive("q"))).deliveries
    syncs.append(disk.log_syncs)
    await broker.perform(Settle((Settlement("q", delivery.receipt_handle),)))
    syncs.append(disk.log_syncs)
    await broker.aclose()
    return [after - before for before, after in pairwise(syncs)]


async def test_an_answered_change_was_fsynced_before(disk: Disk, tmp_path: Path) -> None:
    assert await changes_and_their_syncs(disk, f"sqlite:///{tmp_path}/full.db") == [1, 1, 1]


async def test_with_durability_os_no_answer_waits_for_the_disk(disk: Disk, tmp_path: Path) -> None:
    assert await changes_and_their_syncs(disk, f"sqlite:///{tmp_path}/os.db?durability=os") == [0, 0, 0]


async def test_requests_that_come_together_share_one_fsync(disk: Disk, tmp_path: Path) -> None:
    broker = LocalBroker(await open_store(f"sqlite:///{tmp_path}/full.db"))
    await broker.perform(CreateQueue("q"))
    before = disk.log_syncs
    await asyncio.gather(*(broker.perform(Send("q", (Draft("hello"),))) for _ in range(100)))
    assert disk.log_syncs - before == 1
    await broker.aclose()
