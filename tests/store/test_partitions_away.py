"""Queues of several partitions when one of the servers that they are on does not answer."""

import asyncio
from typing import Any, cast

import pytest

from penstock.core.errors import StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import Refused, Sent
from penstock.core.queues import QueueChanges, QueueCounts
from penstock.store.contract import Received, Store
from penstock.store.memory import MemoryStore
from penstock.store.partitioned import PartitionedStore
from penstock.store.partitioned.receiving import LEFT_ALONE_MS

NOW = 1_000_000
IDS = [f"00000000-0000-7000-8000-{number:012x}" for number in range(4)]


class Partly(MemoryStore):
    """A store of which one partition is slow, or is away."""

    def __init__(self) -> None:
        super().__init__()
        self.away: set[str] = set()
        self.asked: list[str] = []
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def receive(self, queue: str, *given: Any, **details: Any) -> Received:
        self.asked.append(queue)
        self._look(queue)
        if queue == "q#3":
            self.is_asked.set()
            await self.may_answer.wait()
        return await super().receive(queue, *given, **details)

    async def send(self, queue: str, *given: Any) -> Any:
        self._look(queue)
        return await super().send(queue, *given)

    def _look(self, queue: str) -> None:
        if queue in self.away:
            raise StoreUnavailable("It is away.")


@pytest.fixture
async def partly() -> Partly:
    return Partly()


@pytest.fixture
async def store(partly: Partly) -> Store:
    store = cast(Store, PartitionedStore(partly))
    await store.create_queue("q", QueueChanges(partitions=4), 0, NOW)
    return store


async def send_one_each(store: Store) -> Any:
    return await store.send("q", [Draft("x", message_id=each) for each in IDS], NOW)


async def take(store: Store, count: int = 9, at: int = NOW) -> Received:
    return await store.receive("q", [number.to_bytes(12, "big") for number in range(count)], None, at)


async def test_a_receive_that_is_cancelled_leaves_nothing_leased(store: Store, partly: Partly) -> None:
    await send_one_each(store)
    partly.may_answer.clear()
    receiving = asyncio.ensure_future(take(store))
    await partly.is_asked.wait()
    assert (await store.describe_queue("q", NOW)).counts.in_flight == 3
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert (await store.describe_queue("q", NOW)).counts == QueueCounts(4, 0, 0)


async def test_partitions_that_are_there_are_served(store: Store, partly: Partly) -> None:
    await send_one_each(store)
    partly.away = {"q#1"}
    assert len((await take(store)).deliveries) == 3
    partly.asked.clear()
    received = await take(store)
    assert "q#1" not in partly.asked, "it is left alone for a while"
    assert received.look_again_at is not None
    assert received.look_again_at <= NOW + LEFT_ALONE_MS
    partly.away = set()
    assert len((await take(store, at=NOW + LEFT_ALONE_MS)).deliveries) == 1


async def test_a_receive_fails_when_no_partition_is_there(store: Store, partly: Partly) -> None:
    partly.away = {f"q#{number}" for number in range(4)}
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await take(store)


async def test_messages_for_partitions_that_are_there_are_accepted(store: Store, partly: Partly) -> None:
    partly.away = {"q#1"}
    outcomes = await send_one_each(store)
    assert [type(each) for each in outcomes] == [Sent, Refused, Sent, Sent]
    assert outcomes[1].problem.code == "store_unavailable"
    with pytest.raises(StoreUnavailable):
        await store.send("q", [Draft("x", message_id=IDS[1])], NOW)
