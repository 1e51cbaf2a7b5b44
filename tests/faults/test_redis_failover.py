"""The Redis store when another server takes over: what replicas had confirmed is there, and work goes on by itself."""

import asyncio
import time
from collections.abc import Callable

import pytest

from penstock.broker.system import SystemEntropy
from penstock.core.errors import InvalidRequest, StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import Sent
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settled, Settlement
from penstock.store import open_store
from penstock.store.contract import Store
from penstock.store.redis.address import read_addresses
from tests.faults.redis_at_work import StartServer, app_on, ids_waiting, without_a_portal
from tests.support.redis_server import free_port

ENTROPY = SystemEntropy()
PATIENCE_SECONDS = 20


def now() -> int:
    return time.time_ns() // 1_000_000


def wait_for(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


async def send(store: Store, count: int) -> set[str]:
    """Send messages, each in a call of its own; return the ids of those that were answered."""
    drafts = [Draft("x", message_id=ENTROPY.message_id(now())) for _ in range(count)]
    outcomes = await asyncio.gather(*(store.send("q", [each], now()) for each in drafts), return_exceptions=True)
    assert all(isinstance(each, tuple | StoreUnavailable) for each in outcomes)
    sent = [each[0] for each in outcomes if isinstance(each, tuple)]
    return {each.message_id for each in sent if isinstance(each, Sent)}


async def drain(store: Store) -> list[str]:
    """Receive and delete until nothing is left; return the ids."""
    found: list[str] = []
    while True:
        received = await store.receive("q", ENTROPY.tokens(100), 600_000, now())
        if not received.deliveries:
            return found
        settlements = [Settlement("q", each.receipt_handle) for each in received.deliveries]
        assert {each.result for each in await store.settle(settlements, now())} == {Settled.DONE}
        found += [each.message_id for each in received.deliveries]


async def reopened(url: str) -> Store:
    """Open a store whose next primary is not known yet."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await open_store(url)
        except StoreUnavailable:
            assert time.monotonic() < deadline, "no other server took over"
            await asyncio.sleep(0.02)


async def survive(url: str, fail: Callable[[], None]) -> None:
    """Send with every change confirmed by a replica, let the primary fail amid, and look what is there."""
    confirming = await open_store(f"{url}wait_replicas=1&patience_seconds=0.5")
    await confirming.create_queue("q", QueueChanges(), 0, now())
    answered = await send(confirming, 30)
    assert len(answered) == 30
    sending = asyncio.ensure_future(send(confirming, 30))
    await asyncio.sleep(0.001)
    fail()
    answered |= await sending
    await confirming.aclose()
    store = await reopened(f"{url}patience_seconds={PATIENCE_SECONDS}")
    answered |= await send(store, 5)
    found = await drain(store)
    assert len(found) == len(set(found)), "handed out again after it was deleted"
    assert answered <= set(found), "lost"
    await store.aclose()


def survive_in_a_thread(url: str, fail: Callable[[], None]) -> None:
    """The same with jobs that code which is not async sends."""
    maker = app_on(url)
    maker.tasks["noop"].send()
    maker.close()
    confirming, following = app_on(f"{url}wait_replicas=1&patience_seconds=0.5"), app_on(f"{url}patience_seconds=20")
    with without_a_portal():
        sent = {confirming.tasks["noop"].send().id for _ in range(30)}
        following.tasks["noop"].send()
        fail()
        with pytest.raises(StoreUnavailable):
            confirming.tasks["noop"].send()
        sent |= {following.tasks["noop"].send().id for _ in range(10)}
    confirming.close()
    following.close()
    assert sent <= set(ids_waiting(url)), "lost"


SURVIVE = pytest.mark.parametrize(
    "survive_it", [lambda url, fail: asyncio.run(survive(url, fail)), survive_in_a_thread], ids=["loop", "thread"]
)


@pytest.mark.timeout(60)
@SURVIVE
def test_sentinels_name_the_next_primary(start: StartServer, survive_it: Callable[..., None]) -> None:
    primary = start(repl_diskless_sync_delay=0)
    replica = start(repl_diskless_sync_delay=0)
    replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
    wait_for(lambda: primary.ask("WAIT", "1", "50") == b":1", "the replica follows")
    watch = f"""
        sentinel monitor orders 127.0.0.1 {primary.port} 1
        sentinel down-after-milliseconds orders 300
        sentinel failover-timeout orders 2000
    """
    sentinel = start(file=watch)
    wait_for(lambda: sentinel.ask("SENTINEL", "REPLICAS", "orders") == b"*1", "the sentinel knows the replica")
    survive_it(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/orders?", primary.kill)


@pytest.mark.timeout(60)
@SURVIVE
def test_a_replica_takes_over_in_a_cluster(start: StartServer, survive_it: Callable[..., None]) -> None:
    ports = {"cluster_enabled": "yes", "cluster_node_timeout": 500, "repl_diskless_sync_delay": 0}
    nodes = [start(cluster_port=free_port(), **ports) for _ in range(4)]
    first, last = 0, 5461
    for node in nodes[:3]:
        assert node.ask("CLUSTER", "ADDSLOTSRANGE", str(first), str(min(last, 16383))) == b"+OK"
        first, last = last + 1, last + 5462
    for node in nodes[1:]:
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(node.settings["cluster_port"]))
    wait_for(lambda: all("cluster_state:ok" in node.told("CLUSTER", "INFO") for node in nodes), "the cluster is whole")
    # the slot of the hash tag decides which node matters
    slot = int(nodes[0].ask("CLUSTER", "KEYSLOT", "{penstock}")[1:])
    holder = nodes[slot // 5462]
    identity = holder.told("CLUSTER", "MYID")
    wait_for(lambda: nodes[3].ask("CLUSTER", "REPLICATE", identity) == b"+OK", "the fourth node replicates")
    wait_for(lambda: holder.ask("WAIT", "1", "50") == b":1", "the replica follows")
    wait_for(lambda: all("slave" in node.told("CLUSTER", "NODES") for node in nodes), "all know the replica")
    others = ",".join(f"127.0.0.1:{node.port}" for node in nodes if node is not holder)
    survive_it(f"redis+cluster://{others}?", holder.kill)


@pytest.mark.parametrize(
    "url",
    [
        "redis://a,a",
        "redis://a?tags=x,x",
        "redis+sentinel://a/x,",
        "redis://a:x",
        "redis+sentinel://a",
        "redis://a/x",
        "redis://a?nonsense=1",
        "redis://a?tag=",
        "redis://a?tag={}",
        "redis+other://a",
    ],
)
async def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        await open_store(url)


def test_addresses_say_what_is_meant() -> None:
    (address,) = read_addresses("rediss+sentinel://me:p%40ss@a,b:7000/orders?database=2&tag=t")
    assert address.hosts == (("a", 26379), ("b", 7000))
    assert (address.kind, address.service, address.database, address.tag) == ("sentinel", "orders", 2, "t")
    assert (address.username, address.password, address.uses_tls) == ("me", "p@ss", True)
    assert [each.hosts for each in read_addresses("redis://[::1]:1/3")] == [(("::1", 1),)]
    assert [each.hosts for each in read_addresses("redis://")] == [(("localhost", 6379),)]


def test_addresses_say_which_shards_are_meant() -> None:
    servers = read_addresses("rediss://me:secret@a,b:7000/3?tag=t")
    assert [(each.hosts, each.tag, each.database) for each in servers] == [
        ((("a", 6379),), "t", 3),
        ((("b", 7000),), "t", 3),
    ]
    assert all(each.password == "secret" and each.uses_tls for each in servers)
    assert [each.service for each in read_addresses("redis+sentinel://a,b/orders,billing")] == ["orders", "billing"]
    cluster = read_addresses("redis+cluster://a,b?tags=x,y,z")
    assert [(len(each.hosts), each.tag) for each in cluster] == [(2, "x"), (2, "y"), (2, "z")]
