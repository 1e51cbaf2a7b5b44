"""What Prometheus is told."""

import asyncio
import contextlib
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.broker.local import LocalBroker
from penstock.broker.observed import Observed
from penstock.core.errors import QueueNotFound
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DescribeQueue, Operation, Receive, Send
from penstock.server import metrics
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


async def test_every_metric_is_in_the_documentation() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text().splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith(("| `penstock_", "| `p"))}
    async with running_server(MemoryStore()) as url, httpx.AsyncClient(base_url=url) as http:
        await http.post("/v1/queues", json={"queue": "orders"})
        families = [*text_string_to_metric_families((await http.get("/metrics")).text)]
    told = {f"{family.name}{'_total' * (family.type == 'counter')}": family for family in families}
    assert set(told) == set(rows)
    for name, family in told.items():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert f"| {family.type} |" in rows[name], name
        assert all(f"`{label}`" in rows[name] for label in labels), name


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

    def performed(self, operation: type[Operation], outcome: str, seconds: float) -> None:  # type: ignore[type-arg]
        assert 0 <= seconds < 60
        self.seen.append((operation.__name__, outcome))


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
