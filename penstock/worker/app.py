"""The app: tasks by name, the queues they wait in, and the way to the broker."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ParamSpec, TypeVar, overload

from msgspec import Raw, structs

from penstock.broker.contract import Broker
from penstock.broker.system import Entropy, SystemClock, SystemEntropy
from penstock.core.clock import Clock
from penstock.core.errors import InvalidRequest
from penstock.worker.arguments import TaskInvalid
from penstock.worker.envelope import Envelope
from penstock.worker.jobs import AsyncJob, Job
from penstock.worker.keys import AsyncOrderedKey, OrderedKey, parked_keys
from penstock.worker.middleware import Middleware
from penstock.worker.naming import name_of
from penstock.worker.outcomes import Backoff, RetryPolicy
from penstock.worker.portal import Connect, Portal
from penstock.worker.queues import QueueDefinition
from penstock.worker.sending import Request, send
from penstock.worker.tasks import OnFailure, RunsIn, Task, TaskOptions
from penstock.worker.workflows.graph import KEEP_SECONDS, Workflow
from penstock.worker.workflows.runs import AsyncWorkflowRun, WorkflowRun

P = ParamSpec("P")
R = TypeVar("R")

RESULT_SECONDS = 86_400.0


class App:
    """Tasks and the broker their jobs go through.

    Args:
        connect: opens the broker, on the event loop it will live on.
        clock, entropy: where instants and ids come from.
        result_seconds: how long the end of a job is known, unless its task says otherwise.
        middleware: wraps every sending and every attempt, the first outermost.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        result_seconds: float = RESULT_SECONDS,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self.portal = Portal(connect)
        self.clock: Clock = clock or SystemClock()
        self.entropy: Entropy = entropy or SystemEntropy()
        self.result_seconds = result_seconds
        self.middleware = list(middleware)
        self.tasks: dict[str, Task[..., Any]] = {}
        self.queues: dict[str, QueueDefinition] = {}

    # -- what there is to run ------------------------------------------------------------------------------------------

    @overload
    def task(self, function: Callable[P, Awaitable[R]], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self,
        /,
        *,
        name: str | None = None,
        queue: str = "default",
        runs_in: RunsIn | None = None,
        max_attempts: int | None = None,
        backoff: Backoff | None = None,
        never_retry: tuple[type[BaseException], ...] = (),
        retry: RetryPolicy | None = None,
        time_limit_seconds: float | None = None,
        memory_limit_mb: int | None = None,
        priority: int = 0,
        on_failure: OnFailure = "skip",
        result_seconds: float | None = None,
        crash_limit: int = 3,
    ) -> "TaskMaker": ...
    def task(self, function: Any = None, /, **options: Any) -> Any:
        """Make a function a task: ``@app.task`` or ``@app.task(queue="mail", max_attempts=3)``.

        Args:
            name: what jobs call it; the function's module and name if not given.
            max_attempts, backoff, never_retry: parts of the retry policy, for short.
            retry: the whole of it.
            queue, runs_in, time_limit_seconds, memory_limit_mb, priority, on_failure, result_seconds, crash_limit: as
                in ``TaskOptions``.

        Raises:
            TaskInvalid: it cannot be a task, or there is one of that name.
        """
        maker = TaskMaker(self, options)
        return maker if function is None else maker(function)

    def queue(self, name: str, **settings: Any) -> QueueDefinition:
        """Say how a queue behaves, before it is made: ``app.queue("mail", keys="fair", key_slots=2)``.

        Queues nobody spoke of are made with the defaults of ``QueueDefinition``.
        """
        definition = QueueDefinition(name=name, **settings)
        self.queues[name] = definition
        return definition

    def queue_named(self, name: str) -> QueueDefinition:
        """Return how a queue behaves."""
        return self.queues.get(name) or QueueDefinition(name=name)

    def task_named(self, name: str) -> "Task[..., Any]":
        """Return a task by its name. Raises InvalidRequest: there is none."""
        try:
            return self.tasks[name]
        except KeyError:
            raise InvalidRequest(
                f"There is no task {name!r}.",
                hint=f"There are: {', '.join(sorted(self.tasks)) or 'none'}.",
                field="task",
            ) from None

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job[Any]:
        """Return a job by its id, whether there is one or not."""
        return Job(self.async_job(job_id))

    def async_job(self, job_id: str) -> AsyncJob[Any]:
        """The same for async code."""
        return AsyncJob(self, job_id)

    def workflow(self, workflow_id: str | None = None, *, keep_seconds: float = KEEP_SECONDS) -> Workflow:
        """Begin a workflow: add steps to it, then send it; see ``Workflow``."""
        return Workflow(self, workflow_id, keep_seconds=keep_seconds)

    def workflow_run(self, workflow_id: str) -> WorkflowRun:
        """Return a workflow that was sent, by its id, whether there is one or not."""
        return WorkflowRun(self.async_workflow_run(workflow_id))

    def async_workflow_run(self, workflow_id: str) -> AsyncWorkflowRun:
        """The same for async code."""
        return AsyncWorkflowRun(self, workflow_id)

    def key(self, key: str, queue: str = "default") -> OrderedKey:
        """Return an ordered key of a queue, whether it has jobs or not."""
        return OrderedKey(self.async_key(key, queue))

    def async_key(self, key: str, queue: str = "default") -> AsyncOrderedKey:
        """The same for async code."""
        return AsyncOrderedKey(self, key, queue)

    def parked_keys(self, queue: str = "default") -> list[OrderedKey]:
        """Return the keys of a queue that wait until they are resumed."""
        return [OrderedKey(key) for key in self.portal.run(lambda broker: parked_keys(self, broker, queue))]

    async def async_parked_keys(self, queue: str = "default") -> list[AsyncOrderedKey]:
        """The same for async code."""
        return await self.portal.arun(lambda broker: parked_keys(self, broker, queue))

    async def dispatch(self, broker: Broker, requests: Sequence[Request]) -> list[str]:
        """Send jobs with a broker; see ``sending.send``."""
        return await send(broker, requests, self.queue_named)

    def stamp(self, envelope: Envelope) -> Envelope:
        """Return a job as all middleware lets it be sent."""
        for each in self.middleware:
            envelope = each.sending(envelope)
        return envelope

    def new_id(self) -> str:
        """Mint the id of a job."""
        return self.entropy.message_id(self.clock.now_ms())

    @property
    def result_ms(self) -> int:
        """How long the end of a job is known, in ms."""
        return round(self.result_seconds * 1000)

    def decode_result(self, task: str, result: Raw) -> Any:
        """Return what a job returned, in the type its task says."""
        known = self.tasks.get(task)
        if known is None:
            import msgspec

            return msgspec.json.decode(result)
        return known.arguments.decode_result(result)

    def close(self) -> None:
        """Let go of the broker. The app may be used again."""
        self.portal.close()


