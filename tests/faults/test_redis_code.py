"""The code that Redis runs: loaded where it is not, as functions where there are some, and else as a script."""

import asyncio

import pytest

from penstock.core.operations import Sent
from penstock.core.settlements import Settled, Settlement
from penstock.store.contract import Store
from penstock.store.redis import calls
from penstock.store.redis.address import read_addresses
from tests.faults.redis_at_work import ENTROPY, LEASE_MS, StartServer, delete, draft, now, opened, take
from tests.support.turns import until


@pytest.mark.parametrize("options", ["", "&functions=no"])
async def test_flushed_code_is_loaded_again(start: StartServer, options: str) -> None:
    server = start()
    async with opened(f"{server.url}?tag=t{options}") as store:
        for number in range(3):
            server.ask("SCRIPT", "FLUSH")
            server.ask("FUNCTION", "FLUSH")
            (outcome,) = await store.send("q", [draft()], now())
            assert outcome.sequence_number == number + 1  # type: ignore[union-attr]
        assert await delete(store, await take(store, 3)) == [Settled.DONE] * 3


@pytest.mark.parametrize("options", ["", "&functions=no"])
async def test_code_that_is_flushed_under_load_loses_and_doubles_nothing(start: StartServer, options: str) -> None:
    server = start()
    wanted, sent, deleted = 2400, 0, []

    async def produce(store: Store, count: int) -> None:
        nonlocal sent
        for _ in range(count):
            (outcome,) = await store.send("q", [draft()], now())
            assert isinstance(outcome, Sent)
            assert not outcome.is_duplicate
            sent += 1

    async def consume(store: Store) -> None:
        while len(deleted) < wanted:
            received = await store.receive("q", ENTROPY.tokens(4), LEASE_MS, now())
            settlements = [Settlement("q", each.receipt_handle) for each in received.deliveries]
            assert set(await delete(store, settlements)) <= {Settled.DONE}
            deleted.extend(each.message_id for each in received.deliveries)
            await asyncio.sleep(0)

    async def flush() -> int:
        flushes = 0
        while len(deleted) < wanted:
            before = sent + len(deleted)
            await asyncio.to_thread(server.ask, *(("SCRIPT", "FLUSH") if options else ("FUNCTION", "FLUSH")))
            flushes += 1
            await until(lambda: sent + len(deleted) >= min(before + 30, 2 * wanted), "it goes on")  # noqa: B023
        return flushes

    async with opened(f"{server.url}?tag=t{options}") as one, opened(f"{server.url}?tag=t{options}") as other:
        async with asyncio.timeout(60):
            producing = [produce(store, wanted // 4) for store in (one, other, one, other)]
            *_, flushes = await asyncio.gather(*producing, consume(one), consume(other), flush())
        assert flushes > 10
        assert len(set(deleted)) == len(deleted) == wanted
        described = await one.describe_queue("q", now())
        assert (described.sent_total, described.received_total, described.deleted_total) == (wanted,) * 3


async def test_redis_before_7_is_given_scripts(start: StartServer) -> None:
    # without these commands it is to its callers what an older one is
    server = start(rename_command="FCALL ")
    assert server.ask("FCALL", "x", "0").startswith(b"-ERR unknown command")
    async with opened(server.url) as store:
        await store.send("q", [draft()], now())
        assert await delete(store, await take(store)) == [Settled.DONE]


async def test_two_batches_at_once_find_out_that_there_are_only_scripts(start: StartServer) -> None:
    server = start(rename_command="FCALL ")
    way = calls.Calls(read_addresses(server.url)[0], lambda wakeups: None)
    await way.open()
    server.pause()
    asked = []
    for name in ("one", "other"):
        asked.append(way.submit("describe_queue", now(), name))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it has gone out
    server.resume()
    assert await asyncio.gather(*asked) == [b"missing"] * 2
    await way.aclose()


async def test_redis_7_is_given_functions(start: StartServer) -> None:
    server = start()
    async with opened(server.url) as store:
        await store.send("q", [draft()], now())
        assert await delete(store, await take(store)) == [Settled.DONE]
    # code that it would not take is run as a script, only slower
    told = server.told("INFO", "commandstats")
    assert "cmdstat_fcall" in told
    assert "cmdstat_evalsha" not in told
