"""What Prometheus is told."""

import asyncio
import contextlib
import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.broker.local import LocalBroker
from penstock.broker.observed import Observed
from penstock.broker.timed import timed
from penstock.core.errors import QueueNotFound
from penstock.core.messages import Delivery, Draft
from penstock.core.operations import CreateQueue, DescribeQueue, Operation, Receive, ReceiveReply, Send
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.server import counting, metrics
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from tests.support.server import running_server
from tests.support.turns import until


async def told(http: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """Return the samples by name and label values."""
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_operations_queues_and_waiting_receives_are_told() -> None:
    store, clock = MemoryStore(), ManualClock()
    local = LocalBroker(store, clock)
    async with running_server(store, local=local, clock=clock) as url, httpx.AsyncClient(base_url=url) as http:
        await http.post("/v1/queues", json={"queue": "orders"})
        await http.post("/v1/queues", json={"queue": "idle"})
        await http.post("/v1/queues/orders/messages", json={"messages": [{"body": "a"}, {"body": "b"}]})
        await http.post("/v1/queues/orders/receive", json={})
        await http.get("/v1/queues/nowhere")
        clock.advance(7)
        waiting = asyncio.create_task(http.post("/v1/queues/idle/receive", json={"wait_seconds": 20}))
        await until(lambda: local.waiting_count == 1, "it waits")
        samples = await told(http)
        clock.advance(20)
        await waiting
    assert samples["penstock_operations_total", "CreateQueue", "ok"] == 2
    assert samples["penstock_operations_total", "Send", "ok"] == 1
    assert samples["penstock_operations_total", "DescribeQueue", "queue_not_found"] == 1
    assert samples["penstock_operation_seconds_count", "Send"] == 1
    assert samples["penstock_operation_seconds_bucket", "25.0", "Send"] == 1
    assert samples["penstock_waiting_receives",] == 1
    assert samples["penstock_queue_messages", "orders", "ready"] == 1
    assert samples["penstock_queue_messages", "orders", "in_flight"] == 1
    assert samples["penstock_queue_oldest_message_age_seconds", "orders"] == 7
    assert samples["penstock_queue_sent_total", "orders"] == 2
    assert samples["penstock_queue_received_total", "orders"] == 1
    assert samples["penstock_queues_not_shown",] == 0
    assert samples["process_resident_memory_bytes",] > 0


async def test_deliveries_and_settlements_tell_of_lost_leases() -> None:
    store, clock = MemoryStore(), ManualClock()
    local = LocalBroker(store, clock)
    async with running_server(store, local=local, clock=clock) as url, httpx.AsyncClient(base_url=url) as http:
        await http.post("/v1/queues", json={"queue": "orders"})
        await http.post("/v1/queues/orders/messages", json={"messages": [{"body": "a"}]})
        clock.advance(2)
        first = (await http.post("/v1/queues/orders/receive", json={})).json()["deliveries"][0]
        clock.advance(31)
        second = (await http.post("/v1/queues/orders/receive", json={})).json()["deliveries"][0]
        for delivery in (first, second):
            await http.delete(f"/v1/queues/orders/deliveries/{delivery['receipt_handle']}")
        samples = await told(http)
    assert samples["penstock_redeliveries_total", "orders"] == 1
    assert samples["penstock_message_waiting_seconds_count",] == 1, "only the first delivery ends the waiting"
    assert samples["penstock_message_waiting_seconds_sum",] == 2
    assert samples["penstock_settlements_total", "delete", "stale"] == 1
    assert samples["penstock_settlements_total", "delete", "done"] == 1


async def test_a_queue_that_takes_dead_letters_is_told_apart() -> None:
    store = MemoryStore()
    broker = LocalBroker(store)
    await broker.perform(CreateQueue("dead"))
    await broker.perform(CreateQueue("orders", QueueChanges(redrive=RedrivePolicy("dead", 3))))
    await broker.perform(Send("dead", (Draft("a"), Draft("b"))))
    async with running_server(store) as url, httpx.AsyncClient(base_url=url) as http:
        samples = await told(http)
    assert samples["penstock_queue_dead_letters", "dead"] == 2
    assert ("penstock_queue_dead_letters", "orders") not in samples


async def test_calls_of_the_store_are_timed_also_when_they_fail() -> None:
    counted = counting.Counting()
    store = timed(MemoryStore(), counted.of_store)
    broker = LocalBroker(store)
    await broker.perform(CreateQueue("orders"))
    with pytest.raises(QueueNotFound):
        await broker.perform(Send("nowhere", (Draft("hello"),)))
    calls = {call: sum(each.counts) for call, each in counted.store_seconds.items() if sum(each.counts)}
    assert calls == {"create_queue": 1, "send": 1}
    assert 0 < counted.store_seconds["send"].sum_seconds < 60


async def test_a_scrape_chooses_its_queues() -> None:
    store = MemoryStore()
    for name in ("a-1", "a-2", "b-1"):
        await LocalBroker(store).perform(CreateQueue(name))
    async with running_server(store) as url, httpx.AsyncClient(base_url=url) as http:

        async def shown(query: str) -> set[str]:
            text = (await http.get(f"/metrics{query}")).text
            return set(re.findall(r'^penstock_queue_sent_total\{queue="(.*)"\}', text, re.MULTILINE))

        assert await shown("") == {"a-1", "a-2", "b-1"}
        assert await shown("?prefix=a-") == {"a-1", "a-2"}
        assert await shown("?queues=1") == {"a-1"}
        assert await shown("?queues=0") == set()
        for wrong in ("?queues=1001", "?queues=-1", "?queues=", "?queues=x", "?colour=red"):
            answer = await http.get(f"/metrics{wrong}")
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), wrong


