"""A queue of several partitions when one of the Redis servers that they are on is killed."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.broker.system import SystemEntropy
from penstock.core.errors import StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import Refused, Sent
from penstock.core.placement import homes, slot_of
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settled, Settlement
from penstock.store import open_store
from penstock.store.contract import Store
from tests.support.redis_server import RedisServer

ENTROPY = SystemEntropy()
KEPT = {"appendonly": "yes", "appendfsync": "always"}


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[RedisServer]]:
    servers = []
    for number in range(2):
        directory = tmp_path / f"redis-{number}"
        directory.mkdir()
        servers.append(RedisServer(directory, **KEPT).start())
    yield servers
    for server in servers:
        server.kill()


async def drained(store: Store, count: int) -> set[str]:
    """Receive and delete until so many messages have come; return their bodies."""
    found: set[str] = set()
    async with asyncio.timeout(20):
        while len(found) < count:
            received = await store.receive("q", ENTROPY.tokens(10), None, now())
            settlements = [Settlement("q", each.receipt_handle) for each in received.deliveries]
            for outcome in await store.settle(settlements, now()) if settlements else ():
                assert outcome.result is Settled.DONE
            found |= {each.body for each in received.deliveries}
            await asyncio.sleep(0)
    return found


@pytest.mark.timeout(60)
async def test_the_partitions_on_the_others_go_on_while_a_server_is_away(servers: list[RedisServer]) -> None:
    url = f"redis://{','.join(f'127.0.0.1:{server.port}' for server in servers)}?patience_seconds=0.3"
    store = await open_store(url)
    await store.create_queue("q", QueueChanges(partitions=4), 0, now())
    drafts = [Draft(str(number), message_id=ENTROPY.message_id(now())) for number in range(80)]
    assert {type(each) for each in await store.send("q", drafts, now())} == {Sent}
    # the one that says how many partitions there are
    away = homes(2)[slot_of("q#0")]
    there = {
        draft.body for draft in drafts if homes(2)[slot_of(f"q#{int((draft.message_id or '')[-12:], 16) % 4}")] != away
    }
    assert len(there) in range(20, 61)
    servers[away].kill()

    assert await drained(store, len(there)) == there
    other = await open_store(url)  # a process that knew nothing of the queue
    more = [Draft(f"more {number}", message_id=ENTROPY.message_id(now())) for number in range(40)]
    outcomes = await other.send("q", more, now())
    accepted = {draft.body for draft, each in zip(more, outcomes, strict=True) if isinstance(each, Sent)}
    refused = [each for each in outcomes if isinstance(each, Refused)]
    assert len(accepted) + len(refused) == 40
    assert {each.problem.code for each in refused} == {StoreUnavailable.code}
    assert await drained(other, len(accepted)) == accepted
    await other.aclose()

    servers[away].start()
    assert await drained(store, 80 - len(there)) == {str(number) for number in range(80)} - there
    await store.aclose()
