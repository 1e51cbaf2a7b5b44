"""Metrics of a worker for Prometheus. The number of series is bounded, whatever tasks and queues are called."""

import time
from typing import TYPE_CHECKING, Any

from penstock.core.errors import InvalidRequest
from penstock.worker.context import JobContext
from penstock.worker.middleware import Middleware
from penstock.worker.outcomes import Done, Failed, Outcome, RetryLater, Stopped, Unfinished

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600)
MOST_NAMES = 200
OTHERS = "others"
OUTCOMES: dict[type, str] = {
    Done: "succeeded",
    RetryLater: "retried",
    Failed: "failed",
    Stopped: "cancelled",
    Unfinished: "given_back",
}


class PrometheusMetrics(Middleware):
    """Middleware that counts and times jobs: ``Penstock(url, middleware=[PrometheusMetrics()])``.

    Args:
        registry: where to register; the client's default if not given.
        most_names: so many tasks and so many queues have series of their own; what comes later is counted together.

    Raises:
        InvalidRequest: the package is not installed.
    """

    def __init__(self, registry: "CollectorRegistry | None" = None, *, most_names: int = MOST_NAMES) -> None:
        try:
            import prometheus_client as prometheus
        except ModuleNotFoundError:
            raise InvalidRequest("prometheus-client is not there.", hint="pip install 'penstock[metrics]'.") from None
        self._registry = registry or prometheus.REGISTRY
        self._exposition = prometheus.generate_latest
        into: Any = {"registry": self._registry}
        self._most_names = most_names
        self._tasks: set[str] = set()
        self._queues: set[str] = set()
        self._attempts = prometheus.Counter(
            "penstock_jobs", "Attempts that have ended, by how.", ("task", "outcome"), **into
        )
        self._seconds = prometheus.Histogram(
            "penstock_job_seconds", "How long attempts took.", ("task",), buckets=SECONDS, **into
        )
        self._waited = prometheus.Histogram(
            "penstock_job_waiting_seconds",
            "From when a job was sent until its first attempt, delays included.",
            ("queue",),
            buckets=SECONDS,
            **into,
        )
        self._lost = prometheus.Counter("penstock_leases_lost", "Jobs lost while they ran.", ("task",), **into)
        self._slots = prometheus.Gauge("penstock_slots_in_use", "Jobs that run in this worker.", **into)

    def exposition(self) -> bytes:
        """Return the metrics of this process, as Prometheus reads them."""
        return self._exposition(self._registry)

    def started(self, job: JobContext) -> None:
        self._slots.inc()
        if job.attempt == 1 and job.sent_at:
            waited_seconds = max(0.0, time.time() - job.sent_at / 1000)
            self._waited.labels(self._name(self._queues, job.queue)).observe(waited_seconds)

    def ended(self, job: JobContext) -> None:
        self._slots.dec()

    def lease_lost(self, job: JobContext) -> None:
        self._lost.labels(self._name(self._tasks, job.task)).inc()

    def settled(self, job: JobContext, outcome: Outcome, seconds: float) -> None:
        name = self._name(self._tasks, job.task)
        self._attempts.labels(name, OUTCOMES[type(outcome)]).inc()
        self._seconds.labels(name).observe(seconds)

    def _name(self, known: set[str], name: str) -> str:
        if name in known:
            return name
        if len(known) >= self._most_names:
            return OTHERS
        known.add(name)
        return name