class TaskMaker:
    """``@app.task(...)``: makes a task of the function it decorates."""

    def __init__(self, app: App, options: dict[str, Any]) -> None:
        self._app = app
        self._options = options

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        options = dict(self._options)
        name = options.pop("name", None) or name_of(function)
        policy = options.pop("retry", None) or RetryPolicy()
        parts = {
            "max_attempts": options.pop("max_attempts", None),
            "backoff": options.pop("backoff", None),
            "never": options.pop("never_retry", None) or None,
        }
        policy = structs.replace(policy, **{part: value for part, value in parts.items() if value is not None})
        is_async = inspect.iscoroutinefunction(function)
        task = Task[..., Any](self._app, name, function, TaskOptions(retry=policy, **options), is_async=is_async)
        _check(task, self._app)
        self._app.tasks[name] = task
        return task


def _check(task: "Task[..., Any]", app: App) -> None:
    runs_in = task.options.runs_in
    if task.name in app.tasks:
        raise TaskInvalid(
            f"There are two tasks called {task.name}.", hint="Give one of them another name.", field="name"
        )
    if not callable(task.function):
        raise TaskInvalid(f"{task.function!r} is no function.")
    if runs_in == "async" and not task.is_async:
        raise TaskInvalid(f"{task.name} is no async function.", hint="Leave runs_in out.", field="runs_in")
    if task.options.memory_limit_mb is not None and runs_in != "process":
        raise TaskInvalid(
            f"The memory of {task.name} can be limited in a process only.",
            hint='Say runs_in="process".',
            field="memory_limit_mb",
        )
