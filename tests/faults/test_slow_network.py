"""Redis and PostgreSQL behind a network that delays, drops connections and loses answers, under load."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from penstock.broker.local import LocalBroker
from penstock.core.errors import StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DescribeQueue, Receive, Send, Sent, Settle
from penstock.core.settlements import Settled, Settlement
from penstock.store import open_store
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy, cutting_proxy
from tests.support.redis_server import RedisServer
from tests.support.turns import until

pytestmark = [pytest.mark.xdist_group("slow-network"), pytest.mark.timeout(120)]

_CLIENTS = 4
_MESSAGES = 60
_LONGEST_DELAY_SECONDS = 0.01


@pytest.fixture(params=["redis", "postgres"])
def far_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, Callable[[int], str]]]:
    """The port of a server, and the store's URL by the port it is reached at."""
    if request.param == "redis":
        redis = RedisServer(tmp_path).start()
        yield redis.port, lambda port: f"redis://127.0.0.1:{port}?patience_seconds=60"
        redis.kill()
    else:
        postgres = PostgresServer()
        yield postgres.port, lambda port: postgres.url.replace(str(postgres.port), str(port))
        postgres.stop()


@asynccontextmanager
async def reached(far_store: tuple[int, Callable[[int], str]]) -> AsyncIterator[tuple[LocalBroker, LocalBroker, Proxy]]:
    port, url = far_store
    random = Random(os.environ.get("PENSTOCK_FAULT_SEED", 1))
    async with cutting_proxy(port, random) as proxy:
        far, near = [LocalBroker(await open_store(url(each))) for each in (proxy.port, port)]
        await near.perform(CreateQueue("q"))
        try:
            yield far, near, proxy
        finally:
            proxy.longest_delay_seconds = 0
            await far.aclose()
            await near.aclose()


async def test_a_slow_network_that_drops_connections_loses_and_doubles_nothing(
    far_store: tuple[int, Callable[[int], str]],
) -> None:
    sent: dict[str, str] = {}
    deleted: list[str] = []
    async with reached(far_store) as (far, near, proxy):

        async def send(name: int) -> None:
            for number in range(_MESSAGES):
                body = f"{name}-{number}"
                (outcome,) = (await answered(far, Send("q", (Draft(body),)))).outcomes
                assert isinstance(outcome, Sent)
                assert not outcome.is_duplicate
                sent[outcome.message_id] = body

        async def work() -> None:
            while len(deleted) < _CLIENTS * _MESSAGES:
                found = (await answered(far, Receive("q", 5, wait_seconds=0.05))).deliveries
                ends = tuple(Settlement("q", each.receipt_handle) for each in found)
                if ends:
                    outcomes = (await answered(far, Settle(ends))).outcomes
                    assert {each.result for each in outcomes} == {Settled.DONE}
                deleted.extend(each.message_id for each in found)

        async def disturb() -> None:
            for turn in range(10):
                before = len(deleted)
                if turn % 2:
                    proxy.cut()
                else:
                    proxy.loses_answers = 1
                await until(lambda: len(deleted) >= min(before + 20, _CLIENTS * _MESSAGES), "work goes on")  # noqa: B023

        proxy.longest_delay_seconds = _LONGEST_DELAY_SECONDS
        async with asyncio.timeout(100):
            await asyncio.gather(*map(send, range(_CLIENTS)), work(), work(), disturb())
        assert sorted(deleted) == sorted(sent), "lost, or handed out again after it was deleted"
        queue = (await near.perform(DescribeQueue("q"))).queue
        assert (queue.sent_total, queue.received_total, queue.deleted_total) == (len(sent),) * 3
        assert (queue.counts.ready, queue.counts.in_flight) == (0, 0)
        assert proxy.lost > 2
        assert proxy.delayed > 100


async def answered(broker: LocalBroker, operation: Any) -> Any:
    """Perform an operation; none of these faults may be seen by a caller."""
    try:
        return await broker.perform(operation)
    except StoreUnavailable as error:
        raise AssertionError(f"{type(operation).__name__} was not tried again: {error}") from error
