"""The Redis store when Redis fails: what was answered holds, what was not is done once, and errors say what to do."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from penstock.core.effects import Record
from penstock.core.errors import StoreUnavailable
from penstock.core.operations import Sent
from penstock.core.queues import QueueChanges, QueueCounts
from penstock.core.settlements import Settled, Settlement
from penstock.store import examine, open_store
from penstock.store.contract import Store
from penstock.store.redis import batch, calls
from tests.faults.redis_at_work import ENTROPY, LEASE_MS, StartServer, app_on, delete, draft, now, opened, take
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
async def proxied(start: StartServer) -> AsyncIterator[tuple[Store, CuttingProxy]]:
    async with cutting_proxy(start().port) as proxy, opened(f"redis://127.0.0.1:{proxy.port}") as store:
        yield store, proxy


# -- sudden death ----------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
async def test_what_was_answered_survives_the_sudden_death_of_redis(start: StartServer) -> None:
    server = start(appendonly="yes", appendfsync="always")
    random = Random(time.time_ns())
    sent: set[str] = set()
    deleted: list[str] = []
    is_over = False

    async def produce(store: Store) -> None:
        while not is_over:
            drafts = [draft() for _ in range(random.randint(1, 5))]
            for outcome in await store.send("q", drafts, now()):
                assert isinstance(outcome, Sent)
                sent.add(outcome.message_id)

    async def consume(store: Store) -> None:
        while not is_over:
            received = await store.receive("q", ENTROPY.tokens(random.randint(1, 5)), LEASE_MS, now())
            for each in received.deliveries:
                (outcome,) = await store.settle([Settlement("q", each.receipt_handle)], now())
                assert outcome.result is Settled.DONE
                deleted.append(each.message_id)
            await asyncio.sleep(0)

    async with opened(server.url) as store:
        workers = [asyncio.ensure_future(work(store)) for work in (produce, consume, produce, consume)]
        for _ in range(5):
            before = len(deleted)
            async with asyncio.timeout(20):
                while len(deleted) < before + 50:
                    for failed in (worker for worker in workers if worker.done()):
                        failed.result()
                    await asyncio.sleep(0.01 * random.random())
            server.kill()
            server.start()
        is_over = True
        await asyncio.gather(*workers)
        while settlements := await take(store, 100):
            for settlement, outcome in zip(settlements, await store.settle(settlements, now()), strict=True):
                assert outcome.result is Settled.DONE, settlement
                assert outcome.message_id is not None
                deleted.append(outcome.message_id)
        assert sorted(deleted) == sorted(sent), "lost, or handed out again after it was deleted"


# -- lost answers ----------------------------------------------------------------------------------------------------


async def test_a_send_whose_answer_is_lost_is_answered_as_if_it_was_not(proxied: tuple[Store, CuttingProxy]) -> None:
    store, proxy = proxied
    proxy.cut_next_answer()
    first, second = draft("a"), draft("b")
    outcomes = await store.send("q", [first, second], now())
    assert outcomes == (Sent(str(first.message_id), 1), Sent(str(second.message_id), 2))
    assert proxy.cuts == 1
    assert (await store.describe_queue("q", now())).sent_total == 2


async def test_a_receive_whose_answer_is_lost_leases_nothing_twice(proxied: tuple[Store, CuttingProxy]) -> None:
    store, proxy = proxied
    await store.send("q", [draft("a"), draft("b"), draft("c")], now())
    proxy.cut_next_answer()
    received = await store.receive("q", ENTROPY.tokens(2), LEASE_MS, now())
    assert [each.body for each in received.deliveries] == ["a", "b"]
    assert proxy.cuts == 1
    assert (await store.describe_queue("q", now())).received_total == 2
    handles = [Settlement("q", each.receipt_handle) for each in received.deliveries]
    assert await delete(store, handles) == [Settled.DONE, Settled.DONE]


async def test_a_settlement_whose_answer_is_lost_is_done_once(proxied: tuple[Store, CuttingProxy]) -> None:
    store, proxy = proxied
    await store.send("q", [draft()], now())
    held = await take(store)
    proxy.cut_next_answer()
    assert await delete(store, held) == [Settled.DONE]
    assert proxy.cuts == 1
    assert await delete(store, held) == [Settled.GONE]


async def test_a_purge_whose_answer_is_lost_is_answered_with_its_count(proxied: tuple[Store, CuttingProxy]) -> None:
    store, proxy = proxied
    await store.send("q", [draft(), draft()], now())
    proxy.cut_next_answer()
    assert await store.purge_queue("q", 60_000, now()) == 2
    assert proxy.cuts == 1


@pytest.mark.parametrize("later_count", [0, 70], ids=["soon", "long after"])
async def test_what_is_read_late_from_a_broken_connection_changes_nothing(start: StartServer, later_count: int) -> None:
    server = start()
    async with opened(server.url) as store:
        late: list[bytes] = []
        connection = store.store._calls._connection  # type: ignore[attr-defined]
        write = connection.send
        connection.send = lambda packed, on_answer: (late.append(packed), write(packed, on_answer))
        await store.send("q", [draft()], now())
        assert await delete(store, await take(store)) == [Settled.DONE]
        said = b"".join(late)
        for _ in range(later_count):
            await store.put_records([Record("k", b"v")], now())
        with socket.create_connection(("127.0.0.1", server.port)) as broken:
            broken.sendall(said)
            broken.shutdown(socket.SHUT_WR)
            assert broken.makefile("rb").read().count(b"-ERR") == 0
        described = await store.describe_queue("q", now())
        assert (described.sent_total, described.received_total, described.deleted_total) == (1, 1, 1)
        assert described.counts == QueueCounts(0, 0, 0)


async def test_connections_that_break_again_and_again_lose_and_double_nothing(
    proxied: tuple[Store, CuttingProxy],
) -> None:
    store, proxy = proxied
    wanted = 300
    deleted: list[str] = []

    async def produce() -> None:
        for number in range(wanted):
            (outcome,) = await store.send("q", [draft(str(number))], now())
            assert isinstance(outcome, Sent)
            assert not outcome.is_duplicate
            if number % 25 == 0:
                proxy.cut_next_answer()
            if number % 60 == 59:
                proxy.cut_all()

    async def consume() -> None:
        while len(deleted) < wanted:
            received = await store.receive("q", ENTROPY.tokens(3), LEASE_MS, now())
            settlements = [Settlement("q", each.receipt_handle) for each in received.deliveries]
            assert set(await delete(store, settlements)) <= {Settled.DONE}
            deleted.extend(each.body for each in received.deliveries)
            await asyncio.sleep(0)

    async with asyncio.timeout(30):
        await asyncio.gather(produce(), consume(), consume())
    assert sorted(deleted, key=int) == [str(number) for number in range(wanted)]
    assert proxy.cuts > 5


async def test_who_waits_is_woken_when_the_connection_comes_back(proxied: tuple[Store, CuttingProxy]) -> None:
    store, proxy = proxied
    woken: asyncio.Queue[str] = asyncio.Queue()
    assert not await take(store)
    store.listen(lambda queue, at: woken.put_nowait(queue))
    proxy.cut_all()
    # something may have been sent while nobody listened
    assert await asyncio.wait_for(woken.get(), 10) == "q"


# -- a server that cannot, or may not --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", "&functions=no"])
async def test_with_its_memory_full_redis_still_hands_out_and_forgets(start: StartServer, options: str) -> None:
    server = start(maxmemory="6mb")
    async with opened(f"{server.url}?tag=t{options}") as store:
        sent = 0
        with pytest.raises(StoreUnavailable, match="memory") as refused:  # noqa: PT012
            while True:
                await store.send("q", [draft("x" * 10_000) for _ in range(10)], now())
                sent += 10
        assert "maxmemory" in (refused.value.problem.hint or "")
        assert (await store.describe_queue("q", now())).sent_total == sent > 50
        # what makes room goes on, also beside what does not
        sending = store.send("q", [draft("x" * 10_000) for _ in range(20)], now())
        beside, held = await asyncio.gather(sending, take(store, 20), return_exceptions=True)
        assert not isinstance(held, BaseException)
        if not options:
            # a script, unlike a function, is let go on once it has written
            assert isinstance(beside, StoreUnavailable)
        while held:
            assert set(await delete(store, held)) == {Settled.DONE}
            held = await take(store, 20)
        await store.send("q", [draft("y")], now())


async def test_a_read_only_replica_is_named_as_such(start: StartServer) -> None:
    primary, replica = start(), start()
    replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
    store = await open_store(f"{replica.url}?patience_seconds=0.2")
    with pytest.raises(StoreUnavailable, match="read-only") as refused:
        await store.create_queue("q", QueueChanges(), 0, now())
    assert "primary" in (refused.value.problem.hint or "")
    await store.aclose()


async def test_a_server_that_is_away_is_waited_for_and_then_given_up(start: StartServer) -> None:
    server = start(appendonly="yes", appendfsync="always")
    async with opened(f"{server.url}?patience_seconds=0.3") as store:
        server.kill()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.send("q", [draft()], now())
        server.start()
        await store.send("q", [draft()], now())


async def test_a_server_that_no_longer_answers_is_left(start: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "ANSWER_SECONDS", 0.2)
    server = start()
    async with opened(server.url) as store:
        server.pause()
        asked = asyncio.ensure_future(store.send("q", [draft()], now()))
        await asyncio.wait([asked], timeout=0.5)
        server.resume()
        (outcome,) = await asked
        assert outcome == Sent(outcome.message_id, 1)  # type: ignore[union-attr]
        assert await delete(store, await take(store)) == [Settled.DONE]
        # by now what was sent on the connection that was left has been read too
        described = await store.describe_queue("q", now())
        assert (described.sent_total, described.counts) == (1, QueueCounts(0, 0, 0))


async def test_a_change_that_too_few_replicas_have_is_an_error(
    start: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary = start(repl_diskless_sync_delay=0)
    with monkeypatch.context() as hurried:
        hurried.setattr(batch, "WAIT_REPLICAS_MS", 100)
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            async with opened(f"{primary.url}?wait_replicas=1"):
                pass
    replica = start()
    replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
    deadline = time.monotonic() + 10
    while primary.ask("WAIT", "1", "100") != b":1":
        assert time.monotonic() < deadline
    async with opened(f"{primary.url}?wait_replicas=1&tag=b") as store:
        await store.send("q", [draft()], now())


async def test_what_is_told_again_is_what_replicas_have(start: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    primary, replica = start(repl_diskless_sync_delay=0), start()
    replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
    deadline = time.monotonic() + 10
    while primary.ask("WAIT", "1", "100") != b":1":
        assert time.monotonic() < deadline
    async with cutting_proxy(primary.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}?wait_replicas=1"
        app = app_on(url)
        send = app.tasks["noop"].send
        await asyncio.to_thread(send)
        async with opened(url) as store:
            replica.pause()
            monkeypatch.setattr(batch, "WAIT_REPLICAS_MS", 100)
            proxy.cut_next_answer()
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                await store.send("q", [draft()], now())
            proxy.cut_next_answer()
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                await asyncio.to_thread(send)
            assert proxy.cuts == 2
            replica.resume()
        await asyncio.to_thread(app.close)


async def test_the_rights_that_the_documentation_asks_for_suffice(start: StartServer) -> None:
    (rights,) = re.findall(r"where there are ACLs: `([^`]+)`", (ROOT / "docs" / "redis.md").read_text())
    server = start()
    assert server.ask("ACL", "SETUSER", "app", "on", ">secret", *rights.split()) == b"+OK"
    for options in ("", "?functions=no"):
        url = f"redis://app:secret@127.0.0.1:{server.port}{options}"
        async with opened(url) as store:
            await store.send("q", [draft()], now())
            assert await delete(store, await take(store)) == [Settled.DONE]
            await store.check()
            assert (await examine(store, url)).durability == "none"
    async with contextlib.AsyncExitStack() as stack:
        with pytest.raises(StoreUnavailable):
            # the keys of another system on the same server
            await stack.enter_async_context(opened(f"redis://app:secret@127.0.0.1:{server.port}?tag=other"))


async def test_a_wrong_password_is_said_at_the_start(start: StartServer) -> None:
    server = start(requirepass="secret")
    with pytest.raises(StoreUnavailable, match="does not let us in"):
        await open_store(f"redis://:wrong@127.0.0.1:{server.port}")
    async with opened(f"redis://:secret@127.0.0.1:{server.port}/3"):
        pass
