"""The contract's verbs over several shards: what names a queue goes to its shard, the rest to all."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from penstock.core.effects import Effects, Record
from penstock.core.errors import MoveNotFound, StoreUnavailable
from penstock.core.events import Event
from penstock.core.filters import Matcher, MessageFilter
from penstock.core.lifecycle import refusal
from penstock.core.messages import Draft, MessageView, State
from penstock.core.moves import Move
from penstock.core.operations import ApplyReply, IdOutcome, Refused, SendOutcome, Sent
from penstock.core.queues import GroupView, QueueChanges, QueueDescription
from penstock.core.settlements import Settlement, SettleOutcome
from penstock.store.contract import Received, Shard, WakeupListener
from penstock.store.sharded import administering
from penstock.store.sharded.carrying import Carrying
from penstock.store.sharded.feed import Feed
from penstock.store.sharded.membership import join_up
from penstock.store.sharded.merging import in_order, one_history, outcomes_by_id, there, view_of, whole
from penstock.store.sharded.relaying import Relaying
from penstock.store.sharded.shards import JOINED, OUTBOX, RESERVED, Shards, is_named
from penstock.store.sharded.stepping import Stepping
from penstock.store.sharded.wrapping import rewrapped, shown

T = TypeVar("T")
U = TypeVar("U")


class ShardedStore:
    """Several stores that make up one.

    Made by ``await ShardedStore.open(stores)``.
    """

    def __init__(self, stores: Sequence[Shard]) -> None:
        self._shards = Shards(stores)
        self._carrying = Carrying(self._shards)
        self._relaying = Relaying(self._shards)
        self._stepping = Stepping(self._shards, self._relaying)
        self._feed = Feed(self._shards)
        self._listeners: list[WakeupListener] = []
        for index, store in enumerate(stores):
            store.listen(self._listener(index))

    @classmethod
    async def open(cls, stores: Sequence[Shard]) -> "ShardedStore":
        """Make one store of several. They are closed with it, also when this fails.

        Args:
            stores: always the same, in the same order.

        Raises:
            InvalidRequest: they are no shards of one store.
            StoreUnavailable: one is away that was never part of it, or all are.
        """
        store = cls(stores)
        try:
            await join_up(store._shards)
            await store._shards.those_there(store._relaying.open)
        except BaseException:
            await store.aclose()
            raise
        return store

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The stores it is made of."""
        return self._shards.stores

    def home(self, queue: str) -> int:
        """Return the shard that a queue lives on, by its place."""
        return self._shards.home(queue)

    def home_of_record(self, key: str) -> int:
        """Return the shard that a record lives on, by its place."""
        return self._shards.home_of_record(key)

    def _listener(self, index: int) -> WakeupListener:
        def wake(name: str, at: int) -> None:
            queue = name.partition("\n")[0]
            if queue == JOINED:
                self._relaying.note(index)
            elif queue.startswith(RESERVED):
                pass
            elif self._shards.home(queue) == index:
                for listener in self._listeners:
                    listener(name, at)
            else:
                self._carrying.note(index, queue)

        return wake

    def _home(self, queue: str) -> Shard:
        return self._shards[self._shards.home(queue)]

    # -- queues ------------------------------------------------------------------------------------------------------

    async def create_queue(
        self, name: str, changes: QueueChanges, name_rest_ms: int, now: int
    ) -> tuple[QueueDescription, bool]:
        return await administering.create_queue(self._shards, name, changes, name_rest_ms, now)

    async def update_queue(self, name: str, changes: QueueChanges, now: int) -> QueueDescription:
        return await administering.update_queue(self._shards, name, changes, now)

    async def delete_queue(self, name: str, now: int) -> None:
        await administering.delete_queue(self._shards, name, now)

    async def describe_queue(self, name: str, now: int) -> QueueDescription:
        return await self._home(name).describe_queue(name, now)

    async def list_queues(
        self, prefix: str, after: str, limit: int, dead_letter_queue: str | None, now: int
    ) -> Sequence[QueueDescription]:
        return await administering.list_queues(self._shards, prefix, after, limit, dead_letter_queue, now)

    async def purge_queue(self, name: str, rest_ms: int, now: int) -> int:
        return await administering.purge_queue(self._shards, name, rest_ms, now)

    async def list_groups(self, name: str, after: str, limit: int, only_parked: bool, now: int) -> Sequence[GroupView]:
        return await self._home(name).list_groups(name, after, limit, only_parked, now)

    async def update_group(self, name: str, group_id: str, is_parked: bool, now: int) -> None:
        await self._home(name).update_group(name, group_id, is_parked, now)

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, drafts: Sequence[Draft], now: int) -> tuple[SendOutcome, ...]:
        ids = [draft.message_id or "" for draft in drafts]
        known = await self._stepping.kept_elsewhere(ids, self._shards.home(queue), now)
        if not known:
            return await self._home(queue).send(queue, drafts, now)
        settings = (await self.describe_queue(queue, now)).settings
        outcomes: list[SendOutcome] = []
        for draft, message_id in zip(drafts, ids, strict=True):
            refused = refusal(settings, draft) if message_id in known else None
            if refused is not None:
                outcomes.append(Refused(refused.problem))
            elif message_id in known:
                outcomes.append(Sent(message_id, known[message_id], is_duplicate=True))
            else:
                outcomes += await self._home(queue).send(queue, (draft,), now)
        return tuple(outcomes)

    async def receive(
        self,
        queue: str,
        tokens: Sequence[bytes],
        visibility_timeout_ms: int | None,
        now: int,
        *,
        owner: str | None = None,
        attempt_id: str | None = None,
        following: str | None = None,
    ) -> Received:
        received = await self._home(queue).receive(
            queue, tokens, visibility_timeout_ms, now, owner=owner, attempt_id=attempt_id, following=following
        )
        await self._finish(now)
        return received

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        outcomes = await self._stepping.settle(settlements, now)
        await self._finish(now)
        return outcomes

    async def _finish(self, now: int) -> None:
        """Do at once what a step has left for other shards."""
        await self._relaying.relay_noted(now)
        await self._carrying.carry_noted(now)

    async def release_leases(self, owner: str, now: int) -> int:
        released = await self._shards.those_there(lambda shard: shard.release_leases(owner, now))
        return sum(whole(released))

    async def apply(self, effects: Effects, now: int) -> ApplyReply:
        reply = await self._stepping.apply(effects, now)
        await self._finish(now)
        return reply

    async def cancel(self, message_ids: Sequence[str], queue: str | None, now: int) -> tuple[IdOutcome, ...]:
        return await self._by_id(message_ids, queue, now, lambda shard, ids, name: shard.cancel(ids, name, now))

    async def delete_messages(
        self, message_ids: Sequence[str], only_in_flight: bool, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return await self._by_id(
            message_ids, queue, now, lambda shard, ids, name: shard.delete_messages(ids, only_in_flight, name, now)
        )

    async def reschedule(
        self, message_ids: Sequence[str], deliver_at: int, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return await self._by_id(
            message_ids, queue, now, lambda shard, ids, name: shard.reschedule(ids, deliver_at, name, now)
        )

    async def _by_id(
        self,
        message_ids: Sequence[str],
        queue: str | None,
        now: int,
        ask: Callable[[Shard, Sequence[str], str | None], Awaitable[tuple[IdOutcome, ...]]],
    ) -> tuple[IdOutcome, ...]:
        answers = await self._shards.those_there(lambda shard: ask(shard, message_ids, queue))
        outcomes = outcomes_by_id(there(answers))
        if IdOutcome.GONE not in outcomes:
            return outcomes
        # it may be on the shard that is away
        whole(answers)
        if queue is None:
            return outcomes
        # or wrapped, until its join sends it
        gone = [each for each, outcome in zip(message_ids, outcomes, strict=True) if outcome is IdOutcome.GONE]
        views = zip(gone, await self.find(gone, now), strict=True)
        blocked = {each for each, view in views if view and view.state is State.BLOCKED and view.queue == queue}
        if not blocked:
            return outcomes
        again = [each if each in blocked else "" for each in message_ids]
        wrapped = outcomes_by_id(await self._shards.all(lambda shard: ask(shard, again, JOINED)))
        return outcomes_by_id((outcomes, wrapped))

    async def peek(
        self, queue: str, wanted: MessageFilter, after: int, limit: int, now: int
    ) -> tuple[Sequence[MessageView], int | None]:
        return await self._home(queue).peek(queue, wanted, after, limit, now)

    async def find(self, message_ids: Sequence[str], now: int) -> tuple[MessageView | None, ...]:
        answers = await self._shards.those_there(lambda shard: shard.find(message_ids, now))
        found = tuple([shown(view_of(views)) for views in zip(*there(answers), strict=True)])
        if None in found:
            whole(answers)
        return found

    async def list_blocked(self, after: str, limit: int, now: int) -> tuple[Sequence[MessageView], str | None]:
        index, _, begin = after.partition(":")
        at = int(index or 0)
        found, next_after = await self._shards[at].list_blocked(begin, limit, now)
        messages = [message for each in found if (message := shown(each)) is not None]
        if next_after is not None:
            return messages, f"{at}:{next_after}"
        return messages, f"{at + 1}:" if at + 1 < len(self._shards.stores) else None

    async def rewrite(self, messages: Sequence[MessageView], now: int) -> None:
        async def rewrite(shard: Shard) -> None:
            kept = await shard.find([each.message_id for each in messages], now)
            pairs = zip(kept, messages, strict=True)
            await shard.rewrite([rewrapped(was, each) for was, each in pairs if was is not None], now)

        await self._shards.all(rewrite)

    def match_by(self, matcher: Matcher) -> None:
        for shard in self._shards.stores:
            shard.match_by(matcher)

    # -- moves -------------------------------------------------------------------------------------------------------

    async def start_move(self, move: Move, now: int) -> Move:
        return await self._home(move.source).start_move(move, now)

    async def cancel_move(self, move_id: str, now: int) -> Move:
        missing: MoveNotFound | None = None
        for shard in self._shards.stores:
            try:
                return await shard.cancel_move(move_id, now)
            except MoveNotFound as error:
                missing = error
        assert missing is not None
        raise missing

    async def list_moves(self, source: str, limit: int, now: int) -> Sequence[Move]:
        return await self._home(source).list_moves(source, limit, now)

    async def step_moves(self, message_ids: Sequence[str], now: int) -> int | None:
        # asked without ids a shard moves nothing, and says whether it would
        due = await self._shards.those_there(lambda shard: shard.step_moves((), now))
        moving = [index for index, at in enumerate(due) if at is not None and not isinstance(at, StoreUnavailable)]
        share = -(-len(message_ids) // len(moving)) if moving else 0
        steps = [
            self._shards.attempt(index, lambda shard, part=part: shard.step_moves(part, now))  # type: ignore[misc]
            for index, part in zip(
                moving, (message_ids[at * share : (at + 1) * share] for at in range(len(moving))), strict=True
            )
        ]
        instants = there(await asyncio.gather(*steps)) if steps else []
        await self._finish(now)
        return min((at for at in instants if at is not None), default=None)

    # -- records -----------------------------------------------------------------------------------------------------

    async def put_records(self, records: Sequence[Record], now: int) -> tuple[bool, ...]:
        return await self._by_key(
            [record.key for record in records], records, lambda shard, mine: shard.put_records(mine, now)
        )

    async def get_records(self, keys: Sequence[str], now: int) -> tuple[Record | None, ...]:
        return await self._by_key(keys, keys, lambda shard, mine: shard.get_records(mine, now))

    async def delete_records(self, keys: Sequence[str], now: int) -> None:
        async def delete(shard: Shard, mine: Sequence[str]) -> Sequence[None]:
            await shard.delete_records(mine, now)
            return [None] * len(mine)

        await self._by_key(keys, keys, delete)

    async def _by_key(
        self, keys: Sequence[str], given: Sequence[T], ask: Callable[[Shard, Sequence[T]], Awaitable[Sequence[U]]]
    ) -> tuple[U, ...]:
        places: dict[int, list[int]] = defaultdict(list)
        for place, key in enumerate(keys):
            places[self._shards.home_of_record(key)].append(place)
        answers = await asyncio.gather(
            *(ask(self._shards[home], [given[place] for place in mine]) for home, mine in places.items())
        )
        found: dict[int, U] = {}
        for mine, answer in zip(places.values(), answers, strict=True):
            found.update(zip(mine, answer, strict=True))
        return tuple([found[place] for place in range(len(keys))])

    async def find_records(
        self, prefix: str, tag: str | None, after: str, limit: int, now: int, *, is_descending: bool = False
    ) -> Sequence[Record]:
        async def find_some(shard: Shard) -> Sequence[Record]:
            found: list[Record] = []
            start = after
            while True:
                page = await shard.find_records(prefix, tag, start, limit, now, is_descending=is_descending)
                found += [each for each in page if is_named(each.key)]
                if len(page) < limit or len(found) >= limit:
                    return found[:limit]
                start = page[-1].key

        pages = await self._shards.all(find_some)
        return in_order(pages, lambda record: record.key, limit, is_descending=is_descending)

    # -- feed --------------------------------------------------------------------------------------------------------

    async def read_history(self, message_id: str) -> Sequence[Event]:
        return one_history(await self._shards.all(lambda shard: shard.read_history(message_id)))

    async def read_events(self, after: int, limit: int) -> Sequence[Event]:
        return await self._feed.read(after, limit)

    def listen(self, listener: WakeupListener) -> None:
        self._listeners.append(listener)

    # -- upkeep ------------------------------------------------------------------------------------------------------

    async def sweep(self, limit: int, now: int) -> int:
        async def upkeep(index: int) -> int | StoreUnavailable:
            answer = await self._shards.attempt(index, lambda shard: shard.describe_queue(OUTBOX, now))
            if isinstance(answer, StoreUnavailable):
                return answer
            try:
                await self._relaying.relay_all(index, now)
                await self._relaying.relay_joined(index, now)
                await self._carrying.carry_all(index, now)
                return await self._shards[index].sweep(limit, now)
            except StoreUnavailable as error:
                return error

        return sum(there(await asyncio.gather(*map(upkeep, self._shards.indexes))))

    async def check(self) -> None:
        there(await self._shards.those_there(_check))

    async def aclose(self) -> None:
        self._listeners.clear()
        await self._relaying.aclose()
        await asyncio.gather(*(shard.aclose() for shard in self._shards.stores))


async def _check(shard: Shard) -> bool:
    await shard.check()
    return True
