"""PostgreSQL behind PgBouncer in transaction mode: parts of the conformance suite, and what a pooler could spoil."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.broker.local import LocalBroker
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DescribeQueue, Receive, Send, Settle
from penstock.core.settlements import Settled, Settlement
from penstock.store import open_store
from penstock.store.contract import Store
from tests.conformance import test_guards, test_settling
from tests.conformance.implementations import Implementation, opened
from tests.support.pgbouncer import shared_pooler_url
from tests.support.postgres import SCHEMA, shared_server, wipe
from tests.support.world import World

for module in (test_settling, test_guards):
    # a step of 10,000 effects takes seconds here, and is no other than one of ten
    globals().update(
        {name: test for name, test in vars(module).items() if name.startswith("test_") and "10000" not in name}
    )

BEHIND_A_POOLER = f"schema={SCHEMA}&connections=2"


@asynccontextmanager
async def pooled_store(directory: Path) -> AsyncIterator[Store]:
    wipe(shared_server().url, SCHEMA)
    store = await open_store(f"{shared_pooler_url()}&{BEHIND_A_POOLER}")
    try:
        yield store
    finally:
        await store.aclose()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(Implementation("pooled", pooled_store), tmp_path) as world:
        yield world


near_world = world


async def test_many_processes_behind_one_pooler_share_its_few_connections() -> None:
    wipe(shared_server().url, SCHEMA)
    brokers = [LocalBroker(await open_store(f"{shared_pooler_url()}&{BEHIND_A_POOLER}")) for _ in range(8)]
    await brokers[0].perform(CreateQueue("q"))
    done: list[str] = []

    async def send(broker: LocalBroker, name: int) -> None:
        for number in range(10):
            await broker.perform(Send("q", (Draft(f"{name}-{number}"),)))

    async def work(broker: LocalBroker) -> None:
        while len(done) < 80:
            found = (await broker.perform(Receive("q", 5, wait_seconds=0.2))).deliveries
            ends = tuple(Settlement("q", each.receipt_handle) for each in found)
            if ends:
                outcomes = (await broker.perform(Settle(ends))).outcomes
                assert {each.result for each in outcomes} == {Settled.DONE}
            done.extend(each.body for each in found)

    async with asyncio.timeout(60):
        await asyncio.gather(*(send(each, name) for name, each in enumerate(brokers)), *map(work, brokers))
    assert sorted(done) == sorted(f"{name}-{number}" for name in range(8) for number in range(10))
    queue = (await brokers[0].perform(DescribeQueue("q"))).queue
    assert (queue.sent_total, queue.received_total, queue.deleted_total) == (80, 80, 80)
    for broker in brokers:
        await broker.aclose()


async def test_a_long_poll_hears_of_what_another_process_sends() -> None:
    wipe(shared_server().url, SCHEMA)
    one, other = [LocalBroker(await open_store(f"{shared_pooler_url()}&{BEHIND_A_POOLER}")) for _ in range(2)]
    await one.perform(CreateQueue("q"))
    poll = asyncio.ensure_future(one.perform(Receive("q", wait_seconds=600)))
    await other.perform(Send("q", (Draft("x"),)))
    assert [each.body for each in (await asyncio.wait_for(poll, 20)).deliveries] == ["x"]
    await one.aclose()
    await other.aclose()
