"""`penstock shard` as a command: what it lists, adds and refuses; what goes on meanwhile is another test's."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from penstock.broker.local import LocalBroker
from penstock.broker.system import SystemEntropy
from penstock.core.messages import Draft
from penstock.core.operations import Receive, Send
from penstock.core.queues import QueueChanges
from penstock.store import open_plain_store
from penstock.store.contract import Store
from penstock.store.sharded import ShardedStore
from tests.support import redis_server

COMMAND = str(Path(sys.executable).with_name("penstock"))
PATIENCE_SECONDS = 60
ENTROPY = SystemEntropy()
QUEUES = [f"q{number}" for number in range(20)]


def now() -> int:
    return time.time_ns() // 1_000_000


def shard(*arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [COMMAND, "shard", *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def urls(folder: Path) -> tuple[str, str, str]:
    """Return a store of two shards, and two more that it may have, all tags of two servers."""
    one, two = redis_server.shared_servers()
    tag = quote(str(folder), safe="")
    both = f"redis://127.0.0.1:{one.port},127.0.0.1:{two.port}?tag={tag}"
    return both, f"{one.url}?tag={tag}-more", f"{two.url}?tag={tag}-more"


async def fill(url: str) -> Store:
    store = await open_plain_store(url)
    for name in QUEUES:
        await store.create_queue(name, QueueChanges(), 0, now())
        await store.send(name, [Draft(name, message_id=ENTROPY.message_id(now()))], now())
    return store


async def test_shards_are_added_and_listed_and_once_more_is_no_harm(tmp_path: Path) -> None:
    both, *more = urls(tmp_path)
    store = await fill(both)
    assert shard("list", "--store", both).count("127.0.0.1") == 2
    said = shard("add", "--store", both, *more)
    assert "spread over 4 shards" in said
    assert "not named" in said
    assert isinstance(store, ShardedStore)
    for name in QUEUES:
        ((delivery,), *_) = [(await store.receive(name, ENTROPY.tokens(1), 1000, now())).deliveries]
        assert delivery.body == name
    assert {store.home(name) for name in QUEUES} == {0, 1, 2, 3}
    listed = shard("list", "--store", both)
    assert listed.count("127.0.0.1") >= 4
    assert "0 messages moved" in shard("add", "--store", both, *more)
    await store.aclose()


async def test_who_waits_for_a_message_is_woken_where_the_queue_lives_now(tmp_path: Path) -> None:
    both, *more = urls(tmp_path)
    store, other = await fill(both), await open_plain_store(both)
    waiting, sending = LocalBroker(store), LocalBroker(other)
    for name in QUEUES:
        await store.receive(name, ENTROPY.tokens(1), 600_000, now())
    polls = [asyncio.ensure_future(waiting.perform(Receive(name, wait_seconds=20))) for name in QUEUES]
    await asyncio.to_thread(shard, "add", "--store", both, *more)
    began = time.monotonic()
    for name in QUEUES:
        await sending.perform(Send(name, (Draft("late"),)))
    for poll in polls:
        (delivery,) = (await poll).deliveries
        assert delivery.body == "late"
    assert time.monotonic() - began < 5, "it was not woken, but has looked again in the end"
    await waiting.aclose()
    await sending.aclose()


async def test_a_shard_is_added_to_a_store_on_a_cluster(tmp_path: Path) -> None:
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in redis_server.shared_cluster())
    tags = [quote(f"{tmp_path}/{name}", safe="") for name in "abc"]
    two, three = (f"redis+cluster://{hosts}?tags={','.join(tags[:count])}" for count in (2, 3))
    store = await fill(two)
    assert "spread over 3 shards" in shard("add", "--store", two, f"redis+cluster://{hosts}?tag={tags[2]}")
    named = await open_plain_store(three)
    for each in (store, named):
        listed = await each.list_queues("", "", 100, None, now())
        assert {queue.name: queue.counts.ready for queue in listed} == dict.fromkeys(QUEUES, 1)
        assert isinstance(each, ShardedStore)
        assert {each.home(name) for name in QUEUES} == {0, 1, 2}
        await each.aclose()


async def test_what_cannot_be_added_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    both, used, other = urls(tmp_path)
    await (await fill(both)).aclose()
    await (await fill(used)).aclose()
    assert "queues of its own" in shard("add", "--store", both, used, status=1)
    assert "no shards" in shard("add", "--store", used, other, status=1)
    elsewhere = f"{both}-other"
    await (await fill(elsewhere)).aclose()
    theirs = elsewhere.replace(both.split("?")[0], other.split("?")[0])
    assert "another store" in shard("add", "--store", both, theirs, status=1)
    gone = f"redis://127.0.0.1:{redis_server.free_port()}?patience_seconds=0.1"
    assert "127.0.0.1" in shard("add", "--store", both, gone, "--patience-seconds", "0", status=4)
    store = await open_plain_store(both)
    assert isinstance(store, ShardedStore)
    assert len(store.shards) == 2
    assert json.dumps(store.map.moving) == "{}"
    await store.aclose()
