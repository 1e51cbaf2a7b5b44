"""The worker framework: functions as tasks, their jobs in queues, workers that run them."""

from penstock.worker.app import App
from penstock.worker.context import JobContext, current_job
from penstock.worker.dead_letters import Cause, DeadJob
from penstock.worker.following import Change
from penstock.worker.jobs import AsyncJob, Job, JobCancelled, JobFailed, JobUnknown, ResultNotReady
from penstock.worker.keys import AsyncOrderedKey, KeyView, OrderedKey
from penstock.worker.limits import Concurrency, Rate
from penstock.worker.metrics import PrometheusMetrics
from penstock.worker.middleware import Middleware
from penstock.worker.outcomes import (
    Backoff,
    Cancelled,
    Fail,
    Interrupted,
    LeaseLost,
    MemoryLimitExceeded,
    ProcessDied,
    Retry,
    RetryPolicy,
    TimeLimitExceeded,
)
from penstock.worker.records import Status
from penstock.worker.schedules.records import ScheduleRecord
from penstock.worker.schedules.schedules import ScheduleNotFound
from penstock.worker.sessions import (
    Events,
    SessionIdle,
    SessionInterrupted,
    SessionRecord,
    SessionTask,
    SessionTooLong,
)
from penstock.worker.tasks import Task
from penstock.worker.tracing import Tracing
from penstock.worker.unique import JobExists, Unique
from penstock.worker.workflows.calls import Call
from penstock.worker.workflows.chains import Chain, Group, chain, chord, group
from penstock.worker.workflows.graph import Workflow, WorkflowInvalid
from penstock.worker.workflows.launching import WorkflowExists
from penstock.worker.workflows.nodes import Node
from penstock.worker.workflows.records import WorkflowView
from penstock.worker.workflows.runs import AsyncWorkflowRun, WorkflowRun, WorkflowUnknown

__all__ = [
    "App",
    "AsyncJob",
    "AsyncOrderedKey",
    "AsyncWorkflowRun",
    "Backoff",
    "Call",
    "Cancelled",
    "Cause",
    "Chain",
    "Change",
    "Concurrency",
    "DeadJob",
    "Events",
    "Fail",
    "Group",
    "Interrupted",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobExists",
    "JobFailed",
    "JobUnknown",
    "KeyView",
    "LeaseLost",
    "MemoryLimitExceeded",
    "Middleware",
    "Node",
    "OrderedKey",
    "ProcessDied",
    "PrometheusMetrics",
    "Rate",
    "ResultNotReady",
    "Retry",
    "RetryPolicy",
    "ScheduleNotFound",
    "ScheduleRecord",
    "SessionIdle",
    "SessionInterrupted",
    "SessionRecord",
    "SessionTask",
    "SessionTooLong",
    "Status",
    "Task",
    "TimeLimitExceeded",
    "Tracing",
    "Unique",
    "Workflow",
    "WorkflowExists",
    "WorkflowInvalid",
    "WorkflowRun",
    "WorkflowUnknown",
    "WorkflowView",
    "chain",
    "chord",
    "current_job",
    "group",
]
