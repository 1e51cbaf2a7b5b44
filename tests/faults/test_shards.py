"""A store of several shards when one of them fails, or the process that relays between them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from penstock.broker.local import LocalBroker
from penstock.broker.system import SystemEntropy
from penstock.core.effects import Arrival, Effects, FollowUp, Join, Record
from penstock.core.errors import InvalidRequest, StoreUnavailable
from penstock.core.filters import MessageFilter
from penstock.core.messages import Draft, MessageView
from penstock.core.operations import Sent
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.core.settlements import DELETE, Action, DeadLetter, Settled, Settlement, SettleOutcome
from penstock.store import examine, open_store
from penstock.store.contract import Store
from penstock.store.memory import MemoryStore
from penstock.store.partitioned import PartitionedStore
from penstock.store.sharded import ShardedStore
from penstock.store.sharded.relaying import RELAYED_AFTER_MS
from penstock.worker.engine import settling
from tests.faults.redis_at_work import StartServer
from tests.support.redis_server import form_cluster, free_port

ENTROPY = SystemEntropy()
LEASE_MS = 600_000
KEPT = {"appendonly": "yes", "appendfsync": "always"}


def now() -> int:
    return time.time_ns() // 1_000_000


def draft(body: str = "x") -> Draft:
    return Draft(body, message_id=ENTROPY.message_id(now()))


async def take(store: Store, queue: str, at: int) -> str:
    (delivery,) = (await store.receive(queue, ENTROPY.tokens(1), LEASE_MS, at)).deliveries
    return delivery.receipt_handle


async def settle(store: Store, queue: str, handle: str, at: int, action: Action = DELETE, **effects: object) -> Settled:
    settlement = Settlement(queue, handle, action, effects=Effects(**effects))  # type: ignore[arg-type]
    return (await store.settle([settlement], at))[0].result


async def bodies(store: Store, queue: str, at: int) -> list[str]:
    return [message.body for message in (await store.peek(queue, MessageFilter(), 0, 1000, at))[0]]


def shards_of(store: Store) -> ShardedStore:
    """Return a store of several shards by itself, however it was opened."""
    shards = store.store if isinstance(store, PartitionedStore) else store
    assert isinstance(shards, ShardedStore)
    return shards


def one_each(store: Store) -> list[str]:
    """Return the name of a queue on each shard."""
    store = shards_of(store)
    names: dict[int, str] = {}
    for number in range(1000):
        names.setdefault(store.home(f"q{number}"), f"q{number}")
    return [names[index] for index in range(len(store.shards))]


# -- a process that ends while it relays ---------------------------------------------------------------------------


class Ends(BaseException):
    """The process ends here."""


class Ending(MemoryStore):
    """A shard of memory; the process ends before or after one of its verbs."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: tuple[str, str] | None = None

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name not in ("apply", "adopt", "let_go"):
            return found
        verb, ends = found, super().__getattribute__("ends")

        async def call(*args: object) -> object:
            if ends == ("before", name):
                raise Ends
            answer = await verb(*args)  # type: ignore[operator]
            if ends == ("after", name):
                raise Ends
            return answer

        return call


POINTS = [("before", "apply"), ("after", "apply"), ("before", "let_go"), ("after", "let_go")]


@contextlib.asynccontextmanager
async def ending() -> AsyncIterator[tuple[list[Ending], ShardedStore]]:
    shards = [Ending(), Ending()]
    store = await ShardedStore.open(shards)
    here, there = one_each(store)
    for queue in (here, there):
        await store.create_queue(queue, QueueChanges(), 0, 0)
    yield shards, store


async def found_by_others(shards: Sequence[Ending], queue: str, at: int) -> list[MessageView]:
    """Return what other processes find in a queue, before and after they sweep; what they find they delete."""
    for shard in shards:
        shard.ends = None
    store = await ShardedStore.open(shards)
    found: list[MessageView] = []
    for _ in range(3):
        page, _ = await store.peek(queue, MessageFilter(), 0, 100, at)
        found += page
        for _ in page:
            assert await settle(store, queue, await take(store, queue, at), at) is Settled.DONE
        await store.sweep(1000, at + 2 * RELAYED_AFTER_MS)
    return found


