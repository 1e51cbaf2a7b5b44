"""Tasks: functions that can be sent to run elsewhere, and the options of a call."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from msgspec import Struct, structs

from penstock.core.errors import InvalidRequest
from penstock.core.messages import HIGHEST_PRIORITY, Draft
from penstock.worker.arguments import Arguments
from penstock.worker.envelope import Envelope, seal
from penstock.worker.jobs import AsyncJob, Job
from penstock.worker.limits import Limit
from penstock.worker.outbox.outbox import AsyncOutbox, Outbox
from penstock.worker.outcomes import RetryPolicy
from penstock.worker.runtime import Runtime
from penstock.worker.sending import Request
from penstock.worker.unique import Claim, Unique, unique_key
from penstock.worker.workflows.calls import Call
from penstock.worker.workflows.chains import Group

P = ParamSpec("P")
R = TypeVar("R")

RunsIn = Literal["async", "thread", "process"]
OnFailure = Literal["skip", "block", "park"]


class TaskOptions(Struct, frozen=True, kw_only=True):
    """How the jobs of a task are run.

    Attributes:
        queue: where they wait.
        runs_in: ``async`` on the worker's event loop, ``thread``, or ``process``: in a process of its own kind, which
            can be killed. Not given: async functions are async, others run in threads.
        retry: which failures get another attempt.
        time_limit_seconds: how long an attempt may take. ``None``: as long as it wants.
        memory_limit_mb: how much memory (RSS, MiB) an attempt may use; in processes only.
        priority: 0 to 9, higher first.
        on_failure: what happens to the other jobs of a job's ordered key when it has failed for good. ``skip``: they
            go on without it. ``block``: it stays at the head, and they wait until the key is resumed, which tries it
            again. ``park``: it goes to the dead letters, and they wait until the key is resumed.
        result_seconds: how long its end and result are known. ``None``: as the app says.
        crash_limit: a job that lost its worker so often is given up. Before the last time it runs on trial, together
            with no other such job, so that none is given up for what another one did.
        unique: while one is there, another like it is not sent; jobs of workflows are not asked. ``None``: they may be.
        limits: how many may start in a time, or run at once, on all workers together.
    """

    queue: str = "default"
    runs_in: RunsIn | None = None
    retry: RetryPolicy = RetryPolicy()
    time_limit_seconds: float | None = None
    memory_limit_mb: int | None = None
    priority: int = 0
    on_failure: OnFailure = "skip"
    result_seconds: float | None = None
    crash_limit: int = 3
    unique: Unique | None = None
    limits: tuple[Limit, ...] = ()


class CallOptions(Struct, frozen=True, kw_only=True):
    """What can be said of one call, or of several.

    Attributes:
        queue, priority: instead of the task's.
        delay_seconds: not to start before so long from now.
        at: not to start before this instant; aware, or in local time.
        key: jobs of one key run one at a time and in order (see ``QueueDefinition.keys``).
        deduplication_id: a second job with the same id within the queue's window is not sent.
        job_id: a UUID; sending an id that is still kept is harmless.
    """

    queue: str | None = None
    priority: int | None = None
    delay_seconds: float | None = None
    at: datetime | None = None
    key: str | None = None
    deduplication_id: str | None = None
    job_id: str | None = None


class Sender(Generic[P, R]):
    """Sends calls of one task, with certain options."""

    def __init__(self, task: "Task[P, R]", options: CallOptions) -> None:
        self._task = task
        self._call_options = options

    @property
    def task(self) -> "Task[P, R]":
        """The task that is called."""
        return self._task

    @property
    def call_options(self) -> CallOptions:
        """What is said of each call."""
        return self._call_options

    @property
    def has_id(self) -> bool:
        """Whether what is sent has an id of the caller's."""
        return self._call_options.job_id is not None or self._call_options.deduplication_id is not None

    def call(self, *args: Any, **kwargs: Any) -> Call[R]:
        """Return a call that is not sent yet, a step of a workflow. Arguments may be missing: see ``Call``."""
        return Call(self, args, kwargs)

    def map(self, values: Iterable[Any]) -> Group:
        """Return a call for each value, side by side: ``chord(fetch.map(urls), summarise.call())``."""
        return Group([self.call(value) for value in values])

    def starmap(self, calls: Iterable[Iterable[Any]]) -> Group:
        """Return a call for each tuple of arguments, side by side."""
        return Group([self.call(*args) for args in calls])

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Send a job and return it, without waiting for it to run.

        Raises:
            WrongArguments: the task cannot be called like this; nothing was sent.
            JobExists: it is unique and there already, and its task wants that to be an error.
        PenstockError: it could not be sent.
        """
        request = self.request(args, kwargs)
        app = self._task.app
        (job_id,) = app.send_requests((request,))
        return Job(AsyncJob(app, job_id))

    async def asend(self, *args: P.args, **kwargs: P.kwargs) -> AsyncJob[R]:
        """The same in async code."""
        request = self.request(args, kwargs)
        app = self._task.app
        (job_id,) = await app.asend_requests((request,))
        return AsyncJob(app, job_id)

    def send_in(self, connection: Any, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Write a job into the outbox of a database connection, in its transaction; see ``App.outbox``."""
        return Outbox(self._task.app, connection).send(self, *args, **kwargs)

    async def asend_in(self, connection: Any, *args: P.args, **kwargs: P.kwargs) -> AsyncJob[R]:
        """The same for an async connection."""
        return await AsyncOutbox(self._task.app, connection).send(self, *args, **kwargs)

    def send_many(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[Job[R]]:
        """Send many jobs of this task with few operations.

        Args:
            calls: the arguments of each, by position or by name.

        Raises:
            WrongArguments: one of the calls is wrong; nothing was sent.
            SomeRefused: some were not accepted.
        """
        requests = self.requests(calls)
        app = self._task.app
        return [Job(AsyncJob(app, job_id)) for job_id in app.send_requests(requests)]

    async def asend_many(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[AsyncJob[R]]:
        """The same in async code."""
        requests = self.requests(calls)
        app = self._task.app
        return [AsyncJob(app, job_id) for job_id in await app.asend_requests(requests)]

    def requests(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[Request]:
        """Return what would be sent for many calls."""
        if self.has_id:
            raise InvalidRequest("Many jobs cannot share one id.", hint="Leave job_id and deduplication_id out.")
        return [self.request((), call) if isinstance(call, Mapping) else self.request(call, {}) for call in calls]

    def request(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Request:
        """Return what would be sent for a call. Raises WrongArguments."""
        given, results = self._task.arguments.encode(args, kwargs)
        unique = self._task.options.unique
        if unique is None:
            return self.wrap(Envelope(self._task.name, given, results))
        key = unique_key(self._task.name, self._task.arguments.values(args, kwargs, unique.by))
        envelope = Envelope(self._task.name, given, results)
        if unique.for_seconds is None:
            which = "holds" if unique.until == "ended" else "holds_until_started"
            envelope = structs.replace(envelope, **{which: (key,)})
        request = self.wrap(envelope)
        return structs.replace(request, claim=Claim(key, unique))

    def wrap(self, envelope: Envelope) -> Request:
        """Return a job as it is sent."""
        options, task = self._call_options, self._task.options
        app = self._task.app
        queue = options.queue or task.queue
        return Request(
            queue,
            Draft(
                seal(app.stamp(envelope)),
                delay_seconds=options.delay_seconds,
                deliver_at=None if options.at is None else round(options.at.timestamp() * 1000),
                priority=task.priority if options.priority is None else options.priority,
                group_id=options.key,
                deduplication_id=options.deduplication_id,
                message_id=options.job_id or app.new_id(queue, options.key),
            ),
        )


class Task(Sender[P, R]):
    """A function that jobs run. Calling it calls the function, here and now.

    Attributes:
        app: whose task it is.
        name: what jobs call it; unique in the app.
        function: what is run.
        options: how.
        arguments: its parameters as JSON.
        is_async: whether the function is a coroutine function.
    """

    def __init__(
        self, app: Runtime, name: str, function: Callable[P, Any], options: TaskOptions, *, is_async: bool
    ) -> None:
        super().__init__(self, CallOptions())
        self.app = app
        self.name = name
        self.function = function
        self.options = options
        self.is_async = is_async
        self.arguments = Arguments(function, name)
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", name)
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Task({self.name!r})"

    @property
    def runs_in(self) -> RunsIn:
        """Where its jobs run."""
        return self.options.runs_in or ("async" if self.is_async else "thread")

    def with_options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay_seconds: float | None = None,
        at: datetime | None = None,
        key: str | None = None,
        deduplication_id: str | None = None,
        job_id: str | None = None,
    ) -> Sender[P, R]:
        """Return a sender of this task with options; they mean what they mean in ``CallOptions``.

        Raises:
            InvalidRequest: they contradict each other.
        """
        if delay_seconds is not None and at is not None:
            raise InvalidRequest("A job has a delay or an instant, not both.", field="at")
        if delay_seconds is not None and delay_seconds < 0:
            raise InvalidRequest("A delay is not negative.", field="delay_seconds")
        if priority is not None and not 0 <= priority <= HIGHEST_PRIORITY:
            raise InvalidRequest(f"A priority is 0 to {HIGHEST_PRIORITY}.", field="priority")
        options = CallOptions(
            queue=queue,
            priority=priority,
            delay_seconds=delay_seconds,
            at=at,
            key=key,
            deduplication_id=deduplication_id,
            job_id=job_id,
        )
        return Sender(self, options)

    def changed(self, **changes: Any) -> "Task[P, R]":
        """Return this task with other options (of ``TaskOptions``), under the same name; for tests."""
        return Task(
            self.app, self.name, self.function, structs.replace(self.options, **changes), is_async=self.is_async
        )
