"""Writing jobs into the user's own transaction: they exist if it is committed, and never existed if it is not."""

from collections.abc import Iterable, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar

from penstock.core.errors import InvalidRequest
from penstock.worker.jobs import AsyncJob, Job
from penstock.worker.outbox.connections import adapt
from penstock.worker.outbox.table import INSERT, create_statement, values_of
from penstock.worker.runtime import Runtime
from penstock.worker.sending import Request

P = ParamSpec("P")
R = TypeVar("R")


class Sends(Protocol[P, R]):
    """What makes jobs of calls: a task, or one with options."""

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...

    def request(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Request: ...

    def requests(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[Request]: ...


class Outbox:
    """An outbox on a connection; made by ``App.outbox``. It never commits: that is the user's to do.

    Args:
        app: whose jobs are sent.
        connection: of any kind that ``adapt`` knows, not async.

    Raises:
        InvalidRequest: the connection is none of those.
    """

    def __init__(self, app: Runtime, connection: Any) -> None:
        self._app = app
        self._connection = adapt(connection)
        if self._connection.is_async:
            raise InvalidRequest("The connection is async.", hint="Use app.async_outbox.", field="connection")

    def __enter__(self) -> "Outbox":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, task: Sends[P, R], *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Write a job down, to be sent once the transaction is committed.

        Args:
            task: a task, or one with options.

        Raises:
            WrongArguments: the task cannot be called like this; nothing was written.
        """
        request = task.request(args, kwargs)
        self._write([request])
        return Job(AsyncJob(self._app, request.job_id))

    def send_many(self, task: Sends[P, R], calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[Job[R]]:
        """Write many jobs of one task down. Raises WrongArguments."""
        requests = task.requests(calls)
        self._write(requests)
        return [Job(AsyncJob(self._app, request.job_id)) for request in requests]

    def create_table(self) -> None:
        """Make the table if it is not there. Its statement for migrations: ``penstock relay --sql``."""
        self._connection.run(create_statement(self._connection.dialect))

    def _write(self, requests: list[Request]) -> None:
        now = self._app.clock.now_ms()
        for request in requests:
            self._connection.run(INSERT, *values_of(request, now))
        self._connection.on_commit(self._app.nudge_relays)


class AsyncOutbox:
    """An outbox on an async connection; made by ``App.async_outbox``. See ``Outbox``."""

    def __init__(self, app: Runtime, connection: Any) -> None:
        self._app = app
        self._connection = adapt(connection)
        if not self._connection.is_async:
            raise InvalidRequest("The connection is not async.", hint="Use app.outbox.", field="connection")

    async def __aenter__(self) -> "AsyncOutbox":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, task: Sends[P, R], *args: P.args, **kwargs: P.kwargs) -> AsyncJob[R]:
        """Write a job down, to be sent once the transaction is committed. Raises WrongArguments."""
        request = task.request(args, kwargs)
        await self._write([request])
        return AsyncJob(self._app, request.job_id)

    async def send_many(
        self, task: Sends[P, R], calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]
    ) -> list[AsyncJob[R]]:
        """Write many jobs of one task down. Raises WrongArguments."""
        requests = task.requests(calls)
        await self._write(requests)
        return [AsyncJob(self._app, request.job_id) for request in requests]

    async def create_table(self) -> None:
        """Make the table if it is not there."""
        await self._connection.run(create_statement(self._connection.dialect))

    async def _write(self, requests: list[Request]) -> None:
        now = self._app.clock.now_ms()
        for request in requests:
            await self._connection.run(INSERT, *values_of(request, now))
        self._connection.on_commit(self._app.nudge_relays)