@pytest.mark.parametrize("point", POINTS, ids=" ".join)
async def test_what_a_step_wants_elsewhere_happens_once_wherever_a_process_ends(point: tuple[str, str]) -> None:
    async with ending() as (shards, store):
        here, there = one_each(store)
        await store.send(here, [draft()], 1)
        handle = await take(store, here, 2)
        shards[1 if point[1] == "apply" else 0].ends = point
        with contextlib.suppress(Ends):
            await settle(store, here, handle, 3, sends=(FollowUp(there, draft("next")),))
            await asyncio.sleep(0)
        assert [message.body for message in await found_by_others(shards, there, 4)] == ["next"]


@pytest.mark.parametrize(
    "point", [("before", "adopt"), ("after", "adopt"), ("before", "let_go"), ("after", "let_go")], ids=" ".join
)
async def test_a_dead_letter_comes_home_once_wherever_a_process_ends(point: tuple[str, str]) -> None:
    async with ending() as (shards, store):
        here, there = one_each(store)
        await store.update_queue(here, QueueChanges(redrive=RedrivePolicy(there, 3)), 0)
        await store.send(here, [draft("bad")], 1)
        handle = await take(store, here, 2)
        shards[1 if point[1] == "adopt" else 0].ends = point
        with contextlib.suppress(Ends):
            await settle(store, here, handle, 3, DeadLetter("no"))
        (message,) = await found_by_others(shards, there, 4)
        assert (message.body, message.receive_count, message.dead_letter_source) == ("bad", 1, here)


async def test_a_join_on_one_shard_sends_to_a_queue_on_another_once() -> None:
    async with ending() as (shards, store):
        here, there = one_each(store)
        for name in ("a", "b", "c", "d"):  # some of them live here, some there
            join = Join(name, 1, FollowUp(here, draft(f"here {name}")))
            await store.apply(Effects(joins=(join, Join(f"{name}2", 1, FollowUp(there, draft(f"there {name}"))))), 1)
        arrivals = tuple(Arrival(f"{name}{end}", "p") for name in ("a", "b", "c", "d") for end in ("", "2"))
        shards[1].ends = ("after", "apply")
        with contextlib.suppress(Ends):
            await store.apply(Effects(arrivals=arrivals), 2)
        for queue, name in ((here, "here"), (there, "there")):
            found = [message.body for message in await found_by_others(shards, queue, 3)]
            assert sorted(found) == [f"{name} {each}" for each in ("a", "b", "c", "d")]


async def test_a_join_on_another_shard_is_open_before_what_arrives_at_it_is_sent() -> None:
    async with ending() as (shards, store):
        here, there = one_each(store)
        name = next(f"j{number}" for number in range(100) if store._spread.shards.home_of_join(f"j{number}") == 1)
        shards[0].ends = ("after", "apply")  # the step is taken, and nothing of it is relayed any more
        step = Effects(
            sends=(FollowUp(here, draft("first")),), joins=(Join(name, 1, FollowUp(there, draft("second"))),)
        )
        with pytest.raises(Ends):
            await store.apply(step, 1)
        shards[0].ends = None
        other = await ShardedStore.open(shards)
        handle = await take(other, here, 2)
        assert await settle(other, here, handle, 2, arrivals=(Arrival(name, "p"),)) is Settled.DONE
        assert await bodies(other, there, 3) == ["second"]


async def test_a_queue_that_is_deleted_meanwhile_lets_what_was_for_it_fall() -> None:
    async with ending() as (shards, store):
        here, there = one_each(store)
        await store.send(here, [draft()], 1)
        handle = await take(store, here, 2)
        shards[1].ends = ("before", "apply")
        record = Record(_key_on(store, 1), b"kept")
        with contextlib.suppress(Ends):
            await settle(store, here, handle, 3, sends=(FollowUp(there, draft()),), records=(record,))
        shards[1].ends = None
        await store.delete_queue(there, 4)
        assert await found_by_others(shards, here, 4) == []
        assert await store.get_records((record.key,), 5) == (record,)


