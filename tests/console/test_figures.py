"""What the pages are told of queues, over time and as it changes."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from penstock.broker.local import LocalBroker
from penstock.console import sampling
from penstock.console.latencies import MOST_HELD, MOST_TIMES, Timed
from penstock.console.sampling import LOOK_MS, QUICK_MS, SLOW_MS, Sampler
from penstock.console.series import COARSE_MS, FINE_POINTS, Point, Ring, Series
from penstock.core.errors import StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DeleteQueue, ListQueues, Operation, Receive, Send, Settle
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.core.settlements import Settlement
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from tests.console.conftest import Serve, Served
from tests.support.turns import until


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    kind = ""
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


async def send(served: Served, queue: str, count: int) -> None:
    await served.broker.perform(Send(queue, (Draft("x"),) * count))


async def test_the_overview_is_told_now_and_whenever_it_was_looked_at_again(serve: Serve) -> None:
    served = await serve()
    await served.broker.perform(CreateQueue("dead"))
    await served.broker.perform(CreateQueue("orders", QueueChanges(redrive=RedrivePolicy("dead", 3))))
    await send(served, "orders", 4)
    async with served.http.stream("GET", "/console/api/overview") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        told = events(answer)
        kind, first = await anext(told)
        assert kind == "overview"
        await send(served, "orders", 6)
        delivery = (await served.broker.perform(Receive("orders"))).deliveries[0]
        await served.broker.perform(Settle((Settlement("orders", delivery.receipt_handle),)))
        served.clock.advance(LOOK_MS / 1000)
        _, second = await anext(told)
    assert first["totals"]["ready"] == 4  # what is, though nobody looked before
    assert (
        second["totals"] | {"queues": 2, "ready": 9, "sent_per_second": 3.0, "deleted_per_second": 0.5}
        == second["totals"]
    )
    rows = {row["queue"]["name"]: row["queue"] for row in second["rows"]}
    assert (rows["orders"]["dead"], rows["dead"]["dead"], rows["dead"]["takes_dead_letters"]) == (0, None, True)


async def test_rows_are_filtered_sorted_and_paged_by_the_server(serve: Serve) -> None:
    served = await serve()
    for number in range(30):
        await served.broker.perform(CreateQueue(f"queue-{number:02}"))
        await send(served, f"queue-{number:02}", number % 10 + 1)

    async def rows(**query: Any) -> tuple[int, list[str]]:
        async with served.http.stream("GET", "/console/api/overview", params=query) as answer:
            _, said = await anext(events(answer))
            return said["matching"], [row["queue"]["name"] for row in said["rows"]]

    served.clock.advance(LOOK_MS / 1000)
    assert await rows(limit=2, offset=28) == (30, ["queue-28", "queue-29"])
    assert await rows(text="UE-1", limit=1) == (10, ["queue-10"])
    assert await rows(sort="ready", is_descending="true", limit=3) == (30, ["queue-09", "queue-19", "queue-29"])
    assert await rows(is_descending="true", limit=1) == (30, ["queue-29"])
    assert (await served.http.get("/console/api/overview?sort=colour")).status_code == 400


async def test_a_queue_is_told_with_its_history(serve: Serve) -> None:
    served = await serve()
    await served.broker.perform(CreateQueue("orders"))
    async with served.http.stream("GET", "/console/api/queue", params={"queue": "orders"}) as answer:
        told = events(answer)
        assert (await anext(told))[0] == "history"
        for _ in range(3):
            kind, said = await anext(told)
            assert (kind, said["queue"]["name"]) == ("queue", "orders")
            await send(served, "orders", 2)
            served.clock.advance(LOOK_MS / 1000)
        await served.broker.perform(DeleteQueue("orders"))
        told_last = [each async for each in told]
    assert told_last[-1][0] == "problem"
    assert told_last[-1][1]["code"] == "queue_not_found"
    assert (await served.http.get("/console/api/queue?queue=orders")).status_code == 404


async def test_how_long_messages_wait_and_are_held_is_told(serve: Serve) -> None:
    served = await serve()
    await served.broker.perform(CreateQueue("orders"))
    async with served.http.stream("GET", "/console/api/queue", params={"queue": "orders"}) as answer:
        told = events(answer)
        await anext(told)
        _, said = await anext(told)
        assert said["point"][7:] == [None, None]  # nothing was measured
        await send(served, "orders", 3)
        served.clock.advance(0.5)
        received = await served.http.post("/v1/queues/orders/receive", json={"max_messages": 3})
        handles = [each["receipt_handle"] for each in received.json()["deliveries"]]
        served.clock.advance(0.25)
        settlements = [{"queue": "orders", "receipt_handle": each, "action": {"action": "delete"}} for each in handles]
        await served.http.post("/v1/settle", json={"settlements": settlements})
        served.clock.advance(LOOK_MS / 1000)
        _, said = await anext(told)
        assert said["point"][7:] == [0.5, 0.25]
        served.clock.advance(LOOK_MS / 1000)
        _, said = await anext(told)
        assert said["point"][7:] == [None, None]


async def test_of_very_many_queues_rates_are_told_though_no_history_is_kept(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "MOST_SERIES", 1)
    monkeypatch.setattr(sampling, "FEW_QUEUES", 2)
    served = await serve()
    for name in ("a", "b", "c"):
        await served.broker.perform(CreateQueue(name))
    async with served.http.stream("GET", "/console/api/overview") as answer:
        told = events(answer)
        await anext(told)
        await send(served, "c", 6)
        served.clock.advance(LOOK_MS / 1000)
        _, said = await anext(told)
    assert [row["queue"]["sent_per_second"] for row in said["rows"]] == [0, 0, 3]
    assert [len(row["spark"]) for row in said["rows"]] == [1, 0, 0]


class Slow:
    """A broker that lists the first queues at once, and the others when it is told to."""

    def __init__(self, broker: LocalBroker) -> None:
        self._broker = broker
        self.may_go_on = asyncio.Event()

    async def perform(self, operation: Operation[Any]) -> Any:
        if isinstance(operation, ListQueues) and operation.after:
            await self.may_go_on.wait()
        return await self._broker.perform(operation)

    async def aclose(self) -> None:
        await self._broker.aclose()


async def test_of_very_many_queues_the_first_are_shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "PAGE", 2)
    broker = Slow(LocalBroker(MemoryStore()))
    for name in ("a", "b", "c"):
        await broker.perform(CreateQueue(name))
    sampler = Sampler(broker, ManualClock(), lambda queue: None)
    looks = sampler.looks()
    running = asyncio.create_task(sampler.run())
    first = await anext(looks)
    assert ([row.name for row in first.rows], first.is_whole) == (["a", "b"], False)
    broker.may_go_on.set()
    whole = await anext(looks)
    assert ([row.name for row in whole.rows], whole.is_whole) == (["a", "b", "c"], True)
    await looks.aclose()
    running.cancel()
    await broker.aclose()


async def test_who_comes_while_a_look_takes_long_is_shown_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "PAGE", 2)
    broker, clock = Slow(LocalBroker(MemoryStore())), ManualClock()
    for name in ("a", "b", "c"):
        await broker.perform(CreateQueue(name))
    sampler = Sampler(broker, clock, lambda queue: None)
    running = asyncio.create_task(sampler.run())
    broker.may_go_on.set()
    looks = sampler.looks()
    while not (first := await anext(looks)).is_whole:
        pass
    await looks.aclose()
    broker.may_go_on.clear()
    clock.advance(LOOK_MS / 1000)
    looks = sampler.looks()
    coming = asyncio.ensure_future(anext(looks))
    await asyncio.sleep(0)
    assert not coming.done()
    clock.advance(QUICK_MS / 1000)
    assert await coming is first
    broker.may_go_on.set()
    assert (await anext(looks)).at > first.at
    await looks.aclose()
    running.cancel()
    await broker.aclose()


async def test_who_watches_is_told_that_the_store_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "PAGE", 1)
    broker, clock = Slow(LocalBroker(MemoryStore())), ManualClock()
    for name in ("a", "b"):
        await broker.perform(CreateQueue(name))
    sampler = Sampler(broker, clock, lambda queue: None)
    running = asyncio.create_task(sampler.run())
    looks = sampler.looks()
    assert not (await anext(looks)).is_whole
    clock.advance(SLOW_MS / 1000)
    problem = (await anext(looks)).problem
    assert problem is not None
    assert (problem.code, problem.message) == ("store_unavailable", "The store has not answered for 3 s.")
    broker.may_go_on.set()
    clock.advance(LOOK_MS / 1000)
    look = await anext(looks)
    assert (len(look.rows), look.problem) == (2, None)
    await looks.aclose()
    running.cancel()
    await broker.aclose()


async def test_what_is_timed_is_bounded() -> None:
    broker, clock = LocalBroker(MemoryStore()), ManualClock()
    timed = Timed(broker, clock)
    await timed.perform(CreateQueue("q"))
    await timed.perform(Send("q", (Draft("x"),) * 1000))
    await timed.perform(Send("q", (Draft("x"),) * 1000))
    for _ in range(2 * MOST_HELD):
        assert (await timed.perform(Receive("q"))).deliveries
    times = timed.take("q")
    assert times is not None
    assert len(times.waited) <= MOST_TIMES
    assert len(timed._received) == MOST_HELD
    assert timed.take("q") is None
    await timed.aclose()


async def test_a_stream_ends_after_a_while_so_that_rights_are_looked_at_again(serve: Serve) -> None:
    served = await serve()
    async with served.http.stream("GET", "/console/api/overview") as answer:
        told = events(answer)
        await anext(told)
        served.clock.advance(300)
        assert [kind async for kind, _ in told] == ["overview"]


class Counting:
    """A broker that counts how often queues are listed, and may be away."""

    def __init__(self) -> None:
        self.count = 0
        self.is_away = False

    async def perform(self, operation: Operation[Any]) -> Any:
        from penstock.core.operations import QueuesReply

        assert isinstance(operation, ListQueues)
        self.count += 1
        if self.is_away:
            raise StoreUnavailable("away")
        return QueuesReply(())

    async def aclose(self) -> None: ...


async def test_while_nobody_watches_it_looks_every_two_minutes_only() -> None:
    broker, clock = Counting(), ManualClock()
    sampler = Sampler(broker, clock, lambda queue: None)
    running = asyncio.create_task(sampler.run())
    await until(lambda: broker.count == 1, "it looks at first")
    await asyncio.sleep(0)
    clock.advance(COARSE_MS / 1000 - 1)
    assert broker.count == 1
    clock.advance(1)
    await until(lambda: broker.count == 2, "it looks for the history")
    looks = sampler.looks()
    await anext(looks)
    assert broker.count == 3  # who comes sees what is, not what was
    waiting = asyncio.ensure_future(anext(looks))
    for _ in range(3):
        await asyncio.sleep(0)
    clock.advance(LOOK_MS / 1000)
    await waiting
    assert broker.count == 4
    broker.is_away = True
    waiting = asyncio.ensure_future(anext(looks))
    for _ in range(3):
        await asyncio.sleep(0)
    clock.advance(LOOK_MS / 1000)
    assert (await waiting).problem is not None  # and it goes on
    await looks.aclose()
    running.cancel()


@pytest.mark.parametrize("count", [0, 1, 5, 8])
def test_a_ring_keeps_the_latest_points_in_order(count: int) -> None:
    ring = Ring(5)
    points = [Point(1000 * n, n, 2 * n, 3, 0.5, 0.25, n / 2, None if n % 2 else 0.125, n / 4) for n in range(count)]
    for point in points:
        ring.add(point)
    assert list(ring.last(10)) == points[-5:]
    assert list(ring.last(2)) == points[-2:]


async def test_a_series_does_not_grow_without_end(serve: Serve) -> None:
    served = await serve()
    queue = (await served.broker.perform(CreateQueue("q"))).queue
    series = Series()
    for second in range(3 * FINE_POINTS):
        series.note(queue, second * LOOK_MS)
    fine, day, week = series.history()
    assert [len(fine), len(day), len(week)] == [FINE_POINTS, 3 * FINE_POINTS * LOOK_MS // COARSE_MS - 1, 1]
