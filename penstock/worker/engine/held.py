"""The jobs a worker holds: each a delivery under a lease."""

from msgspec import Raw

from penstock.core.messages import Delivery
from penstock.worker.context import JobContext
from penstock.worker.engine.calling import Attempt
from penstock.worker.engine.runners import Runner
from penstock.worker.envelope import Envelope
from penstock.worker.job_logs import JobLog
from penstock.worker.outcomes import Cancelled, LeaseLost
from penstock.worker.records import NOTHING, JobRecord, Progress
from penstock.worker.tasks import Task


class Held:
    """One job in hand, from its delivery to its settlement.

    Attributes:
        job_id: the job's id.
        delivery, queue: what was received, and from where.
        lease_ms: how long a lease is that begins now.
        received_at, renewed_at, lease_until: in ms on the steady clock of this process.
        envelope, task, context: known once it was looked at.
        record: what was written down of it before.
        attempt: which attempt this is, from 1.
        crash_count: how often it lost its worker since an attempt last ended.
        progress, checkpoint: what the task told; ``has_news``: that has not been written down yet.
        has_slot: whether a slot was taken for it.
        log: what it logged, where that is kept.
        is_settling: its end is under way; nothing is renewed any more.
        stop_reason: why it should not even begin, if it was told so before.
        runner, running: what runs it, and the attempt it runs, while it does.
    """

    __slots__ = (
        "attempt",
        "checkpoint",
        "context",
        "crash_count",
        "delivery",
        "envelope",
        "has_news",
        "has_slot",
        "is_settling",
        "job_id",
        "lease_ms",
        "lease_until",
        "log",
        "progress",
        "queue",
        "received_at",
        "record",
        "renewed_at",
        "runner",
        "running",
        "started_at",
        "stop_reason",
        "task",
    )

    def __init__(self, queue: str, delivery: Delivery, lease_ms: int, now: int, started_at: int = 0) -> None:
        self.queue = queue
        self.job_id = delivery.message_id
        self.delivery = delivery
        # by the length of the lease, not by when the store says it ends: its clock may be another machine's
        self.lease_ms = lease_ms
        self.received_at = self.renewed_at = now
        self.lease_until = now + lease_ms
        self.started_at = started_at
        self.envelope: Envelope | None = None
        self.task: Task[..., object] | None = None
        self.context: JobContext | None = None
        self.record: JobRecord | None = None
        self.attempt = 1
        self.crash_count = 0
        self.progress: Progress | None = None
        self.checkpoint: Raw = NOTHING
        self.has_news = False
        self.has_slot = False
        self.log: JobLog | None = None
        self.is_settling = False
        self.stop_reason: type[Cancelled] | type[LeaseLost] | None = None
        self.runner: Runner | None = None
        self.running: Attempt | None = None

    @property
    def is_suspect(self) -> bool:
        """Whether the job has lost so many workers that it runs on trial: the next one it loses, it is given up."""
        assert self.task is not None
        return self.crash_count >= max(1, self.task.options.crash_limit - 1)

    def tell(self, progress: Progress | None, checkpoint: Raw) -> None:
        """Take down what the task tells; from any thread."""
        if progress is not None:
            self.progress = progress
        if checkpoint:
            self.checkpoint = checkpoint
        self.has_news = True
