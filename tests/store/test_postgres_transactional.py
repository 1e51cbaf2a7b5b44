"""Sending inside a user's own transaction, on their connection: all or nothing, and woken at the commit."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from penstock.broker.local import LocalBroker
from penstock.core.messages import Attribute, Delivery, Draft
from penstock.core.operations import CreateQueue, Receive, Send, Sent
from penstock.core.queues import QueueChanges
from penstock.store import open_store
from penstock.store.postgres.transactional import statement
from tests.support.postgres import SCHEMA, shared_server, wipe
from tests.support.turns import until

WHOLE = Draft(
    "Grüße",
    attributes={"kind": Attribute("String", "a"), "raw": Attribute("Binary", binary_value=b"\0\xff")},
    priority=3,
    group_id="g",
    deduplication_id="d",
    message_id="0198a6c0-0000-7000-8000-000000000001",
)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[LocalBroker]:
    wipe(shared_server().url, SCHEMA)
    broker = LocalBroker(await open_store(f"{shared_server().url}?schema={SCHEMA}&connections=2"))
    await broker.perform(CreateQueue("q"))
    await broker.perform(CreateQueue("orders.fifo", QueueChanges(is_fifo=True, max_message_bytes=1024)))
    yield broker
    await broker.aclose()


async def received(broker: LocalBroker, queue: str = "q") -> list[Delivery]:
    return list((await broker.perform(Receive(queue, 10, wait_seconds=0))).deliveries)


def by_psycopg(queue: str, draft: Draft, *, commits: bool) -> None:
    with psycopg.connect(shared_server().url) as connection:
        connection.execute(*statement(queue, draft, schema=SCHEMA))
        connection.commit() if commits else connection.rollback()


def by_sqlalchemy(queue: str, draft: Draft, *, commits: bool) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(shared_server().url.replace("postgresql:", "postgresql+psycopg:"))
    sql, parameters = statement(queue, draft, style="named", schema=SCHEMA)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(sql), dict(zip(("queue", "body", "options"), parameters, strict=True)))
        connection.commit() if commits else connection.rollback()
    engine.dispose()


def by_django(queue: str, draft: Draft, *, commits: bool) -> None:
    import django
    from django.conf import settings
    from django.db.utils import ConnectionHandler

    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "penstock"}
    place = {"HOST": "127.0.0.1", "PORT": str(shared_server().port)}
    connection = ConnectionHandler({"default": {**database, **place}})["default"]
    connection.set_autocommit(False)
    with connection.cursor() as cursor:
        cursor.execute(*statement(queue, draft, schema=SCHEMA))
    connection.commit() if commits else connection.rollback()
    connection.close()


@pytest.mark.parametrize("send", [by_psycopg, by_sqlalchemy, by_django])
async def test_a_message_is_sent_with_the_users_own_work_or_not_at_all(broker: LocalBroker, send: Any) -> None:
    await asyncio.to_thread(send, "q", Draft("undone"), commits=False)
    await asyncio.to_thread(send, "q", WHOLE, commits=True)
    (delivery,) = await received(broker)
    assert delivery.body == WHOLE.body
    assert delivery.attributes == WHOLE.attributes
    assert (delivery.priority, delivery.group_id, delivery.deduplication_id) == (3, "g", "d")
    assert (delivery.message_id, delivery.sequence_number) == (WHOLE.message_id, 1)


async def test_a_long_poll_is_woken_by_the_commit(broker: LocalBroker) -> None:
    poll = asyncio.ensure_future(broker.perform(Receive("q", wait_seconds=600)))
    await until(lambda: broker.waiting_count == 1, "the long poll waits")
    connection = await asyncpg.connect(shared_server().url)
    sql, parameters = statement("q", Draft("hello"), style="numbered", schema=SCHEMA)
    async with connection.transaction():
        await connection.fetchval(sql, *parameters)
        assert not poll.done()
    assert [each.body for each in (await asyncio.wait_for(poll, 20)).deliveries] == ["hello"]
    await connection.close()


async def test_the_queue_is_not_held_before_the_commit(broker: LocalBroker) -> None:
    connection = await asyncpg.connect(shared_server().url)
    sql, parameters = statement("q", Draft("later"), style="numbered", schema=SCHEMA)
    async with connection.transaction():
        await connection.fetchval(sql, *parameters)
        (sent,) = (await asyncio.wait_for(broker.perform(Send("q", (Draft("sooner"),))), 20)).outcomes
        assert isinstance(sent, Sent)
    assert [each.body for each in await received(broker)] == ["sooner", "later"]
    await connection.close()


async def test_duplicates_are_recognised_whichever_way_they_are_sent(broker: LocalBroker) -> None:
    draft = Draft("a", group_id="g", deduplication_id="same")
    await broker.perform(Send("orders.fifo", (draft,)))
    await asyncio.to_thread(by_psycopg, "orders.fifo", draft, commits=True)
    assert len(await received(broker, "orders.fifo")) == 1


@pytest.mark.parametrize(
    ("queue", "draft", "words"),
    [
        ("nowhere", Draft("a"), "no queue 'nowhere'"),
        ("orders.fifo", Draft("a"), "needs a group"),
        ("orders.fifo", Draft("é" * 513, group_id="g", deduplication_id="d"), "1026 bytes"),
    ],
)
async def test_what_a_queue_refuses_is_refused_at_once(
    broker: LocalBroker, queue: str, draft: Draft, words: str
) -> None:
    with pytest.raises(psycopg.Error, match=words):
        await asyncio.to_thread(by_psycopg, queue, draft, commits=True)
    assert await received(broker) == []


async def test_any_client_may_send(broker: LocalBroker) -> None:
    connection = await asyncpg.connect(shared_server().url)
    await connection.execute(f"SELECT {SCHEMA}.send('q', 'one'), {SCHEMA}.send('q', 'two', '{{\"priority\": 9}}')")
    assert [each.body for each in await received(broker)] == ["two", "one"]
    await connection.close()
