"""Jobs written in the user's transaction on a real PostgreSQL, with each of its drivers, and relayed once each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from penstock.core.operations import Peek
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Status
from penstock.worker.outbox.table import TABLE
from penstock.worker.tasks import Task
from tests.conformance.implementations import IMPLEMENTATIONS, opened
from tests.support.postgres import shared_server
from tests.support.world import World

MEMORY = IMPLEMENTATIONS[0]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """In memory: what differs here is the user's database."""
    async with opened(MEMORY, tmp_path) as world:
        yield world


@pytest.fixture(autouse=True)
def database() -> Iterator[Any]:
    """The user's own, empty again after each test."""
    connection = psycopg.connect(shared_server().url, autocommit=True, options="-c lock_timeout=10s")
    connection.execute(f"DROP TABLE IF EXISTS orders, {TABLE}")
    connection.execute("CREATE TABLE orders (id INTEGER)")
    yield connection
    connection.execute(f"DROP TABLE IF EXISTS orders, {TABLE}")
    connection.close()


@pytest.fixture
def note(app: App) -> Task[[str], str]:
    @app.task(name="note")
    async def note(text: str) -> str:
        return text

    return note  # type: ignore[return-value]


def orders(database: Any) -> list[int]:
    return [row[0] for row in database.execute("SELECT id FROM orders ORDER BY id")]


def rows(database: Any) -> int:
    return int(database.execute(f"SELECT count(*) FROM {TABLE}").fetchone()[0])


def sqlalchemy_url() -> str:
    return shared_server().url.replace("postgresql:", "postgresql+psycopg:")


# -- ways to write an order and a job in one transaction ---------------------------------------------------------------


def by_psycopg(app: App, note: Any, number: int, *, commits: bool) -> Any:
    with psycopg.connect(shared_server().url) as connection:
        with app.outbox(connection) as outbox:
            outbox.create_table()
            connection.commit()
            connection.execute("INSERT INTO orders VALUES (%s)", [number])
            job = outbox.send(note, f"order {number}")
        connection.commit() if commits else connection.rollback()
    return job


def by_psycopg_with_rows_as_dicts(app: App, note: Any, number: int, *, commits: bool) -> Any:
    with psycopg.connect(shared_server().url, row_factory=psycopg.rows.dict_row) as connection:
        app.outbox(connection).create_table()
        connection.commit()
        connection.execute("INSERT INTO orders VALUES (%s)", [number])
        job = app.outbox(connection).send(note, f"order {number}")
        connection.commit() if commits else connection.rollback()
    return job


def by_sqlalchemy(app: App, note: Any, number: int, *, commits: bool) -> Any:
    import sqlalchemy
    from sqlalchemy.orm import Session

    engine = sqlalchemy.create_engine(sqlalchemy_url())
    with Session(engine) as session:
        app.outbox(session).create_table()
        session.commit()
        session.execute(sqlalchemy.text("INSERT INTO orders VALUES (:id)"), {"id": number})
        job = app.outbox(session).send(note, f"order {number}")
        session.commit() if commits else session.rollback()
    engine.dispose()
    return job


def by_django(app: App, note: Any, number: int, *, commits: bool) -> Any:
    import django
    from django.conf import settings
    from django.db.utils import ConnectionHandler

    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "penstock"}
    place = {"HOST": "127.0.0.1", "PORT": str(shared_server().port)}
    connection = ConnectionHandler({"default": {**database, **place}})["default"]
    app.outbox(connection).create_table()
    connection.set_autocommit(False)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (%s)", [number])
    job = app.outbox(connection).send(note, f"order {number}")
    connection.commit() if commits else connection.rollback()
    connection.close()
    return job


@pytest.mark.parametrize("write", [by_psycopg, by_psycopg_with_rows_as_dicts, by_sqlalchemy, by_django])
async def test_a_job_is_sent_with_the_users_own_work_or_not_at_all(
    app: App, under_test: AppUnderTest, note: Task[[str], str], database: Any, write: Callable[..., Any]
) -> None:
    relay = app.relay(lambda: psycopg.connect(shared_server().url))
    undone = await asyncio.to_thread(write, app, note, 1, commits=False)
    done = await asyncio.to_thread(write, app, note, 2, commits=True)
    await relay.step(under_test.broker)
    await relay.aclose()
    await under_test.run_until_idle()
    assert (orders(database), rows(database)) == ([2], 0)
    assert await done._job.result(0) == "order 2"
    assert await undone._job.status() is Status.UNKNOWN


