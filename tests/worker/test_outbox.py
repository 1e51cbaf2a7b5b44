"""Jobs written in the user's transaction, with every kind of connection, and relayed once each."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import InvalidRequest, StoreUnavailable
from penstock.core.operations import Apply, Peek
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Status
from penstock.worker.arguments import WrongArguments
from penstock.worker.engine.duties import Duties
from penstock.worker.outbox.relay import Relay
from penstock.worker.outbox.table import TABLE
from penstock.worker.tasks import Task


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def database(file: Path) -> Any:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.commit()
    yield connection
    connection.close()


@pytest.fixture
def note(app: App) -> Task[[str], str]:
    @app.task(name="note")
    async def note(text: str) -> str:
        return text

    return note  # type: ignore[return-value]


def open_file(file: Path) -> Callable[[], sqlite3.Connection]:
    return lambda: sqlite3.connect(file, check_same_thread=False)


def rows(database: sqlite3.Connection) -> int:
    return int(database.execute(f"SELECT count(*) FROM {TABLE}").fetchone()[0])


async def relayed(under_test: AppUnderTest, relay: Relay, broker: Any = None) -> None:
    try:
        await relay.step(broker or under_test.broker)
    finally:
        await relay.aclose()


async def waiting(under_test: AppUnderTest) -> int:
    return len((await under_test.broker.perform(Peek("default", limit=1000))).messages)


async def test_what_is_committed_is_sent(
    app: App, under_test: AppUnderTest, note: Task[[str], str], database: sqlite3.Connection, file: Path
) -> None:
    relay = app.relay(open_file(file))
    with app.outbox(database) as outbox:
        outbox.create_table()
        database.execute("INSERT INTO orders VALUES (1)")
        job = outbox.send(note, "kept")
    later = note.with_options(delay_seconds=100).send_in(database, "later")
    await relayed(under_test, relay)
    assert await later._job.status() is Status.UNKNOWN, "it is not committed"
    database.commit()
    under_test.clock.advance(40)
    await under_test.run_until_idle()
    assert await job._job.result(0) == "kept"
    assert await later._job.status() is Status.DELAYED
    assert rows(database) == 0
    under_test.clock.advance(60)
    await under_test.run_until_idle()
    assert await later._job.result(0) == "later", "its delay counts from when it was written"


async def test_what_is_rolled_back_never_existed(
    app: App, under_test: AppUnderTest, note: Task[[str], str], database: sqlite3.Connection, file: Path
) -> None:
    relay = app.relay(open_file(file))
    app.outbox(database).create_table()
    database.commit()
    database.execute("INSERT INTO orders VALUES (1)")
    job = note.send_in(database, "never")
    database.rollback()
    await relayed(under_test, relay)
    assert await job._job.status() is Status.UNKNOWN


async def test_jobs_are_sent_in_the_order_in_which_they_were_written(
    app: App, under_test: AppUnderTest, database: sqlite3.Connection, file: Path
) -> None:
    ran = []

    @app.task(name="mark")
    async def mark(x: int) -> None:
        ran.append(x)

    relay = app.relay(open_file(file))
    with app.outbox(database) as outbox:
        outbox.create_table()
        outbox.send_many(mark, [(x,) for x in range(250)])
    database.commit()
    await relayed(under_test, relay)
    await under_test.run_until_idle()
    assert ran == list(range(250))


class Losing:
    """A broker whose answers to sendings are lost, before or after they happened."""

    def __init__(self, broker: Any, *, before: bool) -> None:
        self._broker, self._before = broker, before

    async def perform(self, operation: Any) -> Any:
        if isinstance(operation, Apply) and self._before:
            raise StoreUnavailable("it did not arrive")
        reply = await self._broker.perform(operation)
        if isinstance(operation, Apply):
            raise StoreUnavailable("its answer was lost")
        return reply

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("before", [True, False], ids=["request lost", "answer lost"])
async def test_a_broken_connection_to_the_broker_neither_loses_nor_doubles(
    app: App, under_test: AppUnderTest, note: Task[[str], str], database: sqlite3.Connection, file: Path, before: bool
) -> None:
    relay = app.relay(open_file(file))
    app.relays.clear()  # no other one comes in between
    app.outbox(database).create_table()
    jobs = app.outbox(database).send_many(note, [("a",), ("b",)])
    database.commit()
    await note.asend("the queue is there")
    with pytest.raises(StoreUnavailable):
        await relayed(under_test, relay, Losing(under_test.broker, before=before))
    assert rows(database) == 2
    await under_test.run_until_idle()  # what was sent has run and is gone before the relay comes again
    await relayed(under_test, relay)
    assert rows(database) == 0
    assert await waiting(under_test) == (2 if before else 0), "what was sent before is not sent again"
    await under_test.run_until_idle()
    assert [await job._job.status() for job in jobs] == [Status.SUCCEEDED] * 2


async def test_a_crash_before_the_rows_are_deleted_does_not_double(
    app: App, under_test: AppUnderTest, note: Task[[str], str], database: sqlite3.Connection, file: Path
) -> None:
    class Crashing(sqlite3.Connection):
        def cursor(self, *args: Any) -> Any:
            return super().cursor(CrashingCursor)

    class CrashingCursor(sqlite3.Cursor):
        def execute(self, sql: str, *args: Any) -> Any:
            if sql.startswith("DELETE"):
                raise sqlite3.OperationalError("the process died here")
            return super().execute(sql, *args)

    app.outbox(database).create_table()
    job = app.outbox(database).send(note, "once")
    database.commit()
    crashing = app.relay(lambda: sqlite3.connect(file, check_same_thread=False, factory=Crashing))
    with pytest.raises(sqlite3.OperationalError):
        await relayed(under_test, crashing)
    app.relays.clear()
    await under_test.run_until_idle()
    assert (await job._job.status(), rows(database)) == (Status.SUCCEEDED, 1)
    await relayed(under_test, app.relay(open_file(file)))
    assert (await waiting(under_test), rows(database)) == (0, 0)


async def test_several_relays_send_each_job_once(
    app: App, under_test: AppUnderTest, note: Task[[str], str], database: sqlite3.Connection, file: Path
) -> None:
    app.outbox(database).create_table()
    app.outbox(database).send_many(note, [(str(x),) for x in range(150)])
    database.commit()
    relays = [app.relay(open_file(file)) for _ in range(3)]
    await asyncio.gather(*(relayed(under_test, relay) for relay in relays))
    assert (await waiting(under_test), rows(database)) == (150, 0)


async def test_a_job_that_can_never_be_sent_stays_and_stops_no_other(
    app: App, under_test: AppUnderTest, note: Task[[str], str], database: sqlite3.Connection, file: Path
) -> None:
    app.outbox(database).create_table()
    app.outbox(database).send(note, "one")
    database.execute(f"INSERT INTO {TABLE} (job_id, queue, message) VALUES ('x', 'default', 'no message')")
    app.outbox(database).send(note.with_options(queue="???"), "two")
    app.outbox(database).send(note, "three")
    database.commit()
    await relayed(under_test, app.relay(open_file(file)))
    assert await waiting(under_test) == 2
    problems = [problem for (problem,) in database.execute(f"SELECT problem FROM {TABLE} ORDER BY position")]
    assert len(problems) == 2
    assert "no message" in problems[0]


async def test_a_wrong_call_writes_nothing(app: App, note: Task[[str], str], database: sqlite3.Connection) -> None:
    app.outbox(database).create_table()
    with pytest.raises(WrongArguments):
        note.send_in(database, 7)  # type: ignore[arg-type]
    assert rows(database) == 0


async def test_what_is_no_connection_is_refused(app: App, database: sqlite3.Connection) -> None:
    for wrong in (None, "shop.db", object()):
        with pytest.raises(InvalidRequest, match="no connection") as refused:
            app.outbox(wrong)
        assert "SQLAlchemy" in (refused.value.problem.hint or "")
    with pytest.raises(InvalidRequest, match="not async"):
        app.async_outbox(database)
    with pytest.raises(InvalidRequest, match="opens a connection"):
        app.relay(database)  # type: ignore[arg-type]


# -- kinds of connections ------------------------------------------------------------------------------------------


@contextmanager
def sqlalchemy_engine(file: Path) -> Any:
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    yield engine
    engine.dispose()


async def test_connections_and_sessions_of_sqlalchemy(
    app: App, under_test: AppUnderTest, note: Task[[str], str], file: Path
) -> None:
    from sqlalchemy.orm import Session

    with sqlalchemy_engine(file) as engine:
        relay = app.relay(engine.connect)
        with engine.begin() as connection:
            app.outbox(connection).create_table()
            one = note.send_in(connection, "one")
        nudged = []
        relay.wake = lambda: nudged.append(True)
        with Session(engine) as session:
            two = note.send_in(session, "two")
            assert nudged == []
            session.commit()
            assert nudged == [True], "its commit is seen"
            gone = note.send_in(session, "gone")
            session.rollback()
        await relayed(under_test, relay)
        await under_test.run_until_idle()
        assert [await job._job.status() for job in (one, two, gone)] == [
            Status.SUCCEEDED,
            Status.SUCCEEDED,
            Status.UNKNOWN,
        ]


@asynccontextmanager
async def async_engine(file: Path) -> AsyncIterator[Any]:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    yield engine
    await engine.dispose()


async def test_async_connections_and_sessions_of_sqlalchemy(
    app: App, under_test: AppUnderTest, note: Task[[str], str], file: Path
) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession

    async with async_engine(file) as engine:
        relay = app.relay(engine.connect)
        async with engine.begin() as connection:
            await app.async_outbox(connection).create_table()
            one = await note.asend_in(connection, "one")
        async with AsyncSession(engine) as session, app.async_outbox(session) as outbox:
            two, three = await outbox.send_many(note, [("two",), ("three",)])
            await session.commit()
        await relayed(under_test, relay)
        await under_test.run_until_idle()
        assert [await job.result(0) for job in (one, two, three)] == ["one", "two", "three"]


async def test_connections_of_aiosqlite(app: App, under_test: AppUnderTest, note: Task[[str], str], file: Path) -> None:
    import aiosqlite

    async with aiosqlite.connect(file) as connection:
        await app.async_outbox(connection).create_table()
        job = await note.asend_in(connection, "one")
        await connection.commit()
    await relayed(under_test, app.relay(lambda: aiosqlite.connect(file)))
    await under_test.run_until_idle()
    assert await job.result(0) == "one"


async def test_connections_of_django(app: App, under_test: AppUnderTest, note: Task[[str], str], file: Path) -> None:
    import django
    from django.conf import settings
    from django.db import transaction
    from django.db.utils import ConnectionHandler

    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()
    handler = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}})
    relay = app.relay(lambda: handler.create_connection("default"))
    nudged = []
    relay.wake = lambda: nudged.append(True)

    def in_a_view() -> tuple[Any, Any]:
        connection = handler["default"]
        atomic = transaction.Atomic(using=None, savepoint=True, durable=False)
        app.outbox(connection).create_table()
        original, transaction.get_connection = transaction.get_connection, lambda using=None: connection
        try:
            with atomic:
                kept = note.send_in(connection, "kept")
                assert nudged == []
            assert nudged == [True]
            with contextlib.suppress(ZeroDivisionError), atomic:
                gone = note.send_in(connection, "gone")
                raise ZeroDivisionError
        finally:
            transaction.get_connection = original
        connection.close()
        return kept, gone

    kept, gone = await asyncio.to_thread(in_a_view)
    await relayed(under_test, relay)
    await under_test.run_until_idle()
    assert await kept._job.result(0) == "kept"
    assert await gone._job.status() is Status.UNKNOWN


async def test_a_worker_relays_and_is_nudged_by_commits_in_its_process(
    app: App, under_test: AppUnderTest, note: Task[[str], str], file: Path
) -> None:
    from sqlalchemy.orm import Session

    with sqlalchemy_engine(file) as engine:
        app.relay(engine.connect, interval_seconds=3600)
        with engine.begin() as connection:
            app.outbox(connection).create_table()
        duties = asyncio.create_task(Duties(app, under_test.broker).run())
        await _until(lambda: _looked(app))
        for number in range(3):  # the clock stands still: nothing but the nudge has the relay look
            with Session(engine) as session:
                note.send_in(session, "x")
                session.commit()
            await _until(lambda expected=number + 1: _count(under_test, expected))  # type: ignore[misc]
        duties.cancel()
        await asyncio.gather(duties, return_exceptions=True)


async def _looked(app: App) -> bool:
    return app.relays[0]._connection is not None


async def _count(under_test: AppUnderTest, expected: int) -> bool:
    from penstock.core.errors import QueueNotFound

    try:
        return await waiting(under_test) == expected
    except QueueNotFound:
        return False


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
