"""What an answer of the SQLite store promises: with ``full`` the log was fsynced before it, with ``os`` it was not.

Each fsync is really made, by this test, which counts them.
"""

import asyncio
import os
from itertools import pairwise
from pathlib import Path

import pytest

from penstock.broker.local import LocalBroker
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, Receive, Send, Settle
from penstock.core.settlements import Settlement
from penstock.store import open_store


class Disk:
    """How often the write-ahead log was brought to the disk."""

    def __init__(self) -> None:
        self.log_syncs = 0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk, real = Disk(), os.fdatasync

    def fdatasync(file: int) -> None:
        real(file)
        disk.log_syncs += os.readlink(f"/proc/self/fd/{file}").endswith("-wal")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return disk


async def changes_and_their_syncs(disk: Disk, url: str) -> list[int]:
    """Return how often the log was fsynced for each of a send, a receive and a delete, one after the other."""
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
    send, _, delete = await changes_and_their_syncs(disk, f"sqlite:///{tmp_path}/full.db")
    assert (send, delete) == (1, 1)


async def test_a_lease_does_not_wait_for_the_disk(disk: Disk, tmp_path: Path) -> None:
    """Lost with the machine's power, it is a message that is handed out again."""
    _, receive, _ = await changes_and_their_syncs(disk, f"sqlite:///{tmp_path}/full.db")
    assert receive == 0


async def test_with_durability_os_no_answer_waits_for_the_disk(disk: Disk, tmp_path: Path) -> None:
    assert await changes_and_their_syncs(disk, f"sqlite:///{tmp_path}/os.db?durability=os") == [0, 0, 0]


async def test_requests_that_come_together_share_one_fsync(disk: Disk, tmp_path: Path) -> None:
    broker = LocalBroker(await open_store(f"sqlite:///{tmp_path}/full.db"))
    await broker.perform(CreateQueue("q"))
    before = disk.log_syncs
    await asyncio.gather(*(broker.perform(Send("q", (Draft("hello"),))) for _ in range(100)))
    assert disk.log_syncs - before == 1
    await broker.aclose()
