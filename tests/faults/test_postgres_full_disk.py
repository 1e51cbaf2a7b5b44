"""The PostgreSQL store on a disk without room: what is not kept is not acknowledged, and room makes it work again.

The disk is a small file system in memory, filled with something else; mounting it takes the rights of an administrator.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from penstock.broker.local import LocalBroker
from penstock.core.errors import StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DescribeQueue, Receive, Send, Sent, Settle
from penstock.core.settlements import Settled, Settlement
from penstock.store import open_store
from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.xdist_group("postgres-full-disk"), pytest.mark.timeout(120)]
_DISK_BYTES = 160 << 20
_LEFT_BYTES = 2 << 20
_MOST_SENDS = 300


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    disk = tempfile.mkdtemp(prefix="penstock-disk-")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0777", "tmpfs", disk]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        os.rmdir(disk)
        pytest.skip("a small file system cannot be mounted here")
    try:
        with monkeypatch.context() as there:
            there.setattr("tempfile.tempdir", disk)
            server = PostgresServer(is_durable=True, max_wal_size="48MB", min_wal_size="32MB")
        yield server
        server.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
        os.rmdir(disk)


async def test_a_full_disk_refuses_sends_and_loses_none_that_were_accepted(server: PostgresServer) -> None:
    broker = LocalBroker(await open_store(server.url))
    await broker.perform(CreateQueue("q"))
    filling = server.folder.parent / "something else"
    free = shutil.disk_usage(server.folder).free
    with filling.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - _LEFT_BYTES)
    accepted: set[str] = set()
    refusal: StoreUnavailable | None = None
    for _ in range(_MOST_SENDS):
        try:
            outcomes = (await broker.perform(Send("q", (Draft(os.urandom(20_000).hex()),) * 2))).outcomes
        except StoreUnavailable as error:
            refusal = error
            break
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        accepted |= {outcome.message_id for outcome in outcomes if isinstance(outcome, Sent)}
    assert accepted
    assert refusal is not None
    assert "full" in f"{refusal} {refusal.problem.hint}", refusal
    counts = (await broker.perform(DescribeQueue("q"))).queue.counts
    assert counts.ready == len(accepted)

    filling.unlink()
    (after,) = (await broker.perform(Send("q", (Draft("there is room"),)))).outcomes
    assert isinstance(after, Sent)
    accepted.add(after.message_id)
    deleted: list[str] = []
    async with asyncio.timeout(60):
        while len(deleted) < len(accepted):
            found = (await broker.perform(Receive("q", 50, wait_seconds=0))).deliveries
            assert found, "messages that were accepted are gone"
            ends = tuple(Settlement("q", each.receipt_handle) for each in found)
            outcomes = (await broker.perform(Settle(ends))).outcomes
            assert {each.result for each in outcomes} == {Settled.DONE}
            deleted += [each.message_id for each in found]
    assert sorted(deleted) == sorted(accepted)
    await broker.aclose()
