"""Workers on queues of several partitions: pinned to some, on all of them, and where what jobs keep lives."""

import logging
from collections.abc import AsyncIterator
from typing import cast

import pytest

from penstock.broker.local import LocalBroker
from penstock.core.operations import CreateQueue, DescribeQueue
from penstock.core.partitions import partition_name, partition_of_key
from penstock.core.queues import QueueChanges
from penstock.store.contract import Store
from penstock.store.memory import MemoryStore
from penstock.store.partitioned import PartitionedStore
from penstock.store.sharded import ShardedStore
from penstock.store.sharded.shards import OUTBOX
from penstock.testing import ManualClock
from penstock.testing.jobs import AppUnderTest, app_under_test
from penstock.worker import App
from penstock.worker.engine.options import QueueShare, parse_partitions, pinned
from tests.support.turns import until
from tests.worker.conftest import nowhere
from tests.worker.workers import working

KEYS = tuple(f"customer-{number}" for number in range(16))


@pytest.fixture
async def shards() -> AsyncIterator[ShardedStore]:
    store = await ShardedStore.open([MemoryStore(), MemoryStore()])
    yield store
    await store.aclose()


@pytest.fixture
async def under_test(shards: ShardedStore) -> AsyncIterator[AppUnderTest]:
    clock = ManualClock()
    broker = LocalBroker(cast(Store, PartitionedStore(cast(Store, shards))), clock)
    async with app_under_test(App(nowhere), broker=broker, clock=clock) as under_test:
        yield under_test


@pytest.fixture
def app(under_test: AppUnderTest) -> App:
    return under_test.app


def place_of(key: str) -> int:
    return partition_of_key("hash", 4, key)


async def test_a_worker_runs_the_jobs_of_its_partitions_and_no_others(app: App, under_test: AppUnderTest) -> None:
    app.queue("orders", partitions=4)
    ran: list[str] = []

    @app.task(queue="orders")
    async def pick(key: str) -> None:
        ran.append(key)

    for key in KEYS:
        await pick.with_options(key=key).asend(key)
    for mine in ((1, 2), (0, 3)):
        ran.clear()
        await under_test.worker(partitions={"orders": mine}).run()
        assert sorted(ran) == sorted(key for key in KEYS if place_of(key) in mine)


async def test_a_pinned_worker_is_woken_by_its_partition(app: App, under_test: AppUnderTest) -> None:
    app.queue("orders", partitions=4)
    ran: list[str] = []

    @app.task(queue="orders")
    async def pick(key: str) -> None:
        ran.append(key)

    mine = place_of(KEYS[0])
    both = (mine, (mine + 1) % 4)
    wanted = [key for key in KEYS if place_of(key) in both]
    async with working(under_test, partitions={"orders": both}):
        for key in KEYS:
            await pick.with_options(key=key).asend(key)
        await until(lambda: len(ran) == len(wanted), "its jobs have run")
    assert sorted(ran) == sorted(wanted)


async def test_a_worker_makes_the_queue_it_is_pinned_to(app: App, under_test: AppUnderTest) -> None:
    app.queue("orders", partitions=8, partitioner="qugo:4")
    await under_test.worker(partitions={"orders": (7,)}).run()
    described = (await under_test.broker.perform(DescribeQueue("orders"))).queue
    assert (described.settings.partitions, described.settings.partitioner) == (8, "qugo:4")


@pytest.mark.parametrize("partitions", [1, 3])
async def test_a_worker_says_that_its_partition_is_not_there(
    app: App, under_test: AppUnderTest, caplog: pytest.LogCaptureFixture, partitions: int
) -> None:
    app.queue("orders")
    await under_test.broker.perform(CreateQueue("orders", QueueChanges(partitions=partitions)))
    with caplog.at_level(logging.WARNING, "penstock.worker"):
        async with working(under_test, partitions={"orders": (3,)}) as worker:
            await until(lambda: "from number 3" in caplog.text, "it has said so")
            assert not worker.is_ready


async def test_the_end_of_a_job_is_one_step_on_the_server_of_its_partition(
    app: App, under_test: AppUnderTest, shards: ShardedStore
) -> None:
    app.queue("orders", partitions=4)

    @app.task(queue="orders")
    async def pick(number: int) -> int:
        return number

    jobs = [await pick.with_options(key=key).asend(0) for key in KEYS] + [await pick.asend(1) for _ in KEYS]
    homes = [shards.home(partition_name("orders", number)) for number in range(4)]
    assert sorted(homes) == [0, 0, 1, 1]
    for key, job in zip(KEYS, jobs, strict=False):
        assert shards.home_of_record(f"any/{job.id}") == homes[place_of(key)]
    await under_test.run_until_idle()
    assert [await job.result(0) for job in jobs] == [0] * len(KEYS) + [1] * len(KEYS)
    for shard in shards.shards:
        assert (await shard.describe_queue(OUTBOX, 0)).sent_total == 0


def test_partitions_are_said_as_numbers_and_ranges() -> None:
    said = parse_partitions(["orders=0,1, 4-6,5", "mail=63"])
    assert said == {"orders": (0, 1, 4, 5, 6), "mail": (63,)}
    shares = pinned((QueueShare("orders", 3), QueueShare("other")), {"orders": (2,)})
    assert shares == (QueueShare("orders", 3, (2,)), QueueShare("other"))
    assert [share.names for share in shares] == [("orders#2",), ("other",)]
