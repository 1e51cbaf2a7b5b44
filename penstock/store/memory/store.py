"""The contract's verbs over a shelf. Everything happens in one turn of the event loop, so each call is atomic."""

from collections.abc import Sequence
from itertools import islice, takewhile
from typing import cast

from penstock.core.effects import Effects, Record
from penstock.core.events import Event
from penstock.core.filters import Matcher, MessageFilter
from penstock.core.lifecycle import has_expired
from penstock.core.messages import Draft, MessageView, blocked_view
from penstock.core.moves import Move, MoveStatus
from penstock.core.operations import ApplyReply, IdOutcome, SendOutcome
from penstock.core.queues import (
    FIXED_AT_CREATION,
    GroupView,
    QueueChanges,
    QueueDescription,
    changed,
    first_difference,
    new_settings,
)
from penstock.core.refusals import purge_in_progress, queue_conflict, queue_deleted_recently, setting_is_fixed
from penstock.core.settlements import Settlement, SettleOutcome
from penstock.store.contract import (
    ENDED_MOVES_KEPT_MS,
    EVENTS_KEPT,
    EVERY_GROUP,
    Received,
    WakeupListener,
    wakeup_name,
)
from penstock.store.memory import carrying, moving, settling
from penstock.store.memory.house import MemoryHouse
from penstock.store.memory.mapped import MappedStore
from penstock.store.memory.receiving import receive
from penstock.store.memory.rows import Group, Queue
from penstock.store.memory.shelf import Shelf
from penstock.store.peeking import Page
from penstock.store.shard import Shard


