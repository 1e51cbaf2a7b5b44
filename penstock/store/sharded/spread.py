"""The contract's verbs over several shards by one map: what names a queue goes to its shard, the rest to all."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from penstock.core.effects import Effects, Record
from penstock.core.errors import MoveNotFound, StoreUnavailable
from penstock.core.events import Event
from penstock.core.filters import MessageFilter
from penstock.core.lifecycle import refusal
from penstock.core.messages import Draft, MessageView, State
from penstock.core.moves import Move
from penstock.core.operations import ApplyReply, IdOutcome, Refused, SendOutcome, Sent
from penstock.core.placement import SLOTS, slot_of_key
from penstock.core.queues import GroupView, QueueChanges, QueueDescription
from penstock.core.settlements import Settlement, SettleOutcome
from penstock.store.contract import Received
from penstock.store.shard import MapChanged, Shard
from penstock.store.sharded import administering
from penstock.store.sharded.carrying import Carrying
from penstock.store.sharded.feed import Feed
from penstock.store.sharded.merging import in_order, one_history, outcomes_by_id, there, view_of, whole
from penstock.store.sharded.relaying import Relaying
from penstock.store.sharded.shards import JOINED, OUTBOX, Shards, is_named
from penstock.store.sharded.stepping import Stepping
from penstock.store.sharded.wrapping import reworded, shown

T = TypeVar("T")
U = TypeVar("U")

AskById = Callable[[Shard, Sequence[str], str | None], Awaitable[tuple[IdOutcome, ...]]]
EVERY_SLOT = set(range(SLOTS))


class Spread:
    """Several stores that make up one, by one map.

    Args:
        shards: which; what is asked by an older map than theirs raises MapChanged, and nothing was done.
    """

    def __init__(self, shards: Shards) -> None:
        self.shards = self._shards = shards
        self.carrying = self._carrying = Carrying(shards)
        self.relaying = self._relaying = Relaying(shards)
        self._stepping = Stepping(shards, self._relaying)
        self._feed = Feed(shards)

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
        left = [draft for draft in drafts if draft.message_id not in known]
        sent = iter(await self._home(queue).send(queue, left, now) if left else ())

        def outcome(draft: Draft, message_id: str) -> SendOutcome:
            if message_id not in known:
                return next(sent)
            refused = refusal(settings, draft)
            return Sent(message_id, known[message_id], is_duplicate=True) if not refused else Refused(refused.problem)

        return tuple([outcome(draft, message_id) for draft, message_id in zip(drafts, ids, strict=True)])

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
        with contextlib.suppress(MapChanged):
            await self._relaying.relay_noted(now)
            await self._carrying.carry_noted(now)

    async def release_leases(self, owner: str, now: int) -> int:
        answers, is_later = await self._unless_changed(lambda shard: shard.release_leases(owner, now), 0)
        released = sum(whole(answers))
        return (
            released + await (await self._shards.renewed(EVERY_SLOT)).release_leases(owner, now)
            if is_later
            else released
        )

    async def _unless_changed(
        self, ask: Callable[[Shard], Awaitable[T]], nothing: T
    ) -> tuple[list[T | StoreUnavailable], bool]:
        """Return what each shard answers, ``nothing`` where the map has changed, and whether it has anywhere."""
        refused: list[Shard] = []

        async def ask_one(shard: Shard) -> T:
            try:
                return await ask(shard)
            except MapChanged:
                refused.append(shard)
                return nothing

        return await self._shards.those_there(ask_one), bool(refused)

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
        self, message_ids: Sequence[str], queue: str | None, now: int, ask: AskById
    ) -> tuple[IdOutcome, ...]:
        nothing = (IdOutcome.GONE,) * len(message_ids)
        answers, is_later = await self._unless_changed(lambda shard: ask(shard, message_ids, queue), nothing)
        outcomes = outcomes_by_id(there(answers))
        if not is_later:
            if IdOutcome.GONE not in outcomes:
                return outcomes
            # it may be on the shard that is away
            whole(answers)
            if queue is None:
                return outcomes
            with contextlib.suppress(MapChanged):
                return outcomes_by_id((outcomes, await self._wrapped_by_id(message_ids, outcomes, queue, now, ask)))
        # what was found is done; the others may be where they were not a moment ago
        spread = await self._shards.renewed(EVERY_SLOT)
        return outcomes_by_id((outcomes, await spread._by_id(message_ids, queue, now, ask)))

    async def _wrapped_by_id(
        self, message_ids: Sequence[str], outcomes: Sequence[IdOutcome], queue: str, now: int, ask: AskById
    ) -> tuple[IdOutcome, ...]:
        """Ask for what was not found as a message of a queue: until its join sends it, it may be wrapped."""
        nothing = (IdOutcome.GONE,) * len(message_ids)
        gone = [each for each, outcome in zip(message_ids, outcomes, strict=True) if outcome is IdOutcome.GONE]
        views = zip(gone, await self.find(gone, now), strict=True)
        blocked = {each for each, view in views if view and view.state is State.BLOCKED and view.queue == queue}
        if not blocked:
            return nothing
        again = [each if each in blocked else "" for each in message_ids]
        answers, is_later = await self._unless_changed(lambda shard: ask(shard, again, JOINED), nothing)
        found = outcomes_by_id(whole(answers))
        if not is_later:
            return found
        spread = await self._shards.renewed(EVERY_SLOT)
        return outcomes_by_id((found, await spread._by_id(again, queue, now, ask)))

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
        return messages, f"{at + 1}:" if at + 1 < len(self._shards) else None

    async def rewrite(self, messages: Sequence[MessageView], now: int) -> None:
        async def rewrite(shard: Shard) -> None:
            kept = await shard.find([each.message_id for each in messages], now)
            pairs = zip(kept, messages, strict=True)
            await shard.rewrite([reworded(was, each) for was, each in pairs if was is not None], now)

        await self._shards.all(rewrite)

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
        unused: list[str] = []

        async def step(index: int, part: Sequence[str]) -> int | StoreUnavailable | None:
            try:
                return await self._shards.attempt(index, lambda shard: shard.step_moves(part, now))
            except MapChanged:
                unused.extend(part)
                return None

        parts = [message_ids[at * share : (at + 1) * share] for at in range(len(moving))]
        instants = there(await asyncio.gather(*map(step, moving, parts))) if moving else []
        await self._finish(now)
        if unused:
            # an id that was used is not used again
            instants.append(await (await self._shards.renewed(EVERY_SLOT)).step_moves(unused, now))
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

        async def ask_one(home: int, mine: list[int]) -> Sequence[U] | None:
            try:
                return await ask(self._shards[home], [given[place] for place in mine])
            except MapChanged:
                return None

        answers = await asyncio.gather(*(ask_one(home, mine) for home, mine in places.items()))
        found: dict[int, U] = {}
        left: list[int] = []
        for mine, answer in zip(places.values(), answers, strict=True):
            if answer is None:
                left += mine
            else:
                found.update(zip(mine, answer, strict=True))
        if left:
            left_keys = [keys[place] for place in left]
            spread = await self._shards.renewed({slot_of_key(key) for key in left_keys})
            found.update(zip(left, await spread._by_key(left_keys, [given[at] for at in left], ask), strict=True))
        return tuple([found[place] for place in range(len(keys))])

    async def find_records(
        self, prefix: str, tag: str | None, after: str, limit: int, now: int, *, is_descending: bool = False
    ) -> Sequence[Record]:
        async def find_some(index: int) -> Sequence[Record]:
            shard, found = self._shards[index], list[Record]()
            start = after
            while True:
                page = await shard.find_records(prefix, tag, start, limit, now, is_descending=is_descending)
                # what moves is on two shards for a moment
                found += [
                    each for each in page if is_named(each.key) and self._shards.home_of_record(each.key) == index
                ]
                if len(page) < limit or len(found) >= limit:
                    return found[:limit]
                start = page[-1].key

        pages = await asyncio.gather(*map(find_some, self._shards.indexes))
        return in_order(pages, lambda record: record.key, limit, is_descending=is_descending)

    # -- feed --------------------------------------------------------------------------------------------------------

    async def read_history(self, message_id: str) -> Sequence[Event]:
        return one_history(await self._shards.all(lambda shard: shard.read_history(message_id)))

    async def read_events(self, after: int, limit: int) -> Sequence[Event]:
        return await self._feed.read(after, limit)

    # -- upkeep ------------------------------------------------------------------------------------------------------

    async def sweep(self, limit: int, now: int) -> int:
        is_later = False

        async def upkeep(index: int) -> int | StoreUnavailable:
            nonlocal is_later
            try:
                answer = await self._shards.attempt(index, lambda shard: shard.describe_queue(OUTBOX, now))
                if isinstance(answer, StoreUnavailable):
                    return answer
                await self._relaying.relay_all(index, now)
                await self._relaying.relay_joined(index, now)
                await self._carrying.carry_all(index, now)
                return await self._shards[index].sweep(limit, now)
            except StoreUnavailable as error:
                return error
            except MapChanged:
                is_later = True
                return 0

        swept = sum(there(await asyncio.gather(*map(upkeep, self._shards.indexes))))
        return swept + await (await self._shards.renewed(EVERY_SLOT)).sweep(limit, now) if is_later else swept

    async def check(self) -> None:
        there(await self._shards.those_there(_check))

    async def aclose(self) -> None:
        """Finish what was begun; the shards stay open."""
        await self._relaying.aclose()


async def _check(shard: Shard) -> bool:
    await shard.check()
    return True
