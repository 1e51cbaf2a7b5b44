"""The worker framework: functions as tasks, their jobs in queues, workers that run them."""

from penstock.worker.app import App
from penstock.worker.context import JobContext, current_job
from penstock.worker.jobs import AsyncJob, Job, JobCancelled, JobFailed, JobUnknown, ResultNotReady
from penstock.worker.middleware import Middleware
from penstock.worker.outcomes import Backoff, Cancelled, Fail, LeaseLost, Retry, RetryPolicy, TimeLimitExceeded
from penstock.worker.records import Status
from penstock.worker.tasks import Task

__all__ = [
    "App",
    "AsyncJob",
    "Backoff",
    "Cancelled",
    "Fail",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobFailed",
    "JobUnknown",
    "LeaseLost",
    "Middleware",
    "ResultNotReady",
    "Retry",
    "RetryPolicy",
    "Status",
    "Task",
    "TimeLimitExceeded",
    "current_job",
]
