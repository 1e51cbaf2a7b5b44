"""The write-ahead log as a machine leaves it that lost power amid a write: it ends anywhere, or in rubbish.

Everything that was answered before the place where the log is torn must be there, and nothing half.
"""

import asyncio
import os
import signal
from itertools import count
from pathlib import Path
from random import Random, SystemRandom

import apsw

from penstock.store.sqlite import SqliteStore
from tests.faults.consistency import check_consistency, copy_store
from tests.faults.server_process import ServerProcess
from tests.faults.sqs_connection import ServerGone, SqsConnection, queue_url

_SNAPSHOTS = 8
_TEARS = 4
_LARGEST_LOG_BYTES = 7 << 20
"""Before the log is copied back into the database: then a part of it can be torn that was sure to be on the disk."""


class Log:
    """What was answered, each with the length of the write-ahead log at that moment: it lies before that."""

    def __init__(self, path: Path) -> None:
        self.sent: dict[str, int] = {}
        self.to_delete: set[str] = set()
        self.deleted: dict[str, int] = {}
        self._path = path.with_name(path.name + "-wal")
        self._length = 0
        self._is_longer = asyncio.Event()

    def note(self, answered: dict[str, int], *bodies: str) -> None:
        """These were just answered."""
        self._length = self._path.stat().st_size
        answered.update(dict.fromkeys(bodies, self._length))
        self._is_longer.set()

    async def grown_to(self, length: int) -> None:
        """Return when the write-ahead log is so long."""
        while self._length < length:
            self._is_longer.clear()
            await self._is_longer.wait()


async def test_a_torn_log_holds_everything_answered_before_the_tear(tmp_path: Path) -> None:
    seed = int(os.environ.get("PENSTOCK_FAULT_SEED", 0)) or SystemRandom().randrange(1, 10**9)
    print(f"PENSTOCK_FAULT_SEED={seed}")
    random = Random(seed)
    path = tmp_path / "penstock.db"
    server = ServerProcess(f"sqlite:///{path}", tmp_path / "server.log")
    await server.start()
    log = Log(path)
    snapshots: list[tuple[Path, dict[str, int], dict[str, int]]] = []
    try:
        connections = [await SqsConnection.open(server.port) for _ in range(4)]
        for name, attributes in (("plain", {}), ("ordered.fifo", {"FifoQueue": "true"})):
            await connections[0].call("CreateQueue", QueueName=name, Attributes=attributes)
        clients = [
            asyncio.ensure_future(client)
            for client in (
                _send(connections[0], log, "plain", "a"),
                _send(connections[1], log, "ordered.fifo", "b"),
                _receive_and_delete(connections[2], log, "plain"),
                _receive_and_delete(connections[3], log, "ordered.fifo"),
            )
        ]
        async with asyncio.timeout(60):
            for number, length in enumerate(sorted(random.randrange(_LARGEST_LOG_BYTES) for _ in range(_SNAPSHOTS))):
                await log.grown_to(length)
                folder = tmp_path / f"snapshot-{number}"
                folder.mkdir()
                os.kill(server.pid, signal.SIGSTOP)
                # what is answered already has been written down when the clients have read it
                kept = {body: length for body, length in log.sent.items() if body not in log.to_delete}
                snapshots.append((copy_store(path, folder), kept, dict(log.deleted)))
                os.kill(server.pid, signal.SIGCONT)
    finally:
        await server.kill()
    await asyncio.gather(*clients)
    for connection in connections:
        await connection.aclose()
    for copied, kept, deleted in snapshots:
        for number in range(_TEARS):
            folder = copied.parent / f"torn-{number}"
            folder.mkdir()
            torn = copy_store(copied, folder)
            await _check(torn, _tear(torn, random), kept, deleted)


def _tear(path: Path, random: Random) -> int:
    """Damage the log of a store at random, mostly near its end; return where."""
    log = path.with_name(path.name + "-wal")
    length = log.stat().st_size
    place = random.choice((random.randrange(length), length - random.randrange(min(length, 20_000))))
    whole = log.read_bytes()
    if random.random() < 0.5:
        log.write_bytes(whole[:place])
    else:
        log.write_bytes(whole[:place] + random.randbytes(length - place))
    return place


async def _check(path: Path, torn_at: int, kept: dict[str, int], deleted: dict[str, int]) -> None:
    store = await SqliteStore.open(path)
    await store.aclose()
    check_consistency(path)
    connection = apsw.Connection(str(path))
    found = {
        body
        for (body,) in connection.execute(
            "SELECT coalesce(m.body, b.body) FROM messages m LEFT JOIN bodies b USING (message_key)"
        )
    }
    connection.close()
    lost = [body for body, length in kept.items() if length <= torn_at and body not in found]
    back = [body for body, length in deleted.items() if length <= torn_at and body in found]
    assert not lost, f"torn at {torn_at}: {len(lost)} lost, such as {lost[:5]}"
    assert not back, f"torn at {torn_at}: {len(back)} came back, such as {back[:5]}"


async def _send(connection: SqsConnection, log: Log, queue: str, name: str) -> None:
    """Send by singles and batches until the server is gone."""
    numbers = count()
    try:
        while True:
            bodies = [f"{name}-{next(numbers)} {'x' * 200}" for _ in range(5)]
            first, *others = (_parameters(body, index, queue) for index, body in enumerate(bodies))
            await connection.call("SendMessage", QueueUrl=queue_url(queue), **first)
            log.note(log.sent, bodies[0])
            entries = [{"Id": str(index), **each} for index, each in enumerate(others)]
            answer = await connection.call("SendMessageBatch", QueueUrl=queue_url(queue), Entries=entries)
            assert "Failed" not in answer, answer
            log.note(log.sent, *bodies[1:])
    except ServerGone:
        return


def _parameters(body: str, group: int, queue: str) -> dict[str, str]:
    if queue == "plain":
        return {"MessageBody": body}
    return {"MessageBody": body, "MessageGroupId": f"g{group}", "MessageDeduplicationId": body.split()[0]}


async def _receive_and_delete(connection: SqsConnection, log: Log, queue: str) -> None:
    """Receive by long polls, and delete a part, until the server is gone."""
    url = queue_url(queue)
    try:
        while True:
            answer = await connection.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=5, WaitTimeSeconds=1)
            for each in answer.get("Messages", ()):
                log.to_delete.add(each["Body"])
                await connection.call("DeleteMessage", QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
                log.note(log.deleted, each["Body"])
    except ServerGone:
        return
