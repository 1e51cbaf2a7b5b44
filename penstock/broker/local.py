"""The broker that has the store in its own process: validates, stamps, calls the store, waits for what comes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from msgspec import structs

from penstock.broker.system import Entropy, SystemClock, SystemEntropy
from penstock.broker.validation import validate
from penstock.broker.waiting import Waiting
from penstock.core.clock import Clock, to_ms
from penstock.core.effects import Effects, FollowUp
from penstock.core.errors import QueueNotFound
from penstock.core.messages import Draft
from penstock.core.moves import Move, MoveStatus
from penstock.core.operations import (
    DONE,
    Apply,
    ApplyReply,
    Cancel,
    CancelMove,
    CreateQueue,
    DeleteMessages,
    DeleteQueue,
    DeleteRecords,
    DescribeQueue,
    Done,
    EventsReply,
    Find,
    FindRecords,
    FindReply,
    GetRecords,
    GroupsReply,
    IdsReply,
    ListGroups,
    ListMoves,
    ListQueues,
    MessagesReply,
    MoveReply,
    MovesReply,
    Operation,
    Peek,
    PurgeQueue,
    PurgeReply,
    PutRecords,
    PutRecordsReply,
    QueueReply,
    QueuesReply,
    ReadEvents,
    ReadHistory,
    Receive,
    ReceiveReply,
    RecordPage,
    RecordsReply,
    ReleaseLeases,
    ReleaseReply,
    Reschedule,
    Send,
    SendReply,
    Settle,
    SettleReply,
    StartMove,
    UpdateGroup,
    UpdateQueue,
)
from penstock.store.contract import Received, Store

Reply = TypeVar("Reply")

_NO_LEASE_SECONDS = 0.002
"""No lease is shorter than a millisecond. Who asks for none is answered when that is over, and finds the messages there
again at once."""


class LocalBroker:
    """Performs operations on a store.

    Args:
        store: where messages are kept; closed with the broker.
        clock: tells the time and rings the alarms.
        entropy: mints message ids and receipt tokens.
    """

    def __init__(self, store: Store, clock: Clock | None = None, entropy: Entropy | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._waiting = Waiting(self._clock)
        store.listen(self._waiting.wake)
        performers: dict[type, Callable[[Any], Awaitable[Any]]] = {
            CreateQueue: self._create_queue,
            UpdateQueue: self._update_queue,
            DeleteQueue: self._delete_queue,
            DescribeQueue: self._describe_queue,
            ListQueues: self._list_queues,
            PurgeQueue: self._purge_queue,
            ListGroups: self._list_groups,
            UpdateGroup: self._update_group,
            Send: self._send,
            Receive: self._receive,
            Settle: self._settle,
            ReleaseLeases: self._release_leases,
            Apply: self._apply,
            Cancel: self._cancel,
            DeleteMessages: self._delete_messages,
            Reschedule: self._reschedule,
            Peek: self._peek,
            Find: self._find,
            StartMove: self._start_move,
            CancelMove: self._cancel_move,
            ListMoves: self._list_moves,
            PutRecords: self._put_records,
            GetRecords: self._get_records,
            DeleteRecords: self._delete_records,
            FindRecords: self._find_records,
            ReadHistory: self._read_history,
            ReadEvents: self._read_events,
        }
        self._performers = {kind: (validate.dispatch(kind), do) for kind, do in performers.items()}

    async def perform(self, operation: Operation[Reply]) -> Reply:
        check, do = self._performers[type(operation)]
        check(operation)
        return cast(Reply, await do(operation))

    @property
    def waiting_count(self) -> int:
        """How many receives wait for a message."""
        return len(self._waiting)

    async def aclose(self) -> None:
        await self._store.aclose()

    # -- queues ------------------------------------------------------------------------------------------------------

    async def _create_queue(self, asked: CreateQueue) -> QueueReply:
        rest_ms = to_ms(asked.name_rest_seconds)
        return QueueReply(*await self._store.create_queue(asked.queue, asked.settings, rest_ms, self._clock.now_ms()))

    async def _update_queue(self, asked: UpdateQueue) -> QueueReply:
        return QueueReply(await self._store.update_queue(asked.queue, asked.settings, self._clock.now_ms()))

    async def _delete_queue(self, asked: DeleteQueue) -> Done:
        await self._store.delete_queue(asked.queue, self._clock.now_ms())
        return DONE

    async def _describe_queue(self, asked: DescribeQueue) -> QueueReply:
        return QueueReply(await self._store.describe_queue(asked.queue, self._clock.now_ms()))

    async def _list_queues(self, asked: ListQueues) -> QueuesReply:
        found = await self._store.list_queues(
            asked.prefix, asked.after, asked.limit + 1, asked.dead_letter_queue, self._clock.now_ms()
        )
        page, more = _page(found, asked.limit)
        return QueuesReply(page, page[-1].name if more else None)

    async def _purge_queue(self, asked: PurgeQueue) -> PurgeReply:
        rest_ms = to_ms(asked.rest_seconds)
        return PurgeReply(await self._store.purge_queue(asked.queue, rest_ms, self._clock.now_ms()))

    async def _list_groups(self, asked: ListGroups) -> GroupsReply:
        found = await self._store.list_groups(
            asked.queue, asked.after, asked.limit + 1, asked.only_parked, self._clock.now_ms()
        )
        page, more = _page(found, asked.limit)
        return GroupsReply(page, page[-1].group_id if more else None)

    async def _update_group(self, asked: UpdateGroup) -> Done:
        await self._store.update_group(asked.queue, asked.group_id, asked.is_parked, self._clock.now_ms())
        return DONE

    # -- messages ----------------------------------------------------------------------------------------------------

    async def _send(self, asked: Send) -> SendReply:
        now = self._clock.now_ms()
        mint, replace, queue = self._entropy.message_id, structs.replace, asked.queue
        drafts = [
            replace(each, message_id=mint(now, queue)) if each.message_id is None else each for each in asked.messages
        ]
        return SendReply(await self._store.send(queue, drafts, now))

    async def _receive(self, asked: Receive) -> ReceiveReply:
        version = self._waiting.version(asked.queue)
        try:
            received = await self._look(asked)
        except QueueNotFound:
            self._waiting.forget(asked.queue)
            raise
        if received.deliveries or asked.wait_seconds == 0:
            return ReceiveReply(received.deliveries, received.is_over_limit)
        wait_ms = received.wait_ms if asked.wait_seconds is None else to_ms(asked.wait_seconds)
        until = self._clock.now_ms() + wait_ms
        if received.group_id is None:
            return await self._wait(asked, asked.queue, version, received, until)
        # the group's wake-ups have been listened to only from here on: the version is none, so it looks again at once
        name = self._waiting.follow(asked.queue, received.group_id)
        try:
            return await self._wait(asked, name, None, received, until)
        finally:
            self._waiting.unfollow(asked.queue, name)

    async def _wait(
        self, asked: Receive, name: str, version: int | None, received: Received, until: int
    ) -> ReceiveReply:
        """Wait for wake-ups under a name and look again after each, until something is found or the time is over."""
        try:
            while self._clock.now_ms() < until:
                if not await self._waiting.wait(name, version, received.look_again_at, until):
                    break
                version = self._waiting.version(name)
                received = await self._look_again(asked, name)
                if received.deliveries:
                    self._waiting.wake(name, 0)
                    return ReceiveReply(received.deliveries)
        except QueueNotFound:
            self._waiting.forget(asked.queue)
            raise
        if received.look_again_at is not None:
            # others may wait on: what this one last saw coming becomes their alarm
            self._waiting.wake(name, received.look_again_at)
        return ReceiveReply((), received.is_over_limit)

    async def _look(self, asked: Receive) -> Received:
        timeout, now = asked.visibility_timeout_seconds, self._clock.now_ms()
        received = await self._store.receive(
            asked.queue,
            self._entropy.tokens(asked.max_messages),
            None if timeout is None else to_ms(timeout),
            now,
            owner=asked.owner,
            attempt_id=asked.attempt_id,
            following=asked.following,
        )
        if received.deliveries and received.deliveries[0].visible_at <= now + 1:
            await asyncio.sleep(_NO_LEASE_SECONDS)
        return received

    async def _look_again(self, asked: Receive, name: str) -> Received:
        """Look after a wake-up; if the caller goes away meanwhile, the wake-up is for the next one."""
        try:
            return await self._look(asked)
        except asyncio.CancelledError:
            self._waiting.wake(name, 0)
            raise

    async def _settle(self, asked: Settle) -> SettleReply:
        now = self._clock.now_ms()
        settlements = [
            structs.replace(each, effects=self._stamp_effects(each.effects, now))
            if each.effects.sends or each.effects.joins
            else each
            for each in asked.settlements
        ]
        return SettleReply(await self._store.settle(settlements, now))

    async def _release_leases(self, asked: ReleaseLeases) -> ReleaseReply:
        return ReleaseReply(await self._store.release_leases(asked.owner, self._clock.now_ms()))

    async def _apply(self, asked: Apply) -> ApplyReply:
        now = self._clock.now_ms()
        return await self._store.apply(self._stamp_effects(asked.effects, now), now)

    async def _cancel(self, asked: Cancel) -> IdsReply:
        return IdsReply(await self._store.cancel(asked.message_ids, asked.queue, self._clock.now_ms()))

    async def _delete_messages(self, asked: DeleteMessages) -> IdsReply:
        now = self._clock.now_ms()
        return IdsReply(await self._store.delete_messages(asked.message_ids, asked.only_in_flight, asked.queue, now))

    async def _reschedule(self, asked: Reschedule) -> IdsReply:
        now = self._clock.now_ms()
        deliver_at = asked.deliver_at
        if deliver_at is None:
            deliver_at = now + round((asked.delay_seconds or 0) * 1000)
        return IdsReply(await self._store.reschedule(asked.message_ids, deliver_at, asked.queue, now))

    async def _peek(self, asked: Peek) -> MessagesReply:
        found, next_after = await self._store.peek(
            asked.queue, asked.filter, asked.after, asked.limit, self._clock.now_ms()
        )
        return MessagesReply(tuple(found), next_after)

    async def _find(self, asked: Find) -> FindReply:
        return FindReply(await self._store.find(asked.message_ids, self._clock.now_ms()))

    def _stamp(self, draft: Draft, queue: str, now: int) -> Draft:
        if draft.message_id is not None:
            return draft
        return structs.replace(draft, message_id=self._entropy.message_id(now, queue))

    def _stamp_effects(self, effects: Effects, now: int) -> Effects:
        def stamped(follow_up: FollowUp) -> FollowUp:
            return structs.replace(follow_up, message=self._stamp(follow_up.message, follow_up.queue, now))

        return structs.replace(
            effects,
            sends=tuple(map(stamped, effects.sends)),
            joins=tuple(structs.replace(join, follow_up=stamped(join.follow_up)) for join in effects.joins),
        )

    # -- moves -------------------------------------------------------------------------------------------------------

    async def _start_move(self, asked: StartMove) -> MoveReply:
        now = self._clock.now_ms()
        move = Move(
            move_id=self._entropy.message_id(now),
            source=asked.source,
            target=asked.target,
            started_at=now + to_ms(asked.delay_seconds),
            status=MoveStatus.RUNNING,
            to_move_count=0,
            rate_per_second=asked.rate_per_second,
            filter=asked.filter,
            keeps_ids=asked.keeps_ids,
        )
        return MoveReply(await self._store.start_move(move, now))

    async def _cancel_move(self, asked: CancelMove) -> MoveReply:
        return MoveReply(await self._store.cancel_move(asked.move_id, self._clock.now_ms()))

    async def _list_moves(self, asked: ListMoves) -> MovesReply:
        return MovesReply(tuple(await self._store.list_moves(asked.source, asked.limit, self._clock.now_ms())))

    # -- records -----------------------------------------------------------------------------------------------------

    async def _put_records(self, asked: PutRecords) -> PutRecordsReply:
        return PutRecordsReply(await self._store.put_records(asked.records, self._clock.now_ms()))

    async def _get_records(self, asked: GetRecords) -> RecordsReply:
        return RecordsReply(await self._store.get_records(asked.keys, self._clock.now_ms()))

    async def _delete_records(self, asked: DeleteRecords) -> Done:
        await self._store.delete_records(asked.keys, self._clock.now_ms())
        return DONE

    async def _find_records(self, asked: FindRecords) -> RecordPage:
        found = await self._store.find_records(
            asked.prefix,
            asked.tag,
            asked.after,
            asked.limit + 1,
            self._clock.now_ms(),
            is_descending=asked.is_descending,
        )
        page, more = _page(found, asked.limit)
        return RecordPage(page, page[-1].key if more else None)

    # -- history -----------------------------------------------------------------------------------------------------

    async def _read_history(self, asked: ReadHistory) -> EventsReply:
        return EventsReply(tuple(await self._store.read_history(asked.message_id)))

    async def _read_events(self, asked: ReadEvents) -> EventsReply:
        return EventsReply(tuple(await self._store.read_events(asked.after, asked.limit)))


def _page(found: Any, limit: int) -> tuple[tuple[Any, ...], bool]:
    """Return the first ``limit`` of what was found and whether there is more."""
    return tuple(found[:limit]), len(found) > limit