def _key_on(store: ShardedStore, index: int) -> str:
    return next(key for key in (f"k{number}" for number in range(1000)) if store.home_of_record(key) == index)


# -- a shard that is away ------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
async def test_the_others_go_on_while_a_shard_is_away_and_nothing_is_lost(start: StartServer) -> None:
    servers = [start(**KEPT), start(**KEPT)]
    url = f"redis://{','.join(f'127.0.0.1:{server.port}' for server in servers)}?patience_seconds=0.3"
    store = await open_store(url)
    here, there = one_each(store)
    for queue in (here, there):
        await store.create_queue(queue, QueueChanges(), 0, now())
    await store.send(here, [draft()], now())
    (kept,) = await store.send(there, [draft("kept")], now())
    servers[1].kill()

    with pytest.raises(StoreUnavailable):
        await store.send(there, [draft()], now())
    for _ in range(20):
        await store.send(here, [draft()], now())
    handle = await take(store, here, now())
    # what belongs to the shard that is away waits for it, and the settlement does not
    assert await settle(store, here, handle, now(), sends=(FollowUp(there, draft("next")),)) is Settled.DONE
    listed = await store.list_queues("", "", 10, None, now())
    assert {queue.name: queue.is_away for queue in listed} == {here: False, there: True}
    assert next(queue.counts.ready for queue in listed if queue.name == here) == 20
    assert await store.sweep(1000, now()) >= 0
    await store.check()
    other = await open_store(url)  # a server may start meanwhile
    assert len(await bodies(other, here, now())) == 20
    await other.aclose()

    servers[1].start()
    await until_there(store, there)
    assert isinstance(kept, Sent)
    await swept_until(store, lambda: bodies(store, there, now()), ["kept", "next"])
    await store.aclose()


async def swept_until(store: Store, look: Callable[[], Awaitable[object]], expected: object) -> None:
    """Sweep until something is seen; a shard that failed a moment ago is left alone for one more."""
    deadline = time.monotonic() + 20
    while await look() != expected:
        assert time.monotonic() < deadline, await look()
        await store.sweep(1000, now() + 2 * RELAYED_AFTER_MS)


