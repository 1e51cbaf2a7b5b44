"""One round of moving slots from shard to shard, in which everybody waits who wants to change something of theirs.

It may end anywhere, and whoever goes on does all of it again: what is carried twice is there once. Messages that steps
of other queues put into a queue meanwhile, on the shard it leaves or on the one it goes to, have later numbers than
what is carried; there they stay, and are carried home as ever.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec import structs

from penstock.core.belongings import (
    Belonging,
    Gone,
    KeptAttempt,
    KeptDuplicate,
    KeptGroup,
    KeptJoin,
    KeptMessage,
    KeptMove,
    KeptQueue,
    KeptRecord,
    Kind,
    RestingName,
)
from penstock.core.placement import slot_of, slot_of_key
from penstock.store.house import ShardHouse
from penstock.store.shard import Shard
from penstock.store.sharded.carrying import Carrying
from penstock.store.sharded.maps import Map
from penstock.store.sharded.recordkeys import RecordKeys
from penstock.store.sharded.relaying import Relaying
from penstock.store.sharded.shards import Shards, is_named
from penstock.store.sharded.wrapping import rewrapped

T = TypeVar("T")

_PAGE, _AT_ONCE = 500, 16
_OF_A_QUEUE: tuple[Kind, ...] = (KeptMessage, KeptGroup, KeptDuplicate, KeptAttempt)
_OF_NO_QUEUE: tuple[Kind, ...] = (KeptJoin, KeptMove, RestingName)


class Round:
    """Slots on their way.

    Args:
        stores: the shards.
        known: the map, with what is moving; when there is a newer one, everything here raises MapChanged.
        keys: of the records in slots that move.
        now_ms: tells the time.
    """

    def __init__(self, stores: Sequence[Shard], known: Map, keys: RecordKeys, now_ms: Callable[[], int]) -> None:
        self._map = known
        self._last = known.last or {}
        self._keys = keys
        self._sources = known.moving if known.has_arrived else {slot: known.homes[slot] for slot in known.moving}
        self._homes_then = [known.moving.get(slot, home) for slot, home in enumerate(known.homes)]
        self._now_ms = now_ms
        self._shards = Shards(stores, known)
        self._houses = self._shards.houses()
        self._relaying = Relaying(self._shards)
        self._carrying = Carrying(self._shards)

    # -- there -------------------------------------------------------------------------------------------------------

    async def begin(self) -> dict[str, int]:
        """Make everything that is under way arrive where it was to go, and agree on which messages are carried.

        Returns:
            The number of the last one, by queue.
        """
        now = self._now_ms()
        for index in self._shards.indexes:
            await self._relaying.forget_done(index, now)
        lying = await asyncio.gather(*map(self._queues, self._shards.indexes))
        queues = [queue for index, found in enumerate(lying) for queue in found if self._shards.home(queue) == index]
        known = set(queues)
        for index, found in enumerate(lying):
            for queue, count in found.items():
                if count and queue in known:
                    await self._carrying.carry(index, queue, now)
                elif queue not in known and self._target(queue) is self._houses[index]:
                    # it has no home, because making or deleting it has ended half-way
                    await self._houses[index].take_in([Gone("queue", queue)])
        return dict(await _some_at_a_time(self._agree, [(queue,) for queue in queues]))

    async def carry(self) -> int:
        """Carry everything of the slots to where they go, and return how many messages that were."""
        carried = sum(await _some_at_a_time(self._carry_queue, self._last.items()))
        async for index, page in self._others():
            await self._redirect_joins(index, page)
            await self._carry_others([each for each in page if self._is_moving(each, index)])
        await self._keys.note_more(self._houses, self._now_ms())
        async for index, keys in self._moving_keys():
            records = await self._shards[index].get_records(keys, self._now_ms())
            await self._carry_others([KeptRecord(each) for each in records if each is not None])
        return carried

    async def _carry_queue(self, queue: str, last: int) -> int:
        source, target = self._shards.home(queue), self._target(queue)
        carried, taking = 0, asyncio.ensure_future(_nothing())
        try:
            for kind in _OF_A_QUEUE:
                async for page in self._pages(source, kind, queue):
                    # the next page is read while this one is taken in
                    await taking
                    page = [each for each in page if not isinstance(each, KeptMessage) or each.sequence_number <= last]
                    taking = asyncio.ensure_future(target.take_in(page))
                    carried += len(page) if kind is KeptMessage else 0
            await taking
        finally:
            taking.cancel()
        await target.settle_queue(queue, self._now_ms())
        return carried

    def _target(self, queue: str) -> ShardHouse:
        return self._houses[self._map.moving[slot_of(queue)]]

    async def _agree(self, queue: str) -> tuple[str, int]:
        """Agree on the number up to which the messages of a queue are carried."""
        source, now = self._shards.home(queue), self._now_ms()
        ((kept,), _) = await self._houses[source].page_of(queue, KeptQueue, None, 1)
        assert isinstance(kept, KeptQueue)
        # what comes there from now on has later numbers
        await self._target(queue).take_in([kept])
        await asyncio.gather(*(self._carrying.carry(index, queue, now) for index in self._shards.others(source)))
        return queue, kept.last_sequence

    async def _carry_others(self, page: Sequence[Belonging]) -> None:
        by_target: dict[int, list[Belonging | Gone]] = defaultdict(list)
        for each in page:
            if isinstance(each, KeptJoin):
                kept: Belonging = structs.replace(each, join=rewrapped(each.join, self._homes_then))
            else:
                kept = each
            by_target[self._map.moving[_slot(each)]].append(kept)
        for target, things in by_target.items():
            await self._houses[target].take_in(things)

    async def _redirect_joins(self, index: int, page: Sequence[Belonging]) -> None:
        """Have joins that stay send by way of the outbox what is for a queue that goes away."""
        for each in page:
            if isinstance(each, KeptJoin) and not self._is_moving(each, index):
                join = rewrapped(each.join, self._homes_then)
                if self._shards.is_moving(each.join.follow_up.queue) and join != each.join:
                    await self._houses[index].redirect_join(join)

    def _is_moving(self, thing: Belonging, index: int) -> bool:
        return self._sources.get(_slot(thing)) == index

    # -- away --------------------------------------------------------------------------------------------------------

    async def clear(self) -> None:
        """Forget everything of the slots where they were; they have arrived."""
        await _some_at_a_time(self._leave, self._last.items())
        # what is read page by page is not taken away meanwhile
        for source, page in [each async for each in self._others()]:
            await self._houses[source].take_in([_gone(each) for each in page if self._is_moving(each, source)])
        async for index, keys in self._moving_keys():
            await self._shards[index].delete_records(keys, self._now_ms())

    async def _leave(self, queue: str, last: int) -> None:
        source = self._map.moving[slot_of(queue)]
        while not await self._houses[source].leave_queue(queue, last, self._now_ms()):
            await self._carrying.carry(source, queue, self._now_ms(), after=last)

    # -- looking -----------------------------------------------------------------------------------------------------

    async def _queues(self, index: int) -> dict[str, int]:
        """Return the queues on a shard that are moving, each with the number of its messages there."""
        found: dict[str, int] = {}
        after: str | None = ""
        while after is not None:
            page = await self._shards[index].list_queues("", after, _PAGE, None, self._now_ms())
            for queue in page:
                if is_named(queue.name) and self._shards.is_moving(queue.name):
                    found[queue.name] = queue.counts.ready + queue.counts.delayed + queue.counts.in_flight
            after = page[-1].name if len(page) == _PAGE else None
        return found

    async def _pages(self, index: int, kind: Kind, queue: str | None = None) -> AsyncIterator[Sequence[Belonging]]:
        house, after = self._houses[index], None
        while True:
            page, after = await (
                house.page(kind, after, _PAGE) if queue is None else house.page_of(queue, kind, after, _PAGE)
            )
            if page:
                yield page
            if after is None:
                return

    async def _moving_keys(self) -> AsyncIterator[tuple[int, list[str]]]:
        """Yield keys of records that move, some at a time, with the shard they come from."""
        for slot, index in self._sources.items():
            keys = sorted(self._keys.of_slot(index, slot))
            for at in range(0, len(keys), _PAGE):
                yield index, keys[at : at + _PAGE]

    async def _others(self) -> AsyncIterator[tuple[int, Sequence[Belonging]]]:
        """Yield what there is beside queues and records, with the shard it is on: those the slots come from."""
        for index in sorted(set(self._sources.values())):
            for kind in _OF_NO_QUEUE:
                async for page in self._pages(index, kind):
                    yield index, page


async def _some_at_a_time(ask: Callable[..., Awaitable[T]], arguments: Iterable[tuple[Any, ...]]) -> list[T]:
    """Return what each comes to, some of them at a time: shards do many things in one step."""
    begins = asyncio.Semaphore(_AT_ONCE)

    async def one(*given: Any) -> T:
        async with begins:
            return await ask(*given)

    return list(await asyncio.gather(*(one(*given) for given in arguments)))


async def _nothing() -> None:
    return None


def _name(thing: Belonging) -> str:
    if isinstance(thing, KeptRecord):
        return thing.record.key
    if isinstance(thing, KeptJoin):
        return thing.join.join_id
    if isinstance(thing, KeptMove):
        return thing.move.source
    assert isinstance(thing, RestingName)
    return thing.name


def _slot(thing: Belonging) -> int:
    return slot_of_key(_name(thing)) if isinstance(thing, KeptRecord | KeptJoin) else slot_of(_name(thing))


def _gone(thing: Belonging) -> Gone:
    if isinstance(thing, KeptMove):
        return Gone("move", thing.move.source, thing.move.move_id)
    if isinstance(thing, RestingName):
        return Gone("resting", key=thing.name)
    return Gone("join", key=_name(thing))
