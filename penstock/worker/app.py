"""The app: tasks by name, the queues they wait in, and the way to the broker."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, overload

from msgspec import structs

from penstock.core.errors import InvalidRequest
from penstock.worker.arguments import TaskInvalid
from penstock.worker.handles import Handles
from penstock.worker.limits import Limit
from penstock.worker.naming import name_of
from penstock.worker.outbox.outbox import AsyncOutbox, Outbox
from penstock.worker.outbox.relay import Relay, check_connect
from penstock.worker.outcomes import Backoff, RetryPolicy
from penstock.worker.queues import QueueDefinition
from penstock.worker.schedules.records import CatchUp
from penstock.worker.schedules.schedules import Args
from penstock.worker.sessions import MOST_EVENTS, Events, OnIdle, SessionTask
from penstock.worker.tasks import OnFailure, RunsIn, Sender, Task, TaskOptions
from penstock.worker.unique import Unique

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E")

RESULT_SECONDS = 86_400.0


class App(Handles):
    """Tasks and the broker their jobs go through; made as a ``Runtime`` is."""

    tasks: dict[str, Task[..., Any]]

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
        unique: Unique | None = None,
        limits: tuple[Limit, ...] = (),
    ) -> "TaskMaker": ...
    def task(self, function: Any = None, /, **options: Any) -> Any:
        """Make a function a task: ``@app.task`` or ``@app.task(queue="mail", max_attempts=3)``.

        Args:
            name: what jobs call it; the function's module and name if not given.
            max_attempts, backoff, never_retry: parts of the retry policy, for short.
            retry: the whole of it.
            queue, runs_in, time_limit_seconds, memory_limit_mb, priority, on_failure, result_seconds, crash_limit,
                unique, limits: as in ``TaskOptions``.

        Raises:
            TaskInvalid: it cannot be a task, or there is one of that name.
        """
        maker = TaskMaker(self, options)
        return maker if function is None else maker(function)

    def session(
        self,
        *,
        name: str | None = None,
        queue: str = "default",
        idle_seconds: float = 60.0,
        on_idle: OnIdle = "park",
        most_events: int = MOST_EVENTS,
        retry: RetryPolicy | None = None,
        on_failure: OnFailure = "block",
        **options: Any,
    ) -> "Callable[[Callable[[str, Events[E]], Awaitable[Any]]], SessionTask[E]]":
        """Make an async function a session task: see ``penstock.worker.sessions``.

        Args:
            name: what its events call it; the function's module and name if not given.
            queue: where they wait; its keys are ordered.
            idle_seconds, on_idle, most_events: as in ``SessionTask``.
            retry: which failures get another attempt.
            on_failure: what becomes of the events of a session that failed for good: ``block``: they stay, and the key
                is parked until resumed; ``park``: those it was given go to the dead letters, and the key is parked;
                ``skip``: those it was given go to the dead letters, and the key goes on.
            options: others of ``TaskOptions``.

        Raises:
            TaskInvalid: it cannot be a session, or there is a task of that name.
        """

        def make(function: Callable[[str, Events[E]], Awaitable[Any]]) -> SessionTask[E]:
            made = SessionTask[E](
                self,
                name or name_of(function),
                function,
                TaskOptions(queue=queue, retry=retry or RetryPolicy(), on_failure=on_failure, **options),
                idle_seconds=idle_seconds,
                on_idle=on_idle,
                most_events=most_events,
            )
            _check(made, self)
            self.tasks[made.name] = made
            return made

        return make

    def queue(self, name: str, **settings: Any) -> QueueDefinition:
        """Say how a queue behaves, before it is made: ``app.queue("mail", keys="fair", key_slots=2)``.

        Queues nobody spoke of are made with the defaults of ``QueueDefinition``.
        """
        definition = QueueDefinition(name=name, **settings)
        self.queues[name] = definition
        return definition

    @overload
    def schedule(
        self,
        name: str,
        task: Sender[..., Any],
        *,
        args: Args = (),
        cron: str | None = None,
        zone: str = "UTC",
        every_seconds: float | None = None,
        catch_up: CatchUp = "last",
        allows_overlap: bool = True,
    ) -> None: ...
    @overload
    def schedule(
        self,
        name: str,
        *,
        args: Args = (),
        cron: str | None = None,
        zone: str = "UTC",
        every_seconds: float | None = None,
        catch_up: CatchUp = "last",
        allows_overlap: bool = True,
    ) -> Callable[[T], T]: ...
    def schedule(self, name: str, task: Any = None, *, args: Args = (), **rule: Any) -> Any:
        """Send a job again and again: ``app.schedule("nightly", report, cron="0 3 * * *", zone="Europe/Berlin")``.

        Or as a decorator, above ``@app.task``. Any number of workers may run: each occurrence is sent once. When a
        worker starts, it writes down what the code declares, and removes what it declared before and does not now.

        Args:
            name: names it in the store.
            task: a task, or a task with options (``report.with_options(queue="slow")``).
            args: by position, or by name.
            cron: minute, hour, day of month, month, day of week; six fields begin with seconds; or ``@daily`` and such.
            zone: in which time zone, like ``Europe/Berlin``.
            every_seconds: instead of ``cron``.
            catch_up: which of the occurrences that came while no worker ran are sent when one does: ``last``, ``all``,
                or ``skip``: none older than a minute.
            allows_overlap: ``False``: an occurrence is left out while the job of the one before has not ended.

        Raises:
            InvalidRequest: there is one of that name, or its times are not understood.
            WrongArguments: the task cannot be called like that.
        """
        if task is not None:
            return self.async_schedules.declare(name, task, args, **rule)

        def declare(task: Any) -> Any:
            self.async_schedules.declare(name, task, args, **rule)
            return task

        return declare

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

    # -- sending in a transaction of the user's ------------------------------------------------------------------------

    def outbox(self, connection: Any) -> Outbox:
        """Return an outbox on a database connection: jobs are written in its transaction, and sent once it commits.

            with app.outbox(connection) as outbox:
                outbox.send(welcome, user_id)

        Args:
            connection: of sqlite3, psycopg, SQLAlchemy (Connection or Session) or Django.

        Raises:
            InvalidRequest: it is of another kind.
        """
        return Outbox(self, connection)

    def async_outbox(self, connection: Any) -> AsyncOutbox:
        """The same for connections of asyncpg, aiosqlite, psycopg (async) and SQLAlchemy (async)."""
        return AsyncOutbox(self, connection)

    def relay(self, connect: Callable[[], Any], *, interval_seconds: float = 1.0) -> Relay:
        """Have every worker of this app, and ``penstock relay``, send what is in the outbox of a database.

        Args:
            connect: opens a connection of the kinds that outboxes know: ``lambda: sqlite3.connect("shop.db")``.
            interval_seconds: how long at most a job waits whose transaction the worker could not see being committed.
        """
        check_connect(connect)
        relay = Relay(connect, lambda: self.clock.now_ms(), self.queue_named, interval_seconds)
        self.relays.append(relay)
        return relay

    def relocate(self, url: str, *, key: str | None = None) -> None:
        """Have jobs go through another broker than the app was made with, before any was sent.

        Raises:
            InvalidRequest: this app was not made with a URL.
        """
        raise InvalidRequest("This app opens its broker in its own way.", hint="Leave the URL out.", field="url")


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