async def until_there(store: Store, queue: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            await store.describe_queue(queue, now())
            return
        except StoreUnavailable:
            assert time.monotonic() < deadline, "the shard does not come back"


@pytest.mark.timeout(60)
async def test_what_was_for_a_shard_that_stands_still_is_relayed_when_it_goes_on(start: StartServer) -> None:
    servers = [start(), start()]
    url = f"redis://{','.join(f'127.0.0.1:{server.port}' for server in servers)}?patience_seconds=30"
    store = await open_store(url)
    here, there = one_each(store)
    for queue in (here, there):
        await store.create_queue(queue, QueueChanges(redrive=None), 0, now())
    await store.update_queue(here, QueueChanges(redrive=RedrivePolicy(there, 5)), now())
    await store.send(here, [draft("one"), draft("two")], now())
    handles = [await take(store, here, now()) for _ in range(2)]
    record = Record(_key_on(shards_of(store), 1), b"done")
    servers[1].pause()
    assert await settle(store, here, handles[0], now(), records=(record,)) is Settled.DONE
    assert await settle(store, here, handles[1], now(), DeadLetter("bad")) is Settled.DONE
    servers[1].resume()
    await until_there(store, there)
    await swept_until(store, lambda: bodies(store, there, now()), ["two"])
    await swept_until(store, lambda: store.get_records((record.key,), now()), (record,))
    await store.aclose()


@pytest.mark.timeout(60)
async def test_nothing_is_lost_when_a_master_of_a_cluster_is_killed_under_load(start: StartServer) -> None:
    cluster = {"cluster_enabled": "yes", "cluster_require_full_coverage": "no", **KEPT}
    nodes = form_cluster([start(cluster_port=free_port(), **cluster) for _ in range(3)])
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    store = await open_store(f"redis+cluster://{hosts}?tags=a,b,c,d&patience_seconds=20")
    queues = one_each(store)
    for queue in queues:
        await store.create_queue(queue, QueueChanges(), 0, now())
    answered: dict[str, set[str]] = {queue: set() for queue in queues}
    under_way = asyncio.Event()

    async def send(queue: str) -> None:
        for _ in range(30):
            each = draft()
            (outcome,) = await store.send(queue, [each], now())
            assert isinstance(outcome, Sent)
            answered[queue].add(outcome.message_id)
            under_way.set()

    sending = asyncio.gather(*(send(queue) for queue in queues))
    await under_way.wait()
    nodes[0].kill()
    nodes[0].start()
    await sending
    for queue in queues:
        page, _ = await store.peek(queue, MessageFilter(), 0, 1000, now())
        found = [message.message_id for message in page]
        assert len(found) == len(set(found)) == 30
        assert set(found) == answered[queue]
    await store.aclose()


class Leaving(MemoryStore):
    """A shard of memory that settles nothing while it is away, or settles and does not say so."""

    is_away = False
    loses_answers = False

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        if self.is_away:
            raise StoreUnavailable("It is away.")
        outcomes = await super().settle(settlements, now)
        if self.loses_answers:
            self.loses_answers = False
            raise StoreUnavailable("It went away.")
        return outcomes


@pytest.mark.parametrize("has_happened", [False, True])
async def test_the_end_of_a_job_waits_for_its_shard_and_holds_up_no_other(
    has_happened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "LONGEST_PAUSE_SECONDS", 0.01)
    shards = [Leaving(), Leaving()]
    store = await ShardedStore.open(shards)
    handles = {}
    for queue in one_each(store):
        await store.create_queue(queue, QueueChanges(), 0, 0)
        await store.send(queue, [draft()], now())
        handles[queue] = await take(store, queue, now())
    shards[1].loses_answers, shards[1].is_away = has_happened, not has_happened
    ends = settling.Settling(LocalBroker(store))
    here, there = [ends.settle(Settlement(queue, handle, is_fenced=True)) for queue, handle in handles.items()]
    assert (await here).result is Settled.DONE
    assert not there.done()
    shards[1].is_away = False
    assert (await asyncio.wait_for(there, 20)).result is Settled.DONE
    await store.aclose()


# -- which servers make up a store ---------------------------------------------------------------------------------


async def test_a_wrong_list_of_shards_is_refused(start: StartServer) -> None:
    one, two = start(), start()
    await (await open_store(f"redis://127.0.0.1:{one.port},127.0.0.1:{two.port}")).aclose()
    for hosts in (f"127.0.0.1:{two.port},127.0.0.1:{one.port}", f"127.0.0.1:{one.port},127.0.0.1:{start().port},a"):
        with pytest.raises(InvalidRequest):
            await open_store(f"redis://{hosts}?patience_seconds=0.1")


async def test_a_server_that_is_in_use_alone_does_not_become_a_shard(start: StartServer) -> None:
    one, two = start(), start()
    alone = await open_store(one.url)
    await alone.create_queue("q", QueueChanges(), 0, now())
    await alone.aclose()
    with pytest.raises(InvalidRequest, match="queues of its own"):
        await open_store(f"redis://127.0.0.1:{one.port},127.0.0.1:{two.port}")


async def test_the_weakest_shard_says_what_an_answer_promises(start: StartServer) -> None:
    servers = [start(**KEPT), start()]
    url = f"redis://{','.join(f'127.0.0.1:{server.port}' for server in servers)}"
    store = await open_store(url)
    examination = await examine(store, url)
    assert examination.durability == "none"
    assert all(concern.found.startswith("shard 1 (") for concern in examination.concerns)
    assert examination.concerns
    await store.aclose()