class MemoryStore:
    """Keeps everything in this process's memory and forgets it when the process ends."""

    def __init__(self) -> None:
        self._shelf = Shelf(self._wake)
        self._listeners: list[WakeupListener] = []
        self.map: tuple[int, bytes | None] = (0, None)

    def _wake(self, name: str, at: int) -> None:
        for listener in self._listeners:
            listener(name, at)

    def _wake_all(self, queue: str, now: int) -> None:
        """Wake who receives from a queue and who follows in any of its groups."""
        self._wake(queue, now)
        self._wake(wakeup_name(queue, EVERY_GROUP), now)

    # -- queues ------------------------------------------------------------------------------------------------------

    async def create_queue(
        self, name: str, changes: QueueChanges, name_rest_ms: int, now: int
    ) -> tuple[QueueDescription, bool]:
        queue = self._shelf.queues.get(name)
        if queue is not None:
            different = first_difference(queue.settings, changes)
            if different is not None:
                raise queue_conflict(name, different)
            return queue.describe(now), False
        if self._shelf.deleted_at.get(name, -name_rest_ms) + name_rest_ms > now:
            raise queue_deleted_recently(name)
        queue = self._shelf.queues[name] = Queue(name, new_settings(changes), now)
        self._shelf.deleted_at.pop(name, None)
        return queue.describe(now), True

    async def update_queue(self, name: str, changes: QueueChanges, now: int) -> QueueDescription:
        queue = self._shelf.queue(name)
        settings = changed(queue.settings, changes)
        for fixed in FIXED_AT_CREATION:
            if getattr(settings, fixed) != getattr(queue.settings, fixed):
                raise setting_is_fixed(fixed)
        limits_groups_anew = settings.group_max_in_flight != queue.settings.group_max_in_flight
        queue.settings = settings
        queue.modified_at = now
        if limits_groups_anew:
            for group in list(queue.groups.values()):
                queue.reseat(group, now)
        self._wake_all(name, now)
        return queue.describe(now)

    async def delete_queue(self, name: str, now: int) -> None:
        queue = self._shelf.queue(name)
        self._forget_all(queue)
        del self._shelf.queues[name]
        self._shelf.deleted_at[name] = now
        self._wake_all(name, now)

    async def describe_queue(self, name: str, now: int) -> QueueDescription:
        return self._shelf.queue(name).describe(now)

    async def list_queues(
        self, prefix: str, after: str, limit: int, dead_letter_queue: str | None, now: int
    ) -> Sequence[QueueDescription]:
        found = (
            queue.describe(now)
            for name, queue in sorted(self._shelf.queues.items())
            if name.startswith(prefix)
            and name > after
            and (dead_letter_queue is None or _dead_letters_to(queue) == dead_letter_queue)
        )
        return list(islice(found, limit))

    async def purge_queue(self, name: str, rest_ms: int, now: int) -> int:
        queue = self._shelf.queue(name)
        if queue.purged_at is not None and queue.purged_at + rest_ms > now:
            raise purge_in_progress(name)
        queue.purged_at = now
        self._wake_all(name, now)
        return self._forget_all(queue)

    async def list_groups(self, name: str, after: str, limit: int, only_parked: bool, now: int) -> Sequence[GroupView]:
        queue = self._shelf.queue(name)
        found = (
            queue.group_view(group, now)
            for group_id, group in sorted(queue.groups.items())
            if group_id > after and (group.is_parked or not only_parked)
        )
        return list(islice(found, limit))

    async def update_group(self, name: str, group_id: str, is_parked: bool, now: int) -> None:
        queue = self._shelf.queue(name)
        group = queue.groups.setdefault(group_id, Group(group_id))
        group.is_parked = is_parked
        queue.reseat(group, now)
        self._wake(name, now)
        self._wake(wakeup_name(name, group_id), now)

    def _forget_all(self, queue: Queue) -> int:
        count = len(queue.rows)
        for row in queue.rows.values():
            del self._shelf.messages[row.message_id]
        queue.forget_messages()
        return count

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, drafts: Sequence[Draft], now: int) -> tuple[SendOutcome, ...]:
        kept_in = self._shelf.queue(queue)
        return tuple(self._shelf.send(kept_in, draft, now) for draft in drafts)

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
        source = self._shelf.queue(queue)
        return receive(self._shelf, source, tokens, visibility_timeout_ms, now, owner, attempt_id, following)

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        return tuple(settling.settle(self._shelf, settlement, now) for settlement in settlements)

    async def release_leases(self, owner: str, now: int) -> int:
        return settling.release_leases(self._shelf, owner, now)

    async def apply(self, effects: Effects, now: int) -> ApplyReply:
        refused = self._shelf.refusal_of(effects, now)
        if refused is not None:
            raise refused
        return ApplyReply(*self._shelf.apply(effects, now))

    async def cancel(self, message_ids: Sequence[str], queue: str | None, now: int) -> tuple[IdOutcome, ...]:
        return tuple(settling.cancel(self._shelf, message_id, queue, now) for message_id in message_ids)

    async def delete_messages(
        self, message_ids: Sequence[str], only_in_flight: bool, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return tuple(settling.delete(self._shelf, message_id, only_in_flight, queue, now) for message_id in message_ids)

    async def reschedule(
        self, message_ids: Sequence[str], deliver_at: int, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return tuple(settling.reschedule(self._shelf, message_id, deliver_at, queue, now) for message_id in message_ids)

    async def peek(
        self, queue: str, wanted: MessageFilter, after: int, limit: int, now: int
    ) -> tuple[Sequence[MessageView], int | None]:
        source = self._shelf.queue(queue)
        page = Page(wanted, self._shelf.matches, after, limit)
        for row in source.rows_after(after):
            if page.is_full:
                return page.found, page.after
            page.look_at(source.view(row, now))
        return page.found, None

    async def find(self, message_ids: Sequence[str], now: int) -> tuple[MessageView | None, ...]:
        return tuple(self._find(message_id, now) for message_id in message_ids)

    def _find(self, message_id: str, now: int) -> MessageView | None:
        shelf = self._shelf
        if message_id in shelf.messages:
            queue, row = shelf.messages[message_id]
            return queue.view(row, now)
        if message_id in shelf.blocked:
            follow_up = shelf.joins[shelf.blocked[message_id]][0].follow_up
            return blocked_view(follow_up.queue, follow_up.message)
        return None

    async def list_blocked(self, after: str, limit: int, now: int) -> tuple[Sequence[MessageView], str | None]:
        ids = sorted(message_id for message_id in self._shelf.blocked if message_id > after)
        found = [view for message_id in ids[:limit] if (view := self._find(message_id, now)) is not None]
        return found, ids[limit - 1] if len(ids) > limit else None

    async def rewrite(self, messages: Sequence[MessageView], now: int) -> None:
        for message in messages:
            self._shelf.rewrite(message)

    def match_by(self, matcher: Matcher) -> None:
        self._shelf.matches = matcher

    # -- as one of several shards ------------------------------------------------------------------------------------

    async def adopt(
        self, queue: str, messages: Sequence[MessageView], marks: Sequence[str], marks_expire_at: int, now: int
    ) -> None:
        carrying.adopt(self._shelf, queue, messages, marks, marks_expire_at, now)

    async def let_go(self, queue: str, message_ids: Sequence[str], now: int) -> None:
        carrying.let_go(self._shelf, queue, message_ids, now)

    async def exchange(self, queue: str, message_id: str, effects: Effects, now: int) -> bool:
        return carrying.exchange(self._shelf, queue, message_id, effects, now)

    def at(self, epoch: int) -> Shard:
        return cast(Shard, MappedStore(self, epoch))

    async def read_map(self) -> bytes | None:
        return self.map[1]

    async def write_map(self, epoch: int, packed: bytes) -> bool:
        is_newer = epoch > self.map[0]
        if is_newer:
            self.map = (epoch, packed)
        return is_newer

    def house(self) -> MemoryHouse:
        return MemoryHouse(self, self._shelf)

    # -- moves -------------------------------------------------------------------------------------------------------

    async def start_move(self, move: Move, now: int) -> Move:
        return moving.start_move(self._shelf, move)

    async def cancel_move(self, move_id: str, now: int) -> Move:
        return moving.cancel_move(self._shelf, move_id)

    async def list_moves(self, source: str, limit: int, now: int) -> Sequence[Move]:
        return moving.list_moves(self._shelf, source, limit)

    async def step_moves(self, message_ids: Sequence[str], now: int) -> int | None:
        return moving.step_moves(self._shelf, list(message_ids), now)

    # -- records -----------------------------------------------------------------------------------------------------

    async def put_records(self, records: Sequence[Record], now: int) -> tuple[bool, ...]:
        return self._shelf.put_records(records, now)

    async def get_records(self, keys: Sequence[str], now: int) -> tuple[Record | None, ...]:
        return tuple(self._shelf.record(key, now) for key in keys)

    async def delete_records(self, keys: Sequence[str], now: int) -> None:
        self._shelf.delete_records(keys)

    async def find_records(
        self, prefix: str, tag: str | None, after: str, limit: int, now: int, *, is_descending: bool = False
    ) -> Sequence[Record]:
        found = (
            record
            for key, record in sorted(self._shelf.records.items(), reverse=is_descending)
            if key.startswith(prefix)
            and (not after or (key < after if is_descending else key > after))
            and self._shelf.record(key, now) is not None
            and (tag is None or tag in {f"{name}={value}" for name, value in record.tags.items()})
        )
        return list(islice(found, limit))

    # -- feed --------------------------------------------------------------------------------------------------------

    async def read_history(self, message_id: str) -> Sequence[Event]:
        return [event for event in self._shelf.events if event.message_id == message_id]

    async def read_events(self, after: int, limit: int) -> Sequence[Event]:
        if after < 0:
            return self._shelf.events[-limit:]
        return list(islice((event for event in self._shelf.events if event.event_id > after), limit))

    def listen(self, listener: WakeupListener) -> None:
        self._listeners.append(listener)

    # -- upkeep ------------------------------------------------------------------------------------------------------

    async def sweep(self, limit: int, now: int) -> int:
        shelf = self._shelf
        forgotten = 0
        for queue in shelf.queues.values():
            rows, settings = queue.rows.values(), queue.settings
            short = [row for row in rows if row.expires_at is not None and row.expires_at <= now]
            others = [row for row in rows if row.expires_at is None or row.expires_at > now]
            over = sorted(short, key=lambda row: (row.expires_at, row.sequence_number))
            over += takewhile(lambda r, s=settings: has_expired(s, r.sent_at, None, now), others)  # type: ignore[misc]
            for row in over:
                shelf.clear(queue, row, now)
                forgotten += 1
            if over:
                self._wake(queue.name, now)
            forgotten += _drop_expired(queue.duplicates, {k: v[2] for k, v in queue.duplicates.items()}, now)
            forgotten += _drop_expired(queue.attempts, {k: v[1] for k, v in queue.attempts.items()}, now)
        forgotten += _drop_expired(shelf.records, {k: r.expires_at for k, r in shelf.records.items()}, now)
        for join_id, (join, _) in list(shelf.joins.items()):
            if join.expires_at is not None and join.expires_at <= now:
                shelf.close_join(join_id)
                forgotten += 1
        ended = {
            move_id: None if move.status is MoveStatus.RUNNING else move.started_at + ENDED_MOVES_KEPT_MS
            for move_id, move in shelf.moves.items()
        }
        forgotten += _drop_expired(shelf.moves, ended, now)
        surplus = max(0, len(shelf.events) - EVENTS_KEPT)
        del shelf.events[:surplus]
        return forgotten + surplus

    async def check(self) -> None:
        return None

    async def aclose(self) -> None:
        self._listeners.clear()


def _dead_letters_to(queue: Queue) -> str | None:
    return None if queue.settings.redrive is None else queue.settings.redrive.dead_letter_queue


def _drop_expired(kept: dict, ends: dict, now: int) -> int:  # type: ignore[type-arg]
    gone = [key for key, end in ends.items() if end is not None and end <= now]
    for key in gone:
        del kept[key]
    return len(gone)