async def of_asyncpg() -> AsyncIterator[tuple[Any, Any, Any]]:
    connection = await asyncpg.connect(shared_server().url)
    transaction = connection.transaction()

    async def begin(number: int) -> None:
        nonlocal transaction
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO orders VALUES ($1)", number)

    async def end(*, commits: bool) -> None:
        await (transaction.commit() if commits else transaction.rollback())

    yield connection, begin, end
    await connection.close()


async def of_psycopg() -> AsyncIterator[tuple[Any, Any, Any]]:
    connection = await psycopg.AsyncConnection.connect(shared_server().url)

    async def begin(number: int) -> None:
        await connection.commit()
        await connection.execute("INSERT INTO orders VALUES (%s)", [number])

    async def end(*, commits: bool) -> None:
        await (connection.commit() if commits else connection.rollback())

    yield connection, begin, end
    await connection.close()


async def of_sqlalchemy() -> AsyncIterator[tuple[Any, Any, Any]]:
    import sqlalchemy
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    engine = create_async_engine(sqlalchemy_url())
    session = AsyncSession(engine)

    async def begin(number: int) -> None:
        await session.commit()
        await session.execute(sqlalchemy.text("INSERT INTO orders VALUES (:id)"), {"id": number})

    async def end(*, commits: bool) -> None:
        await (session.commit() if commits else session.rollback())

    yield session, begin, end
    await session.close()
    await engine.dispose()


async def connect_asyncpg() -> Any:
    return await asyncpg.connect(shared_server().url)


async def connect_psycopg() -> Any:
    return await psycopg.AsyncConnection.connect(shared_server().url)


@pytest.mark.parametrize("connect", [connect_asyncpg, connect_psycopg])
@pytest.mark.parametrize("connected", [of_asyncpg, of_psycopg, of_sqlalchemy])
async def test_a_job_is_sent_with_async_work_or_not_at_all(
    app: App,
    under_test: AppUnderTest,
    note: Task[[str], str],
    database: Any,
    connected: Callable[[], AsyncIterator[tuple[Any, Any, Any]]],
    connect: Callable[[], Any],
) -> None:
    relay = app.relay(connect)
    async for connection, begin, end in connected():
        async with app.async_outbox(connection) as outbox:
            await outbox.create_table()
            await begin(1)
            undone = await outbox.send(note, "order 1")
            await end(commits=False)
            await begin(2)
            done = await outbox.send(note, "order 2")
            await outbox.send_many(note, [("a",), ("b",)])
            await relay.step(under_test.broker)
            assert await done.status() is Status.UNKNOWN, "it is not committed"
            await end(commits=True)
    await relay.step(under_test.broker)
    await relay.aclose()
    await under_test.run_until_idle()
    assert (orders(database), rows(database)) == ([2], 0)
    assert await done.result(0) == "order 2"
    assert await undone.status() is Status.UNKNOWN


async def test_several_relays_send_each_job_once(
    app: App, under_test: AppUnderTest, note: Task[[str], str], database: Any
) -> None:
    app.outbox(database).create_table()
    app.outbox(database).send_many(note, [(str(x),) for x in range(150)])
    relays = [app.relay(connect_asyncpg), app.relay(connect_psycopg), app.relay(connect_asyncpg)]
    await asyncio.gather(*(relay.step(under_test.broker) for relay in relays))
    assert (len((await under_test.broker.perform(Peek("default", limit=1000))).messages), rows(database)) == (150, 0)
    for relay in relays:
        await relay.aclose()


async def test_a_relay_whose_connection_is_ended_opens_another(
    app: App, under_test: AppUnderTest, note: Task[[str], str], database: Any
) -> None:
    relay = app.relay(connect_asyncpg)
    app.relays.clear()  # no other one comes in between
    app.outbox(database).create_table()
    await relay.step(under_test.broker)
    job = app.outbox(database).send(note, "after")
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE %s"
    assert database.execute(ended, [f"%{TABLE}%"]).rowcount == 1
    with pytest.raises(Exception):  # noqa: B017, PT011
        await relay.step(under_test.broker)
    await relay.step(under_test.broker)
    await under_test.run_until_idle()
    assert (await job._job.result(0), rows(database)) == ("after", 0)
    await relay.aclose()
