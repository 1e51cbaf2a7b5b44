"""The worker framework: functions as tasks, their jobs in queues, workers that run them."""

from penstock.worker.app import App
from penstock.worker.context import JobContext, current_job
from penstock.worker.dead_letters import Cause, DeadJob
from penstock.worker.following import Change
from penstock.worker.jobs import AsyncJob, Job, JobCancelled, JobFailed, JobUnknown, ResultNotReady
from penstock.worker.metrics import PrometheusMetrics
from penstock.worker.middleware import Middleware
from penstock.worker.outcomes import Backoff, Cancelled, Fail, LeaseLost, Retry, RetryPolicy, TimeLimitExceeded
from penstock.worker.records import Status
from penstock.worker.schedules.records import ScheduleRecord
from penstock.worker.schedules.schedules import ScheduleNotFound
from penstock.worker.tasks import Task
from penstock.worker.tracing import Tracing
from penstock.worker.workflows.calls import Call, Chain, Group, chain, chord, group
from penstock.worker.workflows.graph import Node, Workflow, WorkflowInvalid
from penstock.worker.workflows.launching import WorkflowExists
from penstock.worker.workflows.records import WorkflowView
from penstock.worker.workflows.runs import AsyncWorkflowRun, WorkflowRun, WorkflowUnknown

__all__ = [
    "App",
    "AsyncJob",
    "AsyncWorkflowRun",
    "Backoff",
    "Call",
    "Cancelled",
    "Cause",
    "Chain",
    "Change",
    "DeadJob",
    "Fail",
    "Group",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobFailed",
    "JobUnknown",
    "LeaseLost",
    "Middleware",
    "Node",
    "PrometheusMetrics",
    "ResultNotReady",
    "Retry",
    "RetryPolicy",
    "ScheduleNotFound",
    "ScheduleRecord",
    "Status",
    "Task",
    "TimeLimitExceeded",
    "Tracing",
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
