"""Several processes work on one database file without a server, and are killed with SIGKILL at random moments."""

import asyncio
import os
import sys
from pathlib import Path
from random import Random, SystemRandom
from time import monotonic

import msgspec
import pytest

from penstock.broker.local import LocalBroker
from penstock.core.operations import CreateQueue, DescribeQueue, Receive, ReleaseLeases, Settle
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settled, Settlement
from penstock.store.sqlite import SqliteStore
from tests.faults.consistency import check_consistency
from tests.faults.ledger import Delivery, Ledger
from tests.faults.server_process import environment
from tests.faults.worker_process import ORDERED, PLAIN, Line

KILLS = 15
_WORKERS = 3
_GROUPS_EACH = 8
_LEASE_SECONDS = 2
_PATIENCE_SECONDS = 30

_decode = msgspec.json.Decoder(Line).decode


class Workers:
    """The worker processes, one for each slot, and everything they have said.

    Args:
        path: the database file.
        log: where they write errors.
    """

    def __init__(self, path: Path, log: Path) -> None:
        self.lines: list[Line] = []
        self.owner: dict[int, str] = {}
        self._path = path
        self._log = log
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._readers: dict[int, asyncio.Task[None]] = {}
        self._has_said = asyncio.Event()

    async def start(self, slot: int, name: str) -> None:
        """Start the process of a slot."""
        groups = [f"group-{slot}-{number}" for number in range(_GROUPS_EACH)]
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.worker_process", str(self._path), name, *groups),
                env=environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 20,
            )
        self.owner[slot] = name
        self._processes[slot] = process
        self._readers[slot] = asyncio.ensure_future(self._read(process))

    async def kill(self, slot: int) -> str:
        """Kill the process of a slot at once; return the owner of its leases when all it said is read."""
        status = self._processes[slot].returncode
        assert status is None, f"exit status {status}; its log:\n{self._log.read_text()}"
        self._processes[slot].kill()
        await self._readers[slot]
        await self._processes[slot].wait()
        return self.owner[slot]

    async def said(self, more: int) -> None:
        """Return when so many more lines were said by all."""
        wanted = len(self.lines) + more
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while len(self.lines) < wanted:
                self._has_said.clear()
                await self._has_said.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if line.endswith(b"\n"):  # the last one may be cut off
                self.lines.append(_decode(line))
                self._has_said.set()


@pytest.mark.timeout(180)
async def test_what_processes_did_survives_the_sudden_death_of_any_of_them(tmp_path: Path) -> None:
    seed = int(os.environ.get("PENSTOCK_FAULT_SEED", 0)) or SystemRandom().randrange(1, 10**9)
    print(f"PENSTOCK_FAULT_SEED={seed}")
    random = Random(seed)
    path = tmp_path / "penstock.db"
    broker = LocalBroker(await SqliteStore.open(path))
    await broker.perform(CreateQueue(PLAIN, QueueChanges(visibility_timeout_seconds=_LEASE_SECONDS)))
    changes = QueueChanges(is_fifo=True, group_order="strict", visibility_timeout_seconds=_LEASE_SECONDS)
    await broker.perform(CreateQueue(ORDERED, changes))
    workers = Workers(path, tmp_path / "workers.log")
    for slot in range(_WORKERS):
        await workers.start(slot, f"{slot}.0")
    released: dict[str, float] = {}
    for kill in range(1, KILLS + 1):
        await workers.said(random.randrange(50, 1000))
        await asyncio.sleep(0.003 * random.random())
        slot = random.randrange(_WORKERS)
        dead = await workers.kill(slot)
        if random.random() < 0.5:
            released[dead] = monotonic()
            await broker.perform(ReleaseLeases(dead))
        await workers.start(slot, f"{slot}.{kill}")
    for slot in range(_WORKERS):
        await workers.kill(slot)
    drained = [line for queue in (PLAIN, ORDERED) for line in await _drain(broker, queue)]
    await broker.aclose()
    for ledger in _ledgers(sorted([*workers.lines, *drained], key=lambda line: line.at), released):
        ledger.verify()
        print(f"{ledger.name}: {len(ledger.messages)} sent, {ledger.answers} answers")
    check_consistency(path)
    assert (tmp_path / "workers.log").read_text() == ""


async def _drain(broker: LocalBroker, queue: str) -> list[Line]:
    """Receive and delete until nothing is left; leases of the dead end by themselves."""
    lines = []
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            counts = (await broker.perform(DescribeQueue(queue))).queue.counts
            if counts.ready + counts.delayed + counts.in_flight == 0:
                return lines
            asked_at = monotonic()
            found = (await broker.perform(Receive(queue, 100, wait_seconds=3))).deliveries
            told = tuple(
                (each.message_id, each.receipt_handle, each.body, each.receive_count, each.sequence_number)
                for each in found
            )
            lines.append(Line(monotonic(), "", queue, "received", asked_at=asked_at, deliveries=told))
            for each in found:
                lines.append(Line(monotonic(), "", queue, "deleting", receipt_handle=each.receipt_handle))
            settled = await broker.perform(Settle(tuple(Settlement(queue, each.receipt_handle) for each in found)))
            assert all(outcome.result is Settled.DONE for outcome in settled.outcomes)
            for each in found:
                lines.append(
                    Line(monotonic(), "", queue, "deleted", receipt_handle=each.receipt_handle, outcome=Settled.DONE)
                )


def _ledgers(lines: list[Line], released: dict[str, float]) -> list[Ledger]:
    """Write down in ledgers what the lines say, in the order in which it happened."""
    now = 0.0
    ledgers = {queue: Ledger(queue, _LEASE_SECONDS, lambda: now) for queue in (PLAIN, ORDERED)}
    held: dict[str, Delivery] = {}
    for line in lines:
        now = line.at
        ledger = ledgers[line.queue]
        if line.what == "sending":
            ledger.sending_as(line.key, line.body, line.group)
        elif line.what == "sent":
            ledger.sent(ledger.messages[line.key], line.message_id, line.sequence)
        elif line.what == "received":
            for delivery in ledger.received(line.asked_at, list(line.deliveries), line.lease_seconds):
                held[delivery.receipt_handle] = delivery
                delivery.held_until = min(delivery.held_until, released.get(line.owner, delivery.held_until))
        elif line.what == "deleting":
            ledger.deleting(held[line.receipt_handle])
        elif line.outcome == Settled.DONE:
            ledger.deleted(held[line.receipt_handle], is_sure=True)
        else:
            ledger.not_deleted(held[line.receipt_handle])
    return list(ledgers.values())
