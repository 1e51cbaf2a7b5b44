"""Two stores on one database, as two processes have them: what only shows when another connection is at work."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from penstock.broker.system import SystemEntropy
from penstock.core.effects import Effects, FollowUp, Guard, Record
from penstock.core.errors import GuardFailed
from penstock.core.messages import Draft
from penstock.core.queues import QueueChanges
from penstock.store.contract import wakeup_name
from penstock.store.postgres import PostgresStore
from tests.support.postgres import SCHEMA, shared_server, wipe

ENTROPY = SystemEntropy()
NOW = 1_700_000_000_000
Stores = tuple[PostgresStore, PostgresStore]


@pytest.fixture(params=["listen", "poll"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    wipe(shared_server().url, SCHEMA)
    url = f"{shared_server().url}?schema={SCHEMA}&wakeups={request.param}"
    one, other = await PostgresStore.open(url), await PostgresStore.open(url)
    await one.create_queue("q", QueueChanges(group_order="strict"), 0, NOW)
    await one.create_queue("r", QueueChanges(), 0, NOW)
    yield one, other
    await one.aclose()
    await other.aclose()


def draft(group_id: str | None = None) -> Draft:
    return Draft("x", group_id=group_id, message_id=ENTROPY.message_id(NOW))


async def test_those_that_open_an_empty_database_at_once_all_find_it_made() -> None:
    schema = "made_at_once"
    with psycopg.connect(shared_server().url, autocommit=True) as connection:
        for _ in range(4):
            url = f"{shared_server().url}?schema={schema}"
            opened = await asyncio.gather(*(PostgresStore.open(url) for _ in range(6)), return_exceptions=True)
            for each in opened:
                assert isinstance(each, PostgresStore), each
                await each.check()
                await each.aclose()
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.mark.parametrize("stores", ["listen"], indirect=True)
@pytest.mark.parametrize("was_there", [False, True])
async def test_of_those_that_guard_alike_one_goes_on(stores: Stores, was_there: bool) -> None:
    for turn in range(20):
        key, old = f"key {turn}", b"old" if was_there else None
        if old is not None:
            await stores[0].put_records([Record(key, old)], NOW)

        async def claim(
            store: PostgresStore, queue: str, value: bytes, key: str = key, old: bytes | None = old
        ) -> bool:
            effects = Effects(
                guards=(Guard(key, old),), sends=(FollowUp(queue, draft("g")),), records=(Record(key, value),)
            )
            try:
                await store.apply(effects, NOW)
            except GuardFailed:
                return False
            return True

        # of different queues, so that they do not wait for each other's
        claims = await asyncio.gather(claim(stores[0], "q", b"one"), claim(stores[1], "r", b"other"))
        assert sorted(claims) == [False, True]
        (kept,) = await stores[0].get_records([key], NOW)
        assert kept is not None
        assert kept.value == (b"one" if claims[0] else b"other")
    sent = [(await stores[0].describe_queue(name, NOW)).counts.ready for name in ("q", "r")]
    assert sum(sent) == 20


async def test_a_guard_that_fails_leaves_no_record_behind(stores: Stores) -> None:
    with pytest.raises(GuardFailed):
        await stores[0].apply(Effects(guards=(Guard("absent", b"x"), Guard("absent too", None))), NOW)
    assert await stores[1].get_records(["absent", "absent too"], NOW) == (None, None)
    assert await stores[0].sweep(100, NOW) == 0


@pytest.mark.parametrize("group_id", ["g", "g h\n\0é"])
async def test_who_follows_hears_of_what_another_process_sends(stores: Stores, group_id: str) -> None:
    one, other = stores
    await one.send("q", [draft(group_id)], NOW)
    held = (await other.receive("q", ENTROPY.tokens(1), 30_000, NOW)).deliveries[0]
    heard: asyncio.Queue[str] = asyncio.Queue()
    name = wakeup_name("q", group_id)
    other.listen(lambda name, at: heard.put_nowait(name))
    for _ in range(3):
        found = await other.receive("q", ENTROPY.tokens(1), 30_000, NOW, following=held.receipt_handle)
        assert not found.deliveries
        await one.send("q", [draft(group_id)], NOW)
        async with asyncio.timeout(20):
            while await heard.get() != name:
                pass
        found = await other.receive("q", ENTROPY.tokens(1), 30_000, NOW, following=held.receipt_handle)
        (held,) = found.deliveries
