"""A memory store as a house that queues are carried out of and into: only between shards in one process."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from penstock.core.belongings import (
    Belonging,
    Gone,
    KeptAttempt,
    KeptDuplicate,
    KeptEvent,
    KeptGroup,
    KeptJoin,
    KeptMessage,
    KeptMove,
    KeptQueue,
    KeptRecord,
    Kind,
    RestingName,
)
from penstock.core.effects import Join
from penstock.core.messages import Draft
from penstock.store.contract import EVERY_GROUP, Store, wakeup_name
from penstock.store.house import Place
from penstock.store.memory.rows import Group, Queue, Row
from penstock.store.memory.shelf import Shelf


class MemoryHouse:
    """A memory store, seen by who moves.

    Args:
        store: seen by everybody else.
        shelf: what it holds.
    """

    def __init__(self, store: Store, shelf: Shelf) -> None:
        self.store = store
        self._shelf = shelf
        self._groups: dict[str, list[KeptGroup]] = defaultdict(list)
        self.check: Callable[[], None] = lambda: None

    async def gather(self, now: int) -> None:
        return None

    async def page(self, kind: Kind, after: Place | None, limit: int) -> tuple[Sequence[Belonging], Place | None]:
        self.check()
        shelf = self._shelf
        if kind is KeptRecord:
            return [KeptRecord(each) for each in shelf.records.values()], None
        if kind is KeptJoin:
            return [KeptJoin(join, tuple(parts)) for join, parts in shelf.joins.values()], None
        if kind is KeptMove:
            return [KeptMove(each) for each in shelf.moves.values()], None
        if kind is RestingName:
            return [RestingName(name, at) for name, at in shelf.deleted_at.items()], None
        if kind is KeptEvent:
            return [KeptEvent(each) for each in shelf.events], None
        return [each for queue in shelf.queues.values() for each in self._things(queue, kind)], None

    async def page_of(
        self, queue: str, kind: Kind, after: Place | None, limit: int
    ) -> tuple[Sequence[Belonging], Place | None]:
        self.check()
        found, begin = self._things(self._shelf.queue(queue), kind), 0 if after is None else after[0]
        return found[begin : begin + limit], (begin + limit,) if begin + limit < len(found) else None

    def _things(self, queue: Queue, kind: Kind) -> list[Belonging]:
        name = queue.name
        if kind is KeptQueue:
            return [_kept_queue(queue)]
        if kind is KeptMessage:
            return [_kept_message(name, row) for row in queue.rows.values()]
        if kind is KeptGroup:
            return [_kept_group(name, group) for group in queue.groups.values()]
        if kind is KeptDuplicate:
            return [
                KeptDuplicate(name, scope, deduplication_id, *what)
                for (scope, deduplication_id), what in queue.duplicates.items()
            ]
        return [KeptAttempt(name, key, tuple(leases), until) for key, (leases, until) in queue.attempts.items()]

    async def take_in(self, things: Sequence[Belonging | Gone]) -> None:
        self.check()
        for thing in things:
            self._take(thing)

    def _take(self, thing: Belonging | Gone) -> None:
        shelf = self._shelf
        if isinstance(thing, KeptQueue):
            _take_queue(shelf, thing)
        elif isinstance(thing, KeptMessage):
            queue, row = shelf.queues[thing.queue], _row(thing)
            queue.rows[row.sequence_number] = row
            shelf.messages[row.message_id] = (queue, row)
        elif isinstance(thing, KeptGroup):
            self._groups[thing.queue].append(thing)
        elif isinstance(thing, KeptDuplicate):
            found = (thing.message_id, thing.sequence_number, thing.kept_until)
            shelf.queues[thing.queue].duplicates[thing.scope, thing.deduplication_id] = found
        elif isinstance(thing, KeptAttempt):
            shelf.queues[thing.queue].attempts[thing.attempt_id] = (list(thing.leases), thing.kept_until)
        elif isinstance(thing, KeptJoin):
            shelf.joins[thing.join.join_id] = (thing.join, set(thing.arrived))
            shelf.blocked[thing.join.follow_up.message.message_id or ""] = thing.join.join_id
        elif isinstance(thing, KeptRecord):
            shelf.records[thing.record.key] = thing.record
        elif isinstance(thing, KeptMove):
            shelf.moves[thing.move.move_id] = thing.move
        elif isinstance(thing, RestingName):
            shelf.deleted_at[thing.name] = thing.deleted_at
        elif isinstance(thing, Gone):
            self._take_out(thing)

    def _take_out(self, gone: Gone) -> None:
        shelf = self._shelf
        if gone.kind == "record":
            shelf.records.pop(gone.key, None)
        elif gone.kind == "join":
            if gone.key in shelf.joins:
                shelf.close_join(gone.key)
        elif gone.kind == "move":
            shelf.moves.pop(gone.key, None)
        elif gone.kind == "resting":
            shelf.deleted_at.pop(gone.key, None)
        elif gone.kind == "queue" and gone.queue in shelf.queues:
            self._empty(shelf.queues.pop(gone.queue))

    def _empty(self, queue: Queue) -> None:
        for row in queue.rows.values():
            self._shelf.messages.pop(row.message_id, None)
        queue.forget_messages()

    async def settle_in(self, now: int) -> None:
        for name in list(self._shelf.queues):
            await self.settle_queue(name, now)

    async def settle_queue(self, queue: str, now: int) -> None:
        self.check()
        self._shelf.queue(queue).settle_in(self._groups[queue], now)

    async def redirect_join(self, join: Join) -> None:
        self.check()
        message_id = join.follow_up.message.message_id or ""
        if self._shelf.blocked.get(message_id) == join.join_id:
            self._shelf.joins[join.join_id] = (join, self._shelf.joins[join.join_id][1])

    async def note_records(self, until: int | None, now: int) -> None:
        self.check()

    async def noted_records(self, until: int, now: int) -> Sequence[str] | None:
        self.check()
        return list(self._shelf.records)

    async def leave_queue(self, queue: str, last: int, now: int) -> bool:
        self.check()
        left = self._shelf.queue(queue)
        if any(number > last for number in left.rows):
            return False
        self._empty(left)
        self._shelf.wake(queue, now)
        self._shelf.wake(wakeup_name(queue, EVERY_GROUP), now)
        return True

    async def clear(self) -> None:
        self.check()
        self._shelf.__init__(self._shelf.wake)  # type: ignore[misc]

    def leaving(self) -> None:
        return None

    async def aclose(self) -> None:
        await self.store.aclose()


def _kept_queue(queue: Queue) -> KeptQueue:
    return KeptQueue(
        queue.name,
        queue.settings,
        queue.created_at,
        queue.modified_at,
        queue.purged_at,
        queue.last_sequence_number,
        queue.last_turn,
        queue.sent_total,
        queue.received_total,
        queue.deleted_total,
        queue.busy,
    )


def _take_queue(shelf: Shelf, kept: KeptQueue) -> None:
    queue = shelf.queues.setdefault(kept.name, Queue(kept.name, kept.settings, kept.created_at))
    shelf.deleted_at.pop(kept.name, None)
    queue.settings, queue.created_at, queue.modified_at = kept.settings, kept.created_at, kept.modified_at
    queue.purged_at, queue.busy = kept.purged_at, kept.busy
    came = sum(number > kept.last_sequence for number in queue.rows)
    queue.last_sequence_number = max(queue.last_sequence_number, kept.last_sequence)
    queue.last_turn = max(queue.last_turn, kept.last_turn)
    queue.sent_total = kept.sent_total + came
    queue.received_total, queue.deleted_total = kept.received_total, kept.deleted_total


def _kept_message(queue: str, row: Row) -> KeptMessage:
    draft = row.draft
    return KeptMessage(
        queue=queue,
        sequence_number=row.sequence_number,
        message_id=row.message_id,
        body=draft.body,
        sent_at=row.sent_at,
        visible_at=row.visible_at,
        priority=draft.priority,
        attributes=draft.attributes,
        system_attributes=draft.system_attributes,
        sender_id=draft.sender_id,
        group_id=draft.group_id,
        deduplication_id=draft.deduplication_id,
        expires_at=row.expires_at,
        receive_count=row.receive_count,
        carried_count=row.carried_count,
        first_received_at=row.first_received_at,
        received_at=row.received_at,
        token=row.token,
        owner=row.owner,
        dead_letter_source=row.dead_letter_source,
        comes_back=row.comes_back,
    )


def _row(kept: KeptMessage) -> Row:
    draft = Draft(
        kept.body,
        attributes=kept.attributes,
        system_attributes=kept.system_attributes,
        sender_id=kept.sender_id,
        priority=kept.priority,
        group_id=kept.group_id,
        deduplication_id=kept.deduplication_id,
        message_id=kept.message_id,
    )
    return Row(
        *(kept.sequence_number, kept.message_id, draft, kept.sent_at, kept.visible_at, kept.expires_at),
        *(kept.token, kept.owner, kept.receive_count, kept.carried_count, kept.first_received_at, kept.received_at),
        *(kept.dead_letter_source, kept.comes_back),
    )


def _kept_group(queue: str, group: Group) -> KeptGroup:
    known = (queue, group.group_id, group.is_parked, group.is_noisy, group.last_sent_at, group.busy)
    if group.seat is None:
        return KeptGroup(*known, 0, None, 0, None, None)
    assert group.head is not None
    return KeptGroup(*known, *group.seat[:3], *group.head)
