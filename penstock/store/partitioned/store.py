"""The contract's verbs over a store whose queues may be of several partitions, each a queue of the store by itself.

What is asked of other queues goes straight through. Where the store has no queue of a name, it is looked for as one of
partitions.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec import structs

from penstock.core.effects import NO_EFFECTS, Effects
from penstock.core.errors import InvalidRequest, MoveNotFound, PenstockError, QueueNotFound, StoreUnavailable
from penstock.core.events import Event
from penstock.core.filters import MessageFilter
from penstock.core.messages import Delivery, Draft, MessageView
from penstock.core.moves import Move
from penstock.core.operations import ApplyReply, IdOutcome, Refused, SendOutcome
from penstock.core.partitions import is_partition, queue_of
from penstock.core.queues import GroupView, QueueChanges, QueueDescription
from penstock.core.settlements import Settled, Settlement, SettleOutcome
from penstock.store.contract import Received, Store, WakeupListener
from penstock.store.partitioned import administering, looking, moving
from penstock.store.partitioned.parts import Known, Parts, sourced, told
from penstock.store.partitioned.receiving import Wish, follow, receive
from penstock.store.partitioned.routing import applied, names_in, names_in_effects, routed, routed_effects

T = TypeVar("T")

STRAIGHT = (
    "release_leases",
    "step_moves",
    "put_records",
    "get_records",
    "delete_records",
    "find_records",
    "rewrite",
    "match_by",
    "sweep",
    "check",
    "aclose",
)
"""Verbs that name no queue."""


class PartitionedStore:
    """A store whose queues may be of several partitions.

    Args:
        store: keeps everything; closed with this one.
        kind: of parts: what says which messages go to which.
    """

    def __init__(self, store: Store, kind: type[Parts] = Parts) -> None:
        self.store = store
        self._known = Known(store, kind)
        for verb in STRAIGHT:
            setattr(self, verb, getattr(store, verb))

    async def _at(
        self,
        queue: str,
        now: int,
        plain: Callable[[], Awaitable[T]],
        parted: Callable[[Parts], Awaitable[T]],
    ) -> T:
        """Ask a queue, as what it is."""
        while True:
            parts = await self._known.fresh(queue, now)
            try:
                return await (plain() if parts is None else parted(parts))
            except QueueNotFound:
                # it may have been made or deleted since, as another
                if not await self._known.learn(queue, now):
                    raise

    async def _is_learnt(self, queue: str, now: int, error: PenstockError) -> bool:
        """Learn of a queue that the store has not, or cannot look for."""
        return await (self._known.learn if isinstance(error, QueueNotFound) else self._known.discover)(queue, now)

    # -- queues ------------------------------------------------------------------------------------------------------

    async def create_queue(
        self, name: str, changes: QueueChanges, name_rest_ms: int, now: int
    ) -> tuple[QueueDescription, bool]:
        return await administering.create_queue(self.store, self._known, name, changes, name_rest_ms, now)

    async def update_queue(self, name: str, changes: QueueChanges, now: int) -> QueueDescription:
        await administering.check_redrive(self._known, changes, now)

        async def update(parts: Parts) -> QueueDescription:
            described = await administering.update_queue(self.store, parts, changes, now)
            await self._known.learn(name, now)
            return described

        return await self._at(name, now, lambda: self.store.update_queue(name, changes, now), update)

    async def delete_queue(self, name: str, now: int) -> None:
        await self._at(
            name,
            now,
            lambda: self.store.delete_queue(name, now),
            lambda parts: administering.delete_queue(self.store, parts, now),
        )
        self._known.forget(name)

    async def describe_queue(self, name: str, now: int) -> QueueDescription:
        return await self._at(
            name,
            now,
            lambda: self.store.describe_queue(name, now),
            lambda parts: administering.describe(self.store, parts, now),
        )

    async def list_queues(
        self, prefix: str, after: str, limit: int, dead_letter_queue: str | None, now: int
    ) -> Sequence[QueueDescription]:
        return await administering.list_queues(self.store, prefix, after, limit, dead_letter_queue, now)

    async def purge_queue(self, name: str, rest_ms: int, now: int) -> int:
        return await self._at(
            name,
            now,
            lambda: self.store.purge_queue(name, rest_ms, now),
            lambda parts: administering.purge_queue(self.store, parts, rest_ms, now),
        )

    async def list_groups(self, name: str, after: str, limit: int, only_parked: bool, now: int) -> Sequence[GroupView]:
        return await self._at(
            name,
            now,
            lambda: self.store.list_groups(name, after, limit, only_parked, now),
            lambda parts: looking.list_groups(self.store, parts, after, limit, only_parked, now),
        )

    async def update_group(self, name: str, group_id: str, is_parked: bool, now: int) -> None:
        await self._at(
            name,
            now,
            lambda: self.store.update_group(name, group_id, is_parked, now),
            lambda parts: self.store.update_group(parts.names[parts.of_group(group_id)], group_id, is_parked, now),
        )

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, drafts: Sequence[Draft], now: int) -> tuple[SendOutcome, ...]:
        if queue not in self._known:
            try:
                return await self.store.send(queue, drafts, now)
            except (QueueNotFound, StoreUnavailable) as error:
                if not await self._is_learnt(queue, now, error):
                    raise
        return await self._at(
            queue, now, lambda: self.store.send(queue, drafts, now), lambda parts: self._send(parts, drafts, now)
        )

    async def _send(self, parts: Parts, drafts: Sequence[Draft], now: int) -> tuple[SendOutcome, ...]:
        found: dict[int, SendOutcome] = {}
        places: dict[int, list[int]] = defaultdict(list)
        for place, draft in enumerate(drafts):
            try:
                places[parts.of_draft(draft)].append(place)
            except InvalidRequest as error:
                found[place] = Refused(error.problem)
        failures: list[StoreUnavailable] = []

        async def send(number: int, mine: Sequence[int]) -> None:
            outcomes: Sequence[SendOutcome]
            try:
                outcomes = await self.store.send(parts.names[number], [drafts[place] for place in mine], now)
            except StoreUnavailable as error:
                # what goes to other servers is accepted
                failures.append(error)
                outcomes = [Refused(error.problem)] * len(mine)
            found.update(zip(mine, [parts.sent(each, number) for each in outcomes], strict=True))

        sends = [send(number, mine) for number, mine in places.items()]
        if len(sends) == 1:
            await sends[0]  # it needs no task of its own
        else:
            await asyncio.gather(*sends)
        if failures and len(failures) == len(places):
            raise failures[0]
        return tuple([found[place] for place in range(len(drafts))])

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
        if queue not in self._known:
            try:
                received = await self.store.receive(
                    queue, tokens, visibility_timeout_ms, now, owner=owner, attempt_id=attempt_id, following=following
                )
            except (QueueNotFound, StoreUnavailable) as error:
                if not await self._is_learnt(queue, now, error):
                    raise
            else:
                return _from_queues(received)
        wish = Wish(visibility_timeout_ms, now, owner, attempt_id)

        async def plain() -> Received:
            received = await self.store.receive(
                queue, tokens, visibility_timeout_ms, now, owner=owner, attempt_id=attempt_id, following=following
            )
            return _from_queues(received)

        async def parted(parts: Parts) -> Received:
            if following is None:
                return await receive(self.store, parts, tokens, wish)
            return await follow(self.store, parts, tokens, wish, following)

        return await self._at(queue, now, plain, parted)

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        if not self._known or not any(map(self._concerns_partitions, settlements)):
            outcomes = await self.store.settle(settlements, now)
        else:
            outcomes = await self._settle(settlements, now)
        # on the path of every settlement: no call for each
        lost = [
            place
            for place, outcome in enumerate(outcomes)
            if outcome.problem is not None and outcome.problem.code == QueueNotFound.code
        ]
        if not lost:
            return outcomes
        names = [name for place in lost for name in names_in(settlements[place])]
        if not await self._known.learn_all(names, now):
            return outcomes
        again = dict(zip(lost, await self.settle([settlements[place] for place in lost], now), strict=True))
        return tuple([again.get(place, outcome) for place, outcome in enumerate(outcomes)])

    def _concerns_partitions(self, settlement: Settlement) -> bool:
        return settlement.queue in self._known or settlement.effects is not NO_EFFECTS

    async def _settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        found: dict[int, SettleOutcome] = {}
        ready: dict[int, Settlement] = {}
        for place, settlement in enumerate(settlements):
            try:
                ready[place] = routed(settlement, self._known)
            except InvalidRequest as error:
                found[place] = SettleOutcome(Settled.REFUSED, problem=error.problem)
        if ready:
            found.update(zip(ready, await self.store.settle(list(ready.values()), now), strict=True))
        return tuple([found[place] for place in range(len(settlements))])

    async def apply(self, effects: Effects, now: int) -> ApplyReply:
        while True:
            try:
                reply = await self.store.apply(routed_effects(effects, self._known), now)
            except QueueNotFound:
                if not await self._known.learn_all(names_in_effects(effects), now):
                    raise
                continue
            return applied(reply, effects, self._known)

    async def cancel(self, message_ids: Sequence[str], queue: str | None, now: int) -> tuple[IdOutcome, ...]:
        return await self._by_id(message_ids, queue, now, lambda ids, name: self.store.cancel(ids, name, now))

    async def delete_messages(
        self, message_ids: Sequence[str], only_in_flight: bool, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return await self._by_id(
            message_ids, queue, now, lambda ids, name: self.store.delete_messages(ids, only_in_flight, name, now)
        )

    async def reschedule(
        self, message_ids: Sequence[str], deliver_at: int, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return await self._by_id(
            message_ids, queue, now, lambda ids, name: self.store.reschedule(ids, deliver_at, name, now)
        )

    async def _by_id(
        self, message_ids: Sequence[str], queue: str | None, now: int, ask: looking.AskById
    ) -> tuple[IdOutcome, ...]:
        outcomes = await ask(message_ids, queue)
        if queue is None or IdOutcome.GONE not in outcomes:
            return outcomes
        # the store knows of no message in a queue that is of partitions
        parts = await self._known.find(queue, now)
        return outcomes if parts is None else await looking.by_id(self.store, parts, message_ids, now, ask)

    async def peek(
        self, queue: str, wanted: MessageFilter, after: int, limit: int, now: int
    ) -> tuple[Sequence[MessageView], int | None]:
        async def plain() -> tuple[Sequence[MessageView], int | None]:
            found, end = await self.store.peek(queue, wanted, after, limit, now)
            return [sourced(each) for each in found], end

        return await self._at(
            queue,
            now,
            plain,
            lambda parts: looking.peek(self.store, parts, wanted, after, limit, now),
        )

    async def find(self, message_ids: Sequence[str], now: int) -> tuple[MessageView | None, ...]:
        found = await self.store.find(message_ids, now)
        return tuple([None if each is None else await self._known.shown(each, now) for each in found])

    async def list_blocked(self, after: str, limit: int, now: int) -> tuple[Sequence[MessageView], str | None]:
        found, after_all = await self.store.list_blocked(after, limit, now)
        return [await self._known.shown(each, now) for each in found], after_all

    # -- moves -------------------------------------------------------------------------------------------------------

    async def start_move(self, move: Move, now: int) -> Move:
        target = None if move.target is None else await self._known.find(move.target, now)
        if target is not None:
            move = structs.replace(move, partitions=len(target), partitioner=target.settings.partitioner)
        return await self._at(
            move.source,
            now,
            lambda: self.store.start_move(move, now),
            lambda parts: moving.start_move(self.store, parts, move, now),
        )

    async def cancel_move(self, move_id: str, now: int) -> Move:
        try:
            move = await self.store.cancel_move(move_id, now)
        except MoveNotFound:
            return await moving.cancel_move(self.store, self._known, move_id, now)
        if not is_partition(move.source):
            return move
        parts = await self._known.find(queue_of(move.source), now)
        if parts is None:
            return await moving.cancel_rest(self.store, move, now)
        return await moving.cancel_parts(self.store, parts, move_id, now, is_cancelled=True)

    async def list_moves(self, source: str, limit: int, now: int) -> Sequence[Move]:
        return await self._at(
            source,
            now,
            lambda: self.store.list_moves(source, limit, now),
            lambda parts: moving.list_moves(self.store, parts, limit, now),
        )

    # -- feed --------------------------------------------------------------------------------------------------------

    async def read_history(self, message_id: str) -> Sequence[Event]:
        return [told(event) for event in await self.store.read_history(message_id)]

    async def read_events(self, after: int, limit: int) -> Sequence[Event]:
        return [told(event) for event in await self.store.read_events(after, limit)]

    def listen(self, listener: WakeupListener) -> None:
        def wake(name: str, at: int) -> None:
            listener(name, at)
            queue, line, group = name.partition("\n")
            if is_partition(queue):
                # who receives from the whole queue waits for it too
                listener(f"{queue_of(queue)}{line}{group}", at)

        self.store.listen(wake)


def _from_queues(received: Received) -> Received:
    """Return deliveries as they came from queues, not from partitions."""
    for each in received.deliveries:
        if each.dead_letter_source is not None:
            return structs.replace(received, deliveries=tuple(map(_from_queue, received.deliveries)))
    return received


def _from_queue(delivery: Delivery) -> Delivery:
    source = delivery.dead_letter_source
    return delivery if source is None else structs.replace(delivery, dead_letter_source=queue_of(source))