def test_redeliveries_are_counted_by_name_for_so_many_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_QUEUES", 2)
    counted = counting.Counting()
    again = Delivery("id", "handle", "body", 0, 0, 0, 1, receive_count=2)
    for queue in ("a", "b", "c", "d", "a"):
        counted.performed(Receive(queue), "ok", 0.001, ReceiveReply((again,)))
    assert counted.redeliveries == {"a": 2, "b": 1, "(others)": 2}


async def test_the_number_of_queues_told_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_QUEUES", 2)
    store = MemoryStore()
    for name in ("a", "b", "c"):
        await LocalBroker(store).perform(CreateQueue(name))
    async with running_server(store) as url, httpx.AsyncClient(base_url=url) as http:
        samples = await told(http)
    assert ("penstock_queue_messages", "b", "ready") in samples
    assert ("penstock_queue_messages", "c", "ready") not in samples
    assert samples["penstock_queues_not_shown",] == 1


class Notes:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def performed(self, operation: Operation, outcome: str, seconds: float, reply: object) -> None:  # type: ignore[type-arg]
        assert 0 <= seconds < 60
        assert (reply is not None) == (outcome == "ok")
        self.seen.append((type(operation).__name__, outcome))


async def test_every_operation_is_observed_once_with_its_outcome() -> None:
    notes = Notes()
    broker = Observed(LocalBroker(MemoryStore()), notes)
    await broker.perform(CreateQueue("orders"))
    await broker.perform(Send("orders", (Draft("hello"),)))
    with pytest.raises(QueueNotFound):
        await broker.perform(DescribeQueue("nowhere"))
    await broker.perform(Receive("orders"))
    waiting = asyncio.ensure_future(broker.perform(Receive("orders", wait_seconds=20)))
    await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    await broker.aclose()
    assert notes.seen == [
        ("CreateQueue", "ok"),
        ("Send", "ok"),
        ("DescribeQueue", "queue_not_found"),
        ("Receive", "ok"),
        ("Receive", "cancelled"),
    ]
