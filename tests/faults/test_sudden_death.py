"""The server is killed with SIGKILL at random moments while many clients are at work; what it answered must hold."""

import asyncio
import os
from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests.faults.consistency import check_consistency, copy_store
from tests.faults.ledger import Ledger
from tests.faults.load import LEASE_SECONDS, Receiver, Sender, receive, until_gone
from tests.faults.server_process import ServerProcess
from tests.faults.sqs_connection import SqsConnection, queue_url

ROUNDS = 20
_GROUPS = 30
_ROUND_SECONDS = 20
_DRAIN_SECONDS = 40


@pytest.mark.timeout(180)
async def test_what_was_answered_survives_the_sudden_death_of_the_server(tmp_path: Path) -> None:
    seed = int(os.environ.get("PENSTOCK_FAULT_SEED", 0)) or SystemRandom().randrange(1, 10**9)
    print(f"PENSTOCK_FAULT_SEED={seed}")
    random = Random(seed)
    store = tmp_path / "penstock.db"
    server = ServerProcess(f"sqlite:///{store}", tmp_path / "server.log")
    plain, ordered = Ledger("plain", LEASE_SECONDS), Ledger("ordered.fifo", LEASE_SECONDS)
    clients = _clients(plain, ordered, random)
    await server.start()
    await create_queues(server.port)
    try:
        for _ in range(ROUNDS):
            working = [asyncio.ensure_future(until_gone(server.port, client.run)) for client in clients]
            await _kill_amid(server, random, working, [plain, ordered])
            (tmp_path / "copy").mkdir(exist_ok=True)
            check_consistency(copy_store(store, tmp_path / "copy"))
            if random.random() < 0.3:
                await _kill_at_start(server, random)
            await server.start()
        await asyncio.gather(drain(server.port, plain), drain(server.port, ordered))
        assert await server.stop() == 0
    finally:
        await server.kill()
    plain.verify()
    ordered.verify()
    check_consistency(store)
    assert "Traceback" not in server.log_text
    print(f"{_told(plain)}; {_told(ordered)}")


def _clients(plain: Ledger, ordered: Ledger, random: Random) -> list[Sender | Receiver]:
    def own() -> Random:
        return Random(random.getrandbits(64))

    groups = [f"group-{number}" for number in range(_GROUPS)]
    return [
        Sender(plain, "a", own()),
        Sender(plain, "b", own()),
        Sender(ordered, "c", own(), groups[::2]),
        Sender(ordered, "d", own(), groups[1::2]),
        *(Receiver(ledger, own()) for ledger in (plain, plain, plain, ordered, ordered, ordered)),
        *(Receiver(ledger, own(), is_fickle=True) for ledger in (plain, ordered)),
    ]


async def create_queues(port: int) -> None:
    connection = await SqsConnection.open(port)
    lease = str(LEASE_SECONDS)
    await connection.call("CreateQueue", QueueName="plain", Attributes={"VisibilityTimeout": lease})
    await connection.call(
        "CreateQueue", QueueName="ordered.fifo", Attributes={"VisibilityTimeout": lease, "FifoQueue": "true"}
    )
    await connection.aclose()


async def _kill_amid(
    server: ServerProcess, random: Random, working: "list[asyncio.Future[None]]", ledgers: list[Ledger]
) -> None:
    """Kill the server some answers from now, at no particular point of a commit; let the clients notice."""
    wanted = sum(ledger.answers for ledger in ledgers) + random.randrange(20, 400)
    async with asyncio.timeout(_ROUND_SECONDS):
        while sum(ledger.answers for ledger in ledgers) < wanted:
            for failed in (client for client in working if client.done()):
                failed.result()
            await asyncio.sleep(0.001 * random.random())
        await asyncio.sleep(0.005 * random.random())
        await server.kill()
        await asyncio.gather(*working)


async def _kill_at_start(server: ServerProcess, random: Random) -> None:
    """Kill the server while it starts: opening the file again is a moment like any other."""
    await server.launch()
    await asyncio.sleep(0.8 * random.random())
    await server.kill()


async def drain(port: int, ledger: Ledger) -> None:
    """Receive and delete until nothing is left."""
    connection = await SqsConnection.open(port)
    url = queue_url(ledger.name)
    async with asyncio.timeout(_DRAIN_SECONDS):
        while await _count(connection, url):
            for delivery in await receive(connection, ledger, 10):
                ledger.deleting(delivery)
                await connection.call("DeleteMessage", QueueUrl=url, ReceiptHandle=delivery.receipt_handle)
                ledger.deleted(delivery)
    await connection.aclose()


async def _count(connection: SqsConnection, url: str) -> int:
    """Return how many messages a queue says it has, in all states."""
    told = await connection.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])
    return sum(int(value) for name, value in told["Attributes"].items() if name.startswith("ApproximateNumberOf"))


def _told(ledger: Ledger) -> str:
    messages = ledger.messages.values()
    deliveries = sum(len(message.deliveries) for message in messages)
    unsure = sum(not message.acknowledged for message in messages)
    return f"{ledger.name}: {len(messages)} sent ({unsure} without an answer), {deliveries} deliveries"
