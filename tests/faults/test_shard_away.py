"""A store of several shards of which one stands still for longer than any call waits, under load."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from penstock.core.effects import Effects, FollowUp
from penstock.core.errors import StoreUnavailable
from penstock.core.filters import MessageFilter
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settled, Settlement, SettleOutcome
from penstock.store import open_store
from penstock.store.contract import Store
from penstock.store.sharded.shards import AWAY_SECONDS
from tests.faults.redis_at_work import StartServer
from tests.faults.test_shards import ENTROPY, KEPT, LEASE_MS, draft, now, one_each, until_there

AWAY = StoreUnavailable.code
T = TypeVar("T")


class Load:
    """Sends to a queue and empties it, again and again what was refused, and writes down what was answered.

    Args:
        store: is asked.
        queue: which.
        follow_up: each fifth message that is deleted sends one there.
    """

    def __init__(self, store: Store, queue: str, follow_up: str | None = None) -> None:
        self._store, self._queue, self._follow_up = store, queue, follow_up
        self.sent, self.deleted, self.followed = set[str](), list[str](), set[str]()
        self.refusals = 0
        self.longest_seconds = 0.0
        self.goes_on = True

    async def run(self) -> None:
        await asyncio.gather(self._send(), self._take())

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return an answer, and repeat the call as long as there is none."""
        while True:
            began = time.monotonic()
            try:
                answer = await ask()
                if not (isinstance(answer, tuple) and answer and is_unavailable(answer[0])):
                    return answer
            except StoreUnavailable:
                pass
            finally:
                self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
            self.refusals += 1

    async def _send(self) -> None:
        while self.goes_on:
            each = draft()
            await self._asked(lambda each=each: self._store.send(self._queue, [each], now()))  # type: ignore[misc]
            assert each.message_id is not None
            self.sent.add(each.message_id)
            while len(self.sent) - len(self.deleted) > 50 and self.goes_on:  # noqa: ASYNC110 (who deletes need not know who waits)
                await asyncio.sleep(0.01)

    async def _take(self) -> None:
        while self.goes_on:
            received = await self._asked(lambda: self._store.receive(self._queue, ENTROPY.tokens(5), LEASE_MS, now()))
            for each in received.deliveries:
                sends = ()
                if self._follow_up is not None and len(self.deleted) % 5 == 0:
                    sends = (FollowUp(self._follow_up, draft("followed")),)
                settlement = Settlement(self._queue, each.receipt_handle, effects=Effects(sends=sends))
                ask = functools.partial(self._store.settle, [settlement])
                (outcome,) = await self._asked(lambda ask=ask: ask(now()))  # type: ignore[misc]
                assert outcome.result in (Settled.DONE, Settled.GONE)
                self.deleted.append(each.message_id)
                self.followed |= {one.message.message_id or "" for one in sends}
            if not received.deliveries:
                await asyncio.sleep(0.01)


def is_unavailable(outcome: object) -> bool:
    return isinstance(outcome, SettleOutcome) and outcome.problem is not None and outcome.problem.code == AWAY


async def waiting_in(store: Store, queue: str) -> set[str]:
    """Return the ids of all messages of a queue."""
    found, after = set[str](), 0
    while True:
        page, end = await store.peek(queue, MessageFilter(), after, 1000, now())
        found |= {each.message_id for each in page}
        if end is None:
            return found
        after = end


AWAY_FOR_SECONDS = 30


@pytest.mark.timeout(150)
async def test_a_shard_is_away_for_30_seconds_and_the_others_go_on_and_nothing_is_lost(start: StartServer) -> None:
    servers = [start(**KEPT) for _ in range(3)]
    store = await open_store(f"redis://{','.join(f'127.0.0.1:{server.port}' for server in servers)}")
    one, two, away = one_each(store)
    for queue in (one, two, away):
        await store.create_queue(queue, QueueChanges(), 0, now())
    loads = [Load(store, one, away), Load(store, two), Load(store, away)]
    working = [asyncio.ensure_future(load.run()) for load in loads]

    async def sweep() -> None:
        while True:
            await asyncio.sleep(1)
            await store.sweep(1000, now())

    sweeping = asyncio.ensure_future(sweep())
    await asyncio.sleep(1)
    servers[2].pause()
    before = [len(load.deleted) for load in loads]
    for load in loads:
        load.longest_seconds = 0
    await asyncio.sleep(AWAY_FOR_SECONDS)
    went_on = [len(load.deleted) - count for load, count in zip(loads, before, strict=True)]
    print(f"while it was away: {went_on} deleted, longest call {[round(load.longest_seconds, 2) for load in loads]} s")
    assert min(went_on[:2]) > 10 * AWAY_FOR_SECONDS
    assert went_on[2] <= 1, "only an answer that was on its way when the server stopped may still arrive"
    assert loads[2].refusals
    assert not loads[0].refusals + loads[1].refusals
    # what sends to it asks it once in a while whether it is back
    assert max(load.longest_seconds for load in loads[:2]) < 2 * AWAY_SECONDS + 1
    servers[2].resume()
    await until_there(store, away)
    answered = len(loads[2].deleted) + 100
    async with asyncio.timeout(60):
        while len(loads[2].deleted) < answered:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        for load in loads:
            load.goes_on = False
        await asyncio.gather(*working)
        # the outbox is swept, and what waits is emptied
        followed = loads[0].followed
        left = set[str]()
        while not (followed | loads[2].sent) <= {*loads[2].deleted, *left}:
            left |= await waiting_in(store, away)
            await asyncio.sleep(0.1)
    sweeping.cancel()
    assert len(loads[2].deleted) == len(set(loads[2].deleted)), "something was received again after it was deleted"
    for load, queue in zip(loads[:2], (one, two), strict=True):
        assert load.sent == {*load.deleted, *await waiting_in(store, queue)}
        assert len(load.deleted) == len(set(load.deleted))
    await store.aclose()
