"""The PostgreSQL store when the database dies, connections are cut, and processes stand in each other's way."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest

from penstock.broker.local import LocalBroker
from penstock.core.effects import Effects, FollowUp, Record
from penstock.core.errors import StoreTooNew, StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import Apply, CreateQueue, DescribeQueue, GetRecords, Receive, Send, Sent, Settle
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settled, Settlement
from penstock.store import open_store
from penstock.store.postgres import PostgresStore
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy, cutting_proxy
from tests.support.turns import until

pytestmark = [pytest.mark.xdist_group("postgres-faults"), pytest.mark.timeout(120)]
_DEATHS = 4
_WRITERS = 6


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer(is_durable=True, deadlock_timeout="50ms")
    yield server
    server.stop()


@pytest.fixture
async def proxy(server: PostgresServer) -> AsyncIterator[Proxy]:
    async with cutting_proxy(server.port) as proxy:
        yield proxy


async def a_broker(url: str, schema: str) -> LocalBroker:
    return LocalBroker(await open_store(f"{url}?schema={schema}"))


async def drained(broker: LocalBroker, queue: str) -> list[str]:
    """Receive and delete everything; return the bodies."""
    found: list[str] = []
    while True:
        deliveries = (await broker.perform(Receive(queue, 100, wait_seconds=0))).deliveries
        if not deliveries:
            return found
        found += [each.body for each in deliveries]
        await broker.perform(Settle(tuple(Settlement(queue, each.receipt_handle) for each in deliveries)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT], ids=["killed", "immediate shutdown"])
async def test_what_was_answered_survives_the_death_of_the_database(server: PostgresServer, number: int) -> None:
    schema = f"death{int(number)}"
    broker = await a_broker(server.url, schema)
    await broker.perform(CreateQueue("q"))
    await broker.perform(CreateQueue("done"))
    answered: set[str] = set()
    finished: set[str] = set()
    is_over = False

    async def send(name: int) -> None:
        count = 0
        while not is_over:
            body = f"{name}-{(count := count + 1)}"
            try:
                await broker.perform(Send("q", (Draft(body),)))
            except StoreUnavailable:
                continue
            answered.add(body)

    async def work() -> None:
        while not is_over:
            try:
                found = (await broker.perform(Receive("q", 5, wait_seconds=0, visibility_timeout_seconds=1))).deliveries
                for each in found:
                    effects = Effects(sends=(FollowUp("done", Draft(each.body)),))
                    end = Settlement("q", each.receipt_handle, is_fenced=True, effects=effects)
                    if (await broker.perform(Settle((end,)))).outcomes[0].result is Settled.DONE:
                        finished.add(each.body)
            except StoreUnavailable:
                continue
            if not found:
                await asyncio.sleep(0.001)

    clients = [asyncio.ensure_future(send(name)) for name in range(_WRITERS)]
    clients += [asyncio.ensure_future(work()) for _ in range(_WRITERS)]
    random = Random(os.environ.get("PENSTOCK_FAULT_SEED", 1))
    for _ in range(_DEATHS):
        wanted = len(answered) + random.randrange(20, 300)
        await until(lambda wanted=wanted: len(answered) >= wanted, "clients are answered")  # type: ignore[misc]
        await asyncio.to_thread(server.kill, number)
        await asyncio.to_thread(server.start)
    is_over = True
    await asyncio.gather(*clients)
    await asyncio.sleep(1.1)  # the leases that were lost with their answers end by themselves
    left, done = await drained(broker, "q"), await drained(broker, "done")
    assert finished <= set(done)
    assert answered <= set(left) | set(done)
    assert len(done) == len(set(done)), "a message was finished twice"
    assert not set(left) & set(done), "a message was finished and is still there"
    await broker.aclose()


async def test_a_lost_answer_is_asked_for_again_and_nothing_happens_twice(server: PostgresServer, proxy: Proxy) -> None:
    broker = await a_broker(server.url.replace(str(server.port), str(proxy.port)), "lost")
    await broker.perform(CreateQueue("q"))
    for number in range(30):
        record = Record(f"ran/{number}", b"", only_if_absent=True)
        proxy.loses_answers = number % 2
        applied = await broker.perform(Apply(Effects(sends=(FollowUp("q", Draft(str(number))),), records=(record,))))
        assert applied.kept_records == (True,), "the first attempt's record was taken for another's"
        proxy.loses_answers = number % 2
        (again,) = (await broker.perform(Send("q", (Draft(f"again {number}"),)))).outcomes
        assert again == Sent(again.message_id, 2 * number + 2), again
        proxy.loses_answers = number % 2
        found = (await broker.perform(Receive("q", 2, wait_seconds=0))).deliveries
        assert [each.body for each in found] == [str(number), f"again {number}"]
        proxy.loses_answers = number % 2
        ends = tuple(Settlement("q", each.receipt_handle, is_fenced=True) for each in found)
        outcomes = (await broker.perform(Settle(ends))).outcomes
        assert [each.result for each in outcomes] == [Settled.DONE, Settled.DONE]
    queue = (await broker.perform(DescribeQueue("q"))).queue
    assert (queue.sent_total, queue.received_total, queue.deleted_total) == (60, 60, 60)
    await broker.aclose()


async def test_long_polls_outlive_the_connection_that_listens(server: PostgresServer, proxy: Proxy) -> None:
    far = await a_broker(server.url.replace(str(server.port), str(proxy.port)), "listening")
    near = await a_broker(server.url, "listening")
    await near.perform(CreateQueue("q"))
    for number in range(5):
        poll = asyncio.ensure_future(far.perform(Receive("q", wait_seconds=600)))
        await until(lambda: far.waiting_count > 0, "the long poll waits")
        if number % 2:
            proxy.cut()
        await near.perform(Send("q", (Draft(str(number)),)))
        reply = await asyncio.wait_for(poll, 20)
        assert [each.body for each in reply.deliveries] == [str(number)]
    await far.aclose()
    await near.aclose()


async def test_processes_in_each_others_way_all_get_through(server: PostgresServer) -> None:
    brokers = [await a_broker(server.url, "crowd") for _ in range(4)]
    queues = [f"q{number}" for number in range(5)]
    for queue in queues:
        await brokers[0].perform(CreateQueue(queue))

    async def storm(broker: LocalBroker, random: Random) -> None:
        for turn in range(25):
            some = random.sample(queues, 3)
            keys = random.sample(range(6), 4)
            records = tuple(Record(f"shared/{key}", str(turn).encode()) for key in keys)
            sends = tuple(FollowUp(queue, Draft("x")) for queue in some)
            await broker.perform(Apply(Effects(sends=sends, records=records)))

    await asyncio.gather(*(storm(broker, Random(n)) for broker in brokers for n in range(4)))
    total = 0
    for queue in queues:
        counts = (await brokers[0].perform(DescribeQueue(queue))).queue.counts
        total += counts.ready
        assert counts.ready == len(await drained(brokers[1], queue))
    assert total == 4 * 4 * 25 * 3
    kept = await brokers[2].perform(GetRecords(tuple(f"shared/{key}" for key in range(6))))
    assert all(kept.records)
    for broker in brokers:
        await broker.aclose()


async def test_a_newer_schema_is_left_alone(server: PostgresServer) -> None:
    import asyncpg

    await (await a_broker(server.url, "newer")).aclose()
    connection = await asyncpg.connect(server.url)
    await connection.execute("UPDATE newer.schema_version SET version = 99")
    with pytest.raises(StoreTooNew, match="version 99"):
        await PostgresStore.open(f"{server.url}?schema=newer")
    await connection.close()


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (("/postgres", "/nowhere"), "Create the database"),
        (("penstock@", "stranger@"), "user and password"),
        (("127.0.0.1:", "127.0.0.1:1"), "running"),
    ],
    ids=["no such database", "no such user", "nobody listens"],
)
async def test_what_is_wrong_with_the_url_is_said(server: PostgresServer, change: tuple[str, str], hint: str) -> None:
    url = "postgresql://penstock@127.0.0.1:1/postgres" if hint == "running" else server.url.replace(*change)
    with pytest.raises(StoreUnavailable) as raised:
        await PostgresStore.open(url)
    assert hint in str(raised.value.problem.hint)


async def test_a_standby_says_that_it_takes_no_writes(server: PostgresServer) -> None:
    import asyncpg

    broker = await a_broker(server.url, "standby")
    await broker.perform(CreateQueue("q", QueueChanges()))
    await broker.aclose()
    connection = await asyncpg.connect(server.url)
    await connection.execute("ALTER ROLE penstock SET default_transaction_read_only = on")
    try:
        broker = await a_broker(server.url, "standby")
        with pytest.raises(StoreUnavailable) as raised:
            await broker.perform(Send("q", (Draft("x"),)))
        assert "primary" in str(raised.value.problem.hint)
        await broker.aclose()
    finally:
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute("ALTER ROLE penstock RESET default_transaction_read_only")
        await connection.close()
