"""All that a memory store holds, and the steps its verbs are made of: keep, lease, forget, dead-letter, note."""

import itertools
from collections.abc import Callable, Sequence

from msgspec import structs

from penstock.core.clock import to_ms
from penstock.core.deduplication import deduplication_key, effective_deduplication_id
from penstock.core.effects import Effects, Join, Record
from penstock.core.errors import PenstockError, QueueNotFound
from penstock.core.events import Event, EventKind, is_kept
from penstock.core.filters import Matcher, matches
from penstock.core.lifecycle import first_visible_at, has_expired, is_spent, own_expiry, refusal
from penstock.core.messages import Draft, MessageView
from penstock.core.moves import Move
from penstock.core.operations import Refused, SendOutcome, Sent
from penstock.core.refusals import guard_failed, queue_not_found
from penstock.store.contract import EVERY_GROUP, wakeup_name
from penstock.store.memory.rows import Group, Queue, Row


class Shelf:
    """The data of a memory store."""

    def __init__(self, wake: Callable[[str, int], None]) -> None:
        self.queues: dict[str, Queue] = {}
        self.deleted_at: dict[str, int] = {}
        self.messages: dict[str, tuple[Queue, Row]] = {}
        self.joins: dict[str, tuple[Join, set[str]]] = {}
        self.blocked: dict[str, str] = {}
        self.records: dict[str, Record] = {}
        self.moves: dict[str, Move] = {}
        self.events: list[Event] = []
        self.event_ids = itertools.count(1)
        self.wake = wake
        self.matches: Matcher = matches

    def queue(self, name: str) -> Queue:
        """Return a queue. Raises QueueNotFound."""
        queue = self.queues.get(name)
        if queue is None:
            raise queue_not_found(name)
        return queue

    def note(self, queue: Queue, kind: EventKind, message_id: str, now: int, detail: str | None = None) -> None:
        """Keep an event if the queue's history wants it."""
        if is_kept(queue.settings.history, kind):
            self.events.append(Event(next(self.event_ids), now, queue.name, message_id, kind, detail))

    # -- sending -----------------------------------------------------------------------------------------------------

    def send(self, queue: Queue, draft: Draft, now: int) -> SendOutcome:
        """Keep a message, unless it is a duplicate or refused."""
        error = refusal(queue.settings, draft)
        if error is not None:
            return Refused(error.problem)
        message_id = draft.message_id
        assert message_id is not None
        key = deduplication_key(queue.settings, draft)
        known = None if key is None else queue.duplicates.get(key)
        if known is not None and known[2] > now:
            return Sent(known[0], known[1], is_duplicate=True)
        if message_id in self.messages:
            return Sent(message_id, self.messages[message_id][1].sequence_number, is_duplicate=True)
        if message_id in self.blocked:
            return Sent(message_id, 0, is_duplicate=True)
        if draft.deduplication_id is None and key is not None:
            draft = structs.replace(draft, deduplication_id=effective_deduplication_id(queue.settings, draft))
        row = self.keep(
            queue,
            Row(0, message_id, draft, now, first_visible_at(queue.settings, draft, now), own_expiry(draft, now)),
            now,
        )
        if key is not None:
            window_ms = to_ms(queue.settings.deduplication_window_seconds)
            queue.duplicates[key] = (row.message_id, row.sequence_number, now + window_ms)
        self.note(queue, EventKind.SENT, row.message_id, now)
        return Sent(row.message_id, row.sequence_number)

    def keep(self, queue: Queue, row: Row, now: int) -> Row:
        """Give a row its number in the queue and place it."""
        queue.last_sequence_number += 1
        queue.sent_total += 1
        row.sequence_number = queue.last_sequence_number
        self.messages[row.message_id] = (queue, row)
        queue.place(row, now)
        if row.draft.group_id is not None:
            group = queue.groups[row.draft.group_id]
            group.last_sent_at = now
            if queue.is_strict and len(group.rows) > 1:
                # it stands behind others: nobody but who follows one of them may receive it next
                self.wake(wakeup_name(queue.name, group.group_id), row.visible_at)
                return row
        self.wake(queue.name, row.visible_at)
        return row

    def rewrite(self, message: MessageView) -> None:
        """Put what a message says in other words, wherever it is."""
        words = {"body": message.body, "attributes": message.attributes, "system_attributes": message.system_attributes}
        message_id = message.message_id
        if message_id in self.messages:
            row = self.messages[message_id][1]
            row.draft = structs.replace(row.draft, **words)
        elif message_id in self.blocked:
            join, parts = self.joins[self.blocked[message_id]]
            follow_up = structs.replace(join.follow_up, message=structs.replace(join.follow_up.message, **words))
            self.joins[join.join_id] = (structs.replace(join, follow_up=follow_up), parts)

    # -- receiving ---------------------------------------------------------------------------------------------------

    def lease(self, queue: Queue, row: Row, token: bytes, until: int, owner: str | None, now: int) -> None:
        """Hand a row out."""
        queue.take_out(row, now)
        row.token, row.owner, row.visible_at, row.received_at = token, owner, until, now
        row.comes_back = queue.settings.redelivery == "first"
        row.receive_count += 1
        row.first_received_at = now if row.first_received_at is None else row.first_received_at
        queue.place(row, now)
        queue.received_total += 1
        self.note(queue, EventKind.RECEIVED, row.message_id, now, owner)

    def clear(self, queue: Queue, row: Row, now: int) -> bool:
        """Forget a row that has expired, or dead-letter one that is spent; return whether it was one of these."""
        if has_expired(queue.settings, row.sent_at, row.expires_at, now):
            self.forget(queue, row, now)
            self.note(queue, EventKind.EXPIRED, row.message_id, now)
            return True
        if is_spent(queue.settings, row.receive_count - row.carried_count):
            return self.dead_letter(queue, row, "received too often", now)
        return False

    def dead_letter(self, queue: Queue, row: Row, reason: str, now: int) -> bool:
        """Move a row to the dead-letter queue; return whether there is one."""
        policy = queue.settings.redrive
        target = None if policy is None else self.queues.get(policy.dead_letter_queue)
        if target is None:
            return False
        self.forget(queue, row, now)
        self.note(queue, EventKind.DEAD_LETTERED, row.message_id, now, reason)
        row.token = row.owner = row.received_at = None
        row.comes_back = False
        row.visible_at = now
        row.carried_count = row.receive_count
        row.dead_letter_source = queue.name
        if queue.settings.is_fifo:
            row.sent_at = now
        self.keep(target, row, now)
        return True

    def forget(self, queue: Queue, row: Row, now: int) -> None:
        """Remove a row."""
        queue.take_out(row, now, for_good=True)
        del self.messages[row.message_id]
        self.wake_followers(queue, row, now)

    def change_visibility(self, queue: Queue, row: Row, until: int, now: int) -> None:
        """Let a lease last until an instant; now gives it back."""
        queue.take_out(row, now)
        row.visible_at = until
        queue.place(row, now)
        self.wake(queue.name, until)
        self.wake_followers(queue, row, until)

    def give_back(self, queue: Queue, row: Row, visible_at: int, now: int, *, is_counted: bool) -> None:
        """Let go of a row until an instant. Its token goes, so that it cannot be given back twice."""
        queue.take_out(row, now)
        row.receive_count -= not is_counted
        row.token = row.owner = None
        row.visible_at = visible_at
        queue.place(row, now)
        self.wake(queue.name, visible_at)
        self.wake_if_freed(queue, row, now)
        self.wake_followers(queue, row, visible_at, frees_at=now)

    def wake_if_freed(self, queue: Queue, row: Row, now: int) -> None:
        """Wake who waits, if what became of ``row`` let its group go on or made room under the limit."""
        if row.draft.group_id is not None or queue.settings.max_in_flight is not None:
            self.wake(queue.name, now)

    def wake_followers(self, queue: Queue, row: Row, at: int, *, frees_at: int | None = None) -> None:
        """Wake who follows in a strict group, and under a limit who follows in any group when a lease ends."""
        if not queue.is_strict:
            return
        if row.draft.group_id is not None:
            self.wake(wakeup_name(queue.name, row.draft.group_id), at)
        if queue.settings.max_in_flight is not None:
            self.wake(wakeup_name(queue.name, EVERY_GROUP), at if frees_at is None else frees_at)

    def settle_busy(self, queue: Queue, row: Row, now: int) -> None:
        """Count the processing time of a delivery that has ended against its tenant."""
        if row.draft.group_id is None or queue.is_strict or row.received_at is None:
            return
        busy_ms = max(0, now - row.received_at)
        queue.busy = queue.busy.plus(busy_ms, now)
        group: Group = queue.groups[row.draft.group_id]
        group.busy = group.busy.plus(busy_ms, now)

    # -- effects -----------------------------------------------------------------------------------------------------

    def refusal_of(self, effects: Effects, now: int) -> PenstockError | None:
        """Return why effects cannot happen, or ``None``. What is checked here cannot fail later."""
        for guard in effects.guards:
            record = self.record(guard.key, now)
            if guard.value != (None if record is None else record.value):
                return guard_failed(guard.key)
        for follow_up in (*effects.sends, *(join.follow_up for join in effects.joins)):
            try:
                error = refusal(self.queue(follow_up.queue).settings, follow_up.message)
            except QueueNotFound as not_found:
                error = not_found
            if error is not None:
                return error
        return None

    def apply(self, effects: Effects, now: int) -> tuple[tuple[SendOutcome, ...], tuple[bool, ...]]:
        """Let effects happen that were not refused."""
        self.delete_records(effects.forgets)
        sent = tuple(self.send(self.queue(each.queue), each.message, now) for each in effects.sends)
        kept = self.put_records(effects.records, now)
        for join_id in [each.join_id for each in effects.joins] + [each.join_id for each in effects.arrivals]:
            self._close_if_expired(join_id, now)
        for join in effects.joins:
            message_id = join.follow_up.message.message_id
            if join.join_id not in self.joins and message_id not in self.messages and message_id not in self.blocked:
                assert message_id is not None
                self.joins[join.join_id] = (join, set())
                self.blocked[message_id] = join.join_id
        for arrival in effects.arrivals:
            self._arrive(arrival.join_id, arrival.part_id, now)
        return sent, kept

    def put_records(self, records: Sequence[Record], now: int) -> tuple[bool, ...]:
        """Keep records; return for each whether it was kept."""
        return tuple(self._put(record, now) for record in records)

    def delete_records(self, keys: Sequence[str]) -> None:
        """Forget records."""
        for key in keys:
            self.records.pop(key, None)

    def record(self, key: str, now: int) -> Record | None:
        """Return an unexpired record."""
        record = self.records.get(key)
        if record is None or (record.expires_at is not None and record.expires_at <= now):
            return None
        return record

    def close_join(self, join_id: str) -> Join:
        """Forget a join and return it."""
        join, _ = self.joins.pop(join_id)
        assert join.follow_up.message.message_id is not None
        del self.blocked[join.follow_up.message.message_id]
        return join

    def _close_if_expired(self, join_id: str, now: int) -> None:
        if join_id in self.joins:
            expires_at = self.joins[join_id][0].expires_at
            if expires_at is not None and expires_at <= now:
                self.close_join(join_id)

    def _put(self, record: Record, now: int) -> bool:
        if record.only_if_absent and self.record(record.key, now) is not None:
            return False
        self.records[record.key] = structs.replace(record, only_if_absent=False)
        return True

    def _arrive(self, join_id: str, part_id: str, now: int) -> None:
        if join_id not in self.joins:
            return
        join, parts = self.joins[join_id]
        parts.add(part_id)
        if len(parts) >= join.parts:
            follow_up = self.close_join(join_id).follow_up
            if follow_up.queue in self.queues:
                self.send(self.queue(follow_up.queue), follow_up.message, now)
