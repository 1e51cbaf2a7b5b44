"""Metrics of a worker."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from penstock.core.operations import ReleaseLeases
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Fail, PrometheusMetrics, Retry


@pytest.fixture
def registry(app: App) -> CollectorRegistry:
    registry = CollectorRegistry()
    app.middleware = [PrometheusMetrics(registry, most_names=2)]
    return registry


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0


async def test_attempts_are_counted_and_timed(app: App, under_test: AppUnderTest, registry: CollectorRegistry) -> None:
    ends = iter([None, Retry("again", after=1), Fail("no")])

    @app.task(name="work")
    async def work() -> None:
        if (error := next(ends)) is not None:
            raise error

    await work.asend_many([(), ()])
    await under_test.run_until_idle(jumps=True)
    for outcome in ("succeeded", "retried", "failed"):
        assert value(registry, "penstock_jobs_total", task="work", outcome=outcome) == 1
    assert value(registry, "penstock_job_seconds_count", task="work") == 3
    assert value(registry, "penstock_job_waiting_seconds_count", queue="default") == 2, "of first attempts only"
    assert value(registry, "penstock_slots_in_use") == 0


async def test_the_number_of_series_is_bounded(app: App, under_test: AppUnderTest, registry: CollectorRegistry) -> None:
    for number in range(5):

        @app.task(name=f"task {number}")
        async def some() -> None: ...

        await some.asend()
    await under_test.run_until_idle()
    samples = [each for metric in registry.collect() for each in metric.samples if each.name == "penstock_jobs_total"]
    assert len(samples) == 3
    assert value(registry, "penstock_jobs_total", task="others", outcome="succeeded") == 3


async def test_slots_in_use_and_lost_leases_are_told(
    app: App, under_test: AppUnderTest, registry: CollectorRegistry
) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    @app.task(name="long")
    async def long() -> None:
        begun.set()
        await gate.wait()

    await long.asend()
    worker = under_test.worker(owner="w")
    running = asyncio.create_task(worker.run())
    await begun.wait()
    assert value(registry, "penstock_slots_in_use") == 1
    await under_test.broker.perform(ReleaseLeases("w"))
    for _ in range(15):  # its next renewal finds the lease gone
        under_test.clock.advance(1)
        await asyncio.sleep(0.01)
    assert value(registry, "penstock_leases_lost_total", task="long") == 1
    gate.set()
    worker.drain()
    await running
    assert value(registry, "penstock_slots_in_use") == 0
