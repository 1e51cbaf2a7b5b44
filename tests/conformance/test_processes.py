"""Several processes on one store: they share the work, wake each other, and one that dies loses nothing."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from penstock.broker.local import LocalBroker
from penstock.core.messages import Delivery, Draft
from penstock.core.operations import CreateQueue, DescribeQueue, Receive, ReleaseLeases, Send
from penstock.core.queues import QueueChanges, QueueCounts
from penstock.store import open_store
from tests.support import postgres, redis_server
from tests.support.turns import until

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 30
Start = Callable[..., Awaitable[Process]]


@pytest.fixture(params=["sqlite", "redis", "redis-partitions", "postgres"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis-partitions":
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in redis_server.shared_servers())
        return f"redis://{hosts}?tag={quote(str(tmp_path), safe='')}"
    if request.param == "redis":
        return f"{redis_server.shared_server().url}?tag={quote(str(tmp_path), safe='')}"
    if request.param == "postgres":
        server = postgres.shared_server()
        postgres.wipe(server.url, postgres.SCHEMA)
        return f"{server.url}?schema={postgres.SCHEMA}"
    return f"sqlite:///{tmp_path}/penstock.db?durability=os"


@pytest.fixture
async def broker(url: str) -> AsyncIterator[LocalBroker]:
    broker = LocalBroker(await open_store(url))
    # on two servers: two partitions on each
    await broker.perform(CreateQueue("q", QueueChanges(group_order="strict", partitions=4 if "," in url else 1)))
    await broker.perform(CreateQueue("done"))
    yield broker
    await broker.aclose()


@pytest.fixture
async def start(url: str, broker: LocalBroker) -> AsyncIterator[Start]:
    """Start a consumer and return when it is ready."""
    processes: list[Process] = []

    async def start(*arguments: str) -> Process:
        command = (sys.executable, "-m", "tests.support.consumer", url, *arguments)
        processes.append(process := await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE))
        assert await line_of(process) == "ready"
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)).decode().strip()


async def finished(broker: LocalBroker, count: int) -> list[Delivery]:
    """Wait until so many messages have been finished; return what was sent on, in order."""
    found: list[Delivery] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found) < count:
            # much longer than it takes: it ends because the other process says that there is something
            found += (await broker.perform(Receive("done", 100, wait_seconds=600))).deliveries
    return sorted(found, key=lambda delivery: delivery.sequence_number)


async def test_processes_share_the_work_and_keep_each_group_in_order(
    broker: LocalBroker, start: Start, url: str
) -> None:
    await asyncio.gather(start("one"), start("two"))
    expected = defaultdict(list)
    for number in range(60):
        drafts = [Draft(f"{number}-{group}", group_id=group) for group in "abcde"]
        await broker.perform(Send("q", tuple(drafts)))
        for draft in drafts:
            expected[draft.group_id].append(draft.body)
    done = await finished(broker, 300)
    assert len({delivery.message_id for delivery in done}) == len(done) == 300
    if "," in url:
        # what comes from several servers is in no order; when it was received is
        done.sort(key=lambda delivery: (int(delivery.sender_id or 0), int(delivery.body.partition("-")[0])))
    in_order = defaultdict(list)
    for delivery in done:
        in_order[delivery.body.rpartition("-")[2]].append(delivery.body)
    assert in_order == expected
    assert {delivery.group_id for delivery in done} == {"one", "two"}, "one process did all the work"
    described = await broker.perform(DescribeQueue("q"))
    assert described.queue.counts == QueueCounts(0, 0, 0)


async def test_what_a_killed_process_held_goes_to_the_others(broker: LocalBroker, start: Start) -> None:
    killed = await start("killed", "hold")
    await broker.perform(Send("q", tuple(Draft(str(number), group_id="g") for number in range(3))))
    assert await line_of(killed) == "holds 3"
    killed.kill()
    await killed.wait()
    await start("heir")
    assert (await broker.perform(DescribeQueue("q"))).queue.counts == QueueCounts(0, 0, 3)
    assert (await broker.perform(ReleaseLeases("killed"))).released_count == 3
    assert [delivery.body for delivery in await finished(broker, 3)] == ["0", "1", "2"]


async def test_who_follows_is_woken_by_another_process(broker: LocalBroker, url: str) -> None:
    other = LocalBroker(await open_store(url))
    await broker.perform(Send("q", (Draft("1", group_id="g"),)))
    (held,) = (await broker.perform(Receive("q", visibility_timeout_seconds=600))).deliveries
    poll = asyncio.ensure_future(broker.perform(Receive("q", wait_seconds=600, following=held.receipt_handle)))
    await until(lambda: broker.waiting_count == 1, "the follower waits")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await other.perform(Send("q", (Draft("2", group_id="g"),)))
        assert [delivery.body for delivery in (await poll).deliveries] == ["2"]
    await other.aclose()
