"""The contract's verbs, asked of the scripts."""

import asyncio
import contextlib
import copy
from collections.abc import Awaitable, Sequence
from typing import Any

from penstock.core.effects import NO_EFFECTS, Effects, Record
from penstock.core.errors import PenstockError
from penstock.core.events import Event
from penstock.core.filters import Matcher, MessageFilter, matches
from penstock.core.message_ids import to_blob
from penstock.core.messages import Draft, MessageView
from penstock.core.moves import Move
from penstock.core.operations import ApplyReply, IdOutcome, SendOutcome
from penstock.core.queues import (
    GroupView,
    QueueChanges,
    QueueDescription,
)
from penstock.core.refusals import (
    purge_in_progress,
)
from penstock.core.settlements import GiveBack, Settled, Settlement, SettleOutcome
from penstock.store.contract import EVENTS_KEPT, Received, WakeupListener, wakeup_name
from penstock.store.examination import Examination
from penstock.store.redis import administering, looking, moving
from penstock.store.redis.address import Address
from penstock.store.redis.calls import Asking, Calls, CallsByMap, Way
from penstock.store.redis.drafts import pack_draft, pack_effects, pack_record, pack_view, pack_words, unpack_record
from penstock.store.redis.durability import examine
from penstock.store.redis.feed import events
from penstock.store.redis.house import RedisHouse
from penstock.store.redis.outcomes import applied, described, found, receive_refusal, sent, settled, settled_alike
from penstock.store.redis.rows import delivery, view
from penstock.store.redis.settling import pack_alike, pack_followed, pack_settlement, parts_alike
from penstock.store.redis.spans import span, span_down
from penstock.store.shard import MapChanged

_NAMES_REST_MS = 3_600_000
_MOST_AWAITED = 10_000
_MOST_QUEUES_AT_ONCE = 100


