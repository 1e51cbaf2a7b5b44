"""What a server and a worker tell Prometheus, by running both: names of metrics with the labels they have."""

import re
from collections.abc import Iterable
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from penstock.broker.timed import timed
from penstock.server.counting import Counting
from penstock.store.memory import MemoryStore
from penstock.testing.jobs import app_under_test
from penstock.worker import App, PrometheusMetrics
from penstock.worker.context import running_job
from tests.support.server import serving

ROOT = Path(__file__).resolve().parents[2]

NAME = re.compile(r"\b(?:penstock|process|python)_\w+\b|\bup\b")
SELECTOR = re.compile(r"([a-zA-Z_]\w*)\{([^}]*)\}")
OF_EVERY_TARGET = {"job", "instance"}


async def told_by_a_server() -> list[Metric]:
    """Return the families of a server that has done a little of everything."""
    counting = Counting()
    store = timed(MemoryStore(), counting.of_store)
    async with serving(store, counting=counting) as server, httpx.AsyncClient(base_url=server.url) as http:
        await http.post("/v1/queues", json={"queue": "orders-dead"})
        redrive = {"dead_letter_queue": "orders-dead", "max_receive_count": 3}
        await http.post("/v1/queues", json={"queue": "orders", "settings": {"redrive": redrive}})
        await http.post("/v1/queues/orders/messages", json={"messages": [{"body": "a"}]})
        for _ in range(2):
            answer = await http.post("/v1/queues/orders/receive", json={"visibility_timeout_seconds": 0})
        await http.delete(f"/v1/queues/orders/deliveries/{answer.json()['deliveries'][0]['receipt_handle']}")
        return [*text_string_to_metric_families((await http.get("/metrics")).text)]


async def told_by_a_worker() -> list[Metric]:
    """Return the families of a worker's middleware after a job."""
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    app = App("memory://", middleware=[metrics])

    @app.task(name="greet")
    async def greet() -> None:
        job = running_job()
        assert job is not None
        metrics.lease_lost(job)

    async with app_under_test(app) as under_test:
        await greet.asend()
        await under_test.run_until_idle()
    return [*registry.collect()]


def labels_by_name(families: Iterable[Metric]) -> dict[str, set[str]]:
    """Return the labels that a query may ask for, by the name that it must use."""
    found: dict[str, set[str]] = {"up": OF_EVERY_TARGET}
    for family in families:
        labels = {label for sample in family.samples for label in sample.labels} | OF_EVERY_TARGET
        if family.type == "counter":
            found[f"{family.name}_total"] = labels
        elif family.type == "histogram":
            found |= {f"{family.name}{end}": labels for end in ("_bucket", "_sum", "_count")}
        else:
            found[family.name] = labels
    return found