class RedisStore:
    """Keeps everything in one Redis server, which any number of processes may use at once.

    Made by ``await RedisStore.open(address)``.

    Args:
        address: of the server.
        calls: the way to it; one of the running event loop if not given.
    """

    def __init__(self, address: Address, calls: Way | None = None) -> None:
        self._matches: Matcher = matches
        self._listeners: list[WakeupListener] = []
        self._awaited: dict[str, None] = {}
        self._digested: set[str] = set()
        self._own_calls: Way = calls or Calls(address, self._wake)
        self._calls: Asking = self._own_calls

    @classmethod
    async def open(cls, address: Address, calls: Way | None = None) -> "RedisStore":
        """Connect to a server; parameters as the store's.

        Raises:
            StoreUnavailable: it does not answer, or does not let us in.
        """
        store = cls(address, calls)
        try:
            await store.connect()
        except BaseException:
            await store.aclose()
            raise
        return store

    @property
    def calls(self) -> Asking:
        """The way to its server."""
        return self._calls

    @property
    def name(self) -> str:
        """What it is called where it is one of several."""
        address = self._calls.address
        return f"{address.service or address.name}, tag {address.tag}"

    async def connect(self) -> None:
        """Connect now, not when something is asked. Raises StoreUnavailable."""
        await self._own_calls.open()

    def _wake(self, wakeups: dict[str, int]) -> None:
        if not wakeups:
            # the connection was away: whatever was said meanwhile was not heard
            wakeups = dict.fromkeys(self._awaited, 0)
            self._awaited.clear()
        for name, at in wakeups.items():
            self._awaited.pop(name, None)
            for listener in self._listeners:
                listener(name, at)

    def _await(self, name: str) -> None:
        """Remember under which names something was awaited, the latest of them."""
        self._awaited[name] = None
        if len(self._awaited) > _MOST_AWAITED:
            del self._awaited[next(iter(self._awaited))]

    # -- queues ------------------------------------------------------------------------------------------------------

    async def create_queue(
        self, name: str, changes: QueueChanges, name_rest_ms: int, now: int
    ) -> tuple[QueueDescription, bool]:
        return await administering.create_queue(self._calls, name, changes, name_rest_ms, now)

    async def update_queue(self, name: str, changes: QueueChanges, now: int) -> QueueDescription:
        return await administering.update_queue(self._calls, name, changes, now)

    async def delete_queue(self, name: str, now: int) -> None:
        found(await self._calls.submit("delete_queue", now, name), name)

    async def describe_queue(self, name: str, now: int) -> QueueDescription:
        return described(found(await self._calls.submit("describe_queue", now, name), name))

    async def list_queues(
        self, prefix: str, after: str, limit: int, dead_letter_queue: str | None, now: int
    ) -> Sequence[QueueDescription]:
        queues: list[QueueDescription] = []
        while len(queues) < limit:
            most = min(limit - len(queues), _MOST_QUEUES_AT_ONCE)
            page = await self._calls.submit(
                "list_queues", now, *span(prefix, after), most, "" if dead_letter_queue is None else dead_letter_queue
            )
            queues += map(described, page)
            if len(page) < most:
                break
            after = queues[-1].name
        return queues

    async def purge_queue(self, name: str, rest_ms: int, now: int) -> int:
        answer = found(await self._calls.submit("purge_queue", now, name, rest_ms), name)
        if answer == b"resting":
            raise purge_in_progress(name)
        return int(answer)

    async def list_groups(self, name: str, after: str, limit: int, only_parked: bool, now: int) -> Sequence[GroupView]:
        answer = await self._calls.submit("list_groups", now, name, *span("", after), limit, int(only_parked))
        return [
            GroupView(group_id.decode(), waiting, held, None if ready_at < 0 else ready_at, bool(parked), bool(noisy))
            for group_id, waiting, held, ready_at, parked, noisy in found(answer, name)
        ]

    async def update_group(self, name: str, group_id: str, is_parked: bool, now: int) -> None:
        found(await self._calls.submit("update_group", now, name, group_id, int(is_parked)), name)

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, drafts: Sequence[Draft], now: int) -> tuple[SendOutcome, ...]:
        while True:
            with_digest = queue in self._digested
            packed = [part for draft in drafts for part in pack_draft(draft, with_digest=with_digest)]
            answer = found(await self._calls.submit("send", now, queue, len(drafts), *packed), queue)
            if answer != b"digest":
                return tuple(map(sent, answer, drafts))
            self._digested.add(queue)

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
        asked = self._calls.submit(
            "receive",
            now,
            queue,
            b"".join(tokens),
            -1 if visibility_timeout_ms is None else visibility_timeout_ms,
            owner or "",
            int(attempt_id is not None),
            attempt_id or "",
            *pack_followed(queue, following),
        )
        try:
            answer = await asyncio.shield(asked)
        except asyncio.CancelledError:
            await self._undo(queue, asked, now)
            raise
        if isinstance(answer, bytes):
            raise receive_refusal(answer, queue, following)
        rows, look_again_at, is_over_limit, wait_ms, followed = answer
        group_id = None if followed is None else followed.decode()
        if not rows:
            self._await(queue if group_id is None else wakeup_name(queue, group_id))
        return Received(
            tuple([delivery(queue, row) for row in rows]),
            None if look_again_at < 0 else look_again_at,
            bool(is_over_limit),
            wait_ms,
            group_id,
        )

    async def _undo(self, queue: str, asked: Awaitable[Any], now: int) -> None:
        """Give back what a cancelled receive was handed."""

        async def undo() -> None:
            with contextlib.suppress(PenstockError):
                answer = await asked
                if not isinstance(answer, bytes) and answer[0]:
                    handles = [delivery(queue, row).receipt_handle for row in answer[0]]
                    await self.settle([Settlement(queue, handle, GiveBack()) for handle in handles], now)

        await asyncio.shield(undo())

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        asked = []
        for part in parts_alike(settlements):
            packed = None if len(part) == 1 else pack_alike(part)
            if packed is not None:
                asked.append((part, self._calls.submit("settle_alike", now, *packed)))
            else:
                asked += [([each], self._calls.submit("settle", now, *pack_settlement(each, now))) for each in part]
        outcomes: list[SettleOutcome] = []
        for part, answer in asked:
            try:
                outcomes += settled_alike(await answer, part) if len(part) > 1 else [settled(await answer, part[0])]
            except MapChanged as changed:
                # others may have happened
                outcomes += [SettleOutcome(Settled.REFUSED, problem=changed.problem)] * len(part)
        return tuple(outcomes)

    async def release_leases(self, owner: str, now: int) -> int:
        return int(await self._calls.submit("release", now, owner))

    async def apply(self, effects: Effects, now: int) -> ApplyReply:
        if effects == NO_EFFECTS:
            return ApplyReply((), ())
        return applied(await self._calls.submit("apply", now, *pack_effects(effects)), effects)

    async def cancel(self, message_ids: Sequence[str], queue: str | None, now: int) -> tuple[IdOutcome, ...]:
        return await self._by_id("cancel", message_ids, queue, now)

    async def delete_messages(
        self, message_ids: Sequence[str], only_in_flight: bool, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return await self._by_id("delete", message_ids, queue, now, int(only_in_flight))

    async def reschedule(
        self, message_ids: Sequence[str], deliver_at: int, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return await self._by_id("reschedule", message_ids, queue, now, deliver_at)

    async def _by_id(
        self, verb: str, message_ids: Sequence[str], queue: str | None, now: int, *more: int
    ) -> tuple[IdOutcome, ...]:
        blobs = [_blob(each) for each in message_ids]
        answer = await self._calls.submit(verb, now, *more, queue or "", len(blobs), *blobs)
        return tuple([IdOutcome(each.decode()) for each in answer])

    async def peek(
        self, queue: str, wanted: MessageFilter, after: int, limit: int, now: int
    ) -> tuple[Sequence[MessageView], int | None]:
        return await looking.peek(self._calls, self._matches, queue, wanted, after, limit, now)

    async def find(self, message_ids: Sequence[str], now: int) -> tuple[MessageView | None, ...]:
        blobs = [_blob(each) for each in message_ids]
        return tuple([view(row, now) for row in await self._calls.submit("find", now, len(blobs), *blobs)])

    async def list_blocked(self, after: str, limit: int, now: int) -> tuple[Sequence[MessageView], str | None]:
        return await looking.list_blocked(self._calls, after, limit, now)

    async def rewrite(self, messages: Sequence[MessageView], now: int) -> None:
        packed = [part for each in messages for part in pack_words(each)]
        await self._calls.submit("rewrite", now, len(messages), *packed)

    def match_by(self, matcher: Matcher) -> None:
        self._matches = matcher

    # -- as one of several shards ------------------------------------------------------------------------------------

    async def adopt(
        self, queue: str, messages: Sequence[MessageView], marks: Sequence[str], marks_expire_at: int, now: int
    ) -> None:
        packed = [part for each, mark in zip(messages, marks, strict=True) for part in (mark, *pack_view(each))]
        found(await self._calls.submit("adopt", now, queue, marks_expire_at, len(messages), *packed), queue)

    async def let_go(self, queue: str, message_ids: Sequence[str], now: int) -> None:
        await self._calls.submit("let_go", now, queue, len(message_ids), *map(_blob, message_ids))

    async def exchange(self, queue: str, message_id: str, effects: Effects, now: int) -> bool:
        answer = await self._calls.submit("exchange", now, queue, _blob(message_id), *pack_effects(effects))
        return answer != b"gone" and bool(applied(answer, effects))

    def at(self, epoch: int) -> "RedisStore":
        shard = copy.copy(self)
        shard._calls = CallsByMap(self._own_calls, epoch)
        return shard

    async def read_map(self) -> bytes | None:
        known: bytes | None = await self._calls.submit("read_map", 0)
        return known

    async def write_map(self, epoch: int, packed: bytes) -> bool:
        return bool(await self._calls.submit("write_map", 0, epoch, packed))

    def house(self) -> RedisHouse:
        return RedisHouse(self, self._calls)

    # -- moves -------------------------------------------------------------------------------------------------------

    async def start_move(self, move: Move, now: int) -> Move:
        return await moving.start_move(self._calls, move, now)

    async def cancel_move(self, move_id: str, now: int) -> Move:
        return await moving.cancel_move(self._calls, move_id, now)

    async def list_moves(self, source: str, limit: int, now: int) -> Sequence[Move]:
        return await moving.list_moves(self._calls, source, limit, now)

    async def step_moves(self, message_ids: Sequence[str], now: int) -> int | None:
        return await moving.step_moves(self._calls, list(message_ids), self._matches, now)

    # -- records -----------------------------------------------------------------------------------------------------

    async def put_records(self, records: Sequence[Record], now: int) -> tuple[bool, ...]:
        packed = [part for record in records for part in pack_record(record)]
        return tuple(map(bool, await self._calls.submit("put_records", now, len(records), *packed)))

    async def get_records(self, keys: Sequence[str], now: int) -> tuple[Record | None, ...]:
        shown = await self._calls.submit("get_records", now, len(keys), *keys)
        return tuple([None if each is None else unpack_record(each) for each in shown])

    async def delete_records(self, keys: Sequence[str], now: int) -> None:
        await self._calls.submit("delete_records", now, len(keys), *keys)

    async def find_records(
        self, prefix: str, tag: str | None, after: str, limit: int, now: int, *, is_descending: bool = False
    ) -> Sequence[Record]:
        bounds = span_down(prefix, after) if is_descending else span(prefix, after)
        shown = await self._calls.submit(
            "find_records", now, *bounds, int(tag is not None), tag or "", limit, int(is_descending)
        )
        return list(map(unpack_record, shown))

    # -- feed --------------------------------------------------------------------------------------------------------

    async def read_history(self, message_id: str) -> Sequence[Event]:
        return events(await self._calls.submit("history", 0, _blob(message_id)))

    async def read_events(self, after: int, limit: int) -> Sequence[Event]:
        return events(await self._calls.submit("events", 0, after, limit))

    def listen(self, listener: WakeupListener) -> None:
        self._listeners.append(listener)

    # -- upkeep ------------------------------------------------------------------------------------------------------

    async def sweep(self, limit: int, now: int) -> int:
        return int(await self._calls.submit("sweep", now, limit, EVENTS_KEPT, _NAMES_REST_MS))

    async def check(self) -> None:
        await self._calls.submit("check", 0)

    async def examine(self) -> Examination:
        """Return what the server promises, as it is set."""
        return await examine(self._calls)

    async def aclose(self) -> None:
        self._listeners.clear()
        await self._own_calls.aclose()


def _blob(message_id: str) -> bytes:
    """Return a message id's bytes; what is no id is the id of no message."""
    try:
        return to_blob(message_id)
    except ValueError:
        return b""
