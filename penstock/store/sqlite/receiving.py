"""Receive: choose what comes next, clear away the spent and the expired, lease the rest."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import structs

from penstock.core.clock import to_ms
from penstock.core.deduplication import ATTEMPT_WINDOW_MS
from penstock.core.errors import StoreDamaged
from penstock.core.events import EventKind
from penstock.core.lifecycle import lane_of
from penstock.core.message_ids import to_text
from penstock.core.messages import Delivery
from penstock.core.receipts import decode_receipt
from penstock.core.refusals import lease_lost, nothing_to_follow
from penstock.store.contract import SPENT_BUDGET, Received
from penstock.store.sqlite.connection import DAMAGE
from penstock.store.sqlite.groups import (
    NOISY_LANE,
    group_by_key,
    head_of,
    judge,
    lanes_of,
    least_noisy,
    next_group,
    save_and_reseat,
)
from penstock.store.sqlite.ids import KEY_SHIFT, SEQUENCE_MASK
from penstock.store.sqlite.keeping import change_visibility, clear, count, group_of, uncount, wake_followers
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import (
    GroupRow,
    MessageRow,
    WholeRow,
    damaged_message,
    deliveries,
    message_of,
    whole_message_of,
    whole_messages_of,
)
from penstock.store.sqlite.transaction import HANDED_OUT, PLAIN, QueueState, Transaction

_NEXT_IN_LANE = SQL["next_in_lane"]
_NEXT_IN_STRICT_GROUP = SQL["next_in_strict_group"]
_FIRST_READY_IN_LANE = SQL["first_ready_in_lane"]
_WHOLE_MESSAGE = SQL["whole_message"]
_MESSAGE_BY_KEY = SQL["message_by_key"]
_FIRST_BEHIND = SQL["first_behind"]
_LEASE = SQL["lease"]
_LEASE_TEN = SQL["lease_ten"]
_LEASE_TEN_IN_STRICT_GROUP = SQL["lease_ten_in_strict_group"]
_LEASE_IN_STRICT_GROUP = SQL["lease_in_strict_group"]
_NEXT_DUE_IN_LANE = SQL["next_due_in_lane"]
_NEXT_DUE_HEAD = SQL["next_due_head"]
_LEASE_END = SQL["lease_end"]
_ATTEMPT = SQL["attempt"]
_REMEMBER_ATTEMPT = SQL["remember_attempt"]

_pack = msgspec.msgpack.Encoder().encode
_unpack_leases = msgspec.msgpack.Decoder(list[tuple[int, bytes]]).decode


def receive(
    tx: Transaction,
    queue: QueueState,
    tokens: Sequence[bytes],
    visibility_timeout_ms: int | None,
    now: int,
    owner: str | None,
    attempt_id: str | None,
    following: str | None,
) -> Received:
    """Lease messages of a queue, or what follows in one of its groups."""
    settings = queue.settings
    nothing = Received((), wait_ms=to_ms(settings.receive_wait_seconds))
    if following is not None:
        followed, group = _followed(tx, queue, following, now)
        nothing = structs.replace(nothing, look_again_at=followed.visible_at, group_id=group.group_id)
    if settings.is_paused:
        return nothing
    if visibility_timeout_ms is None:
        visibility_timeout_ms = to_ms(settings.visibility_timeout_seconds)
    until = now + max(1, visibility_timeout_ms)
    is_an_attempt = attempt_id is not None and queue.is_strict
    if is_an_attempt:
        again = _same_attempt(tx, queue, attempt_id, until, now)
        if again:
            return Received(again)
    if settings.max_in_flight is not None:
        tx.advance(queue, now)
        free = settings.max_in_flight - queue.in_flight
        if free <= 0:
            look_again_at = _sooner(nothing.look_again_at, _below_limit_at(tx, queue, -free, now))
            return structs.replace(nothing, look_again_at=look_again_at, is_over_limit=True)
        tokens = tokens[:free]
    lease = _Lease(tx, queue, tokens, until, owner, now)
    if following is not None:
        tx.advance(queue, now)
        group = group_by_key(tx, group.group_key)
        lease.take_following(group, followed.message_key & SEQUENCE_MASK)
    elif queue.group_count == 0:
        lease.take_ungrouped()
    else:
        tx.advance(queue, now)
        lease.take_in_turn()
    if lease.deliveries:
        if is_an_attempt:
            leases = [(each.sequence_number, token) for each, token in zip(lease.deliveries, tokens, strict=False)]
            tx.execute(_REMEMBER_ATTEMPT, (queue.number, attempt_id, _pack(leases), now + ATTEMPT_WINDOW_MS))
        return Received(tuple(lease.deliveries))
    if lease.damage is not None:
        raise lease.damage
    if lease.is_cut_short:
        look_again_at = now
    elif following is not None:
        look_again_at = _sooner(nothing.look_again_at, _behind(tx, group, followed))
    else:
        look_again_at = next_ready_at(tx, queue, now)
    return structs.replace(nothing, look_again_at=look_again_at)


def _followed(tx: Transaction, queue: QueueState, receipt_handle: str, now: int) -> tuple[MessageRow, GroupRow]:
    """Return the message whose delivery is followed, and its group. Raises InvalidRequest, ReceiptHandleInvalid,
    NoLongerHeld."""
    if not queue.is_strict:
        raise nothing_to_follow()
    receipt = decode_receipt(queue.name, receipt_handle)
    row = None
    if receipt.sequence_number <= SEQUENCE_MASK:
        row = tx.execute(_MESSAGE_BY_KEY, (queue.number << KEY_SHIFT | receipt.sequence_number,)).fetchone()
    message = None if row is None else message_of(row)
    if message is None or message.token != receipt.token or message.visible_at <= now:
        raise lease_lost("following")
    group = group_of(tx, message)
    if group is None:
        raise nothing_to_follow()
    return message, group


def _behind(tx: Transaction, group: GroupRow, followed: MessageRow) -> int | None:
    """Return when the message behind the one that is followed may be received, if it is known."""
    row = None
    if not group.is_parked:
        row = tx.execute(_FIRST_BEHIND, (group.group_key, followed.message_key & SEQUENCE_MASK)).fetchone()
    return None if row is None else int(row[0])


def _sooner(one: int | None, other: int | None) -> int | None:
    return min((at for at in (one, other) if at is not None), default=None)


def _below_limit_at(tx: Transaction, queue: QueueState, too_many: int, now: int) -> int | None:
    """Return when so many leases have ended that the queue, which holds all it may, may hold another."""
    row = tx.execute(_LEASE_END, (queue.number, now, too_many)).fetchone()
    return None if row is None else int(row[0])


def next_ready_at(tx: Transaction, queue: QueueState, now: int) -> int | None:
    """Return the first instant after ``now`` at which something becomes receivable, or ``None``."""
    instants = []
    for lane in lanes_of(queue):
        instants += tx.execute(_NEXT_DUE_IN_LANE, (-queue.number, lane, now)).fetchall()
    if queue.group_count:
        for lane in (*lanes_of(queue), NOISY_LANE):
            instants += tx.execute(_NEXT_DUE_HEAD, (queue.number, lane, now)).fetchall()
    return min((instant for (instant,) in instants), default=None)


class _Lease:
    """One receive at work: as many messages as there are tokens, at most ``SPENT_BUDGET`` cleared away.

    It ends before a message that is damaged. The receive that has it first says so, and the next ones pass over it; in
    a strict group what comes behind it waits.
    """

    def __init__(
        self, tx: Transaction, queue: QueueState, tokens: Sequence[bytes], until: int, owner: str | None, now: int
    ) -> None:
        self.deliveries: list[Delivery] = []
        self.damage: StoreDamaged | None = None
        self._tx, self._queue, self._tokens = tx, queue, tokens
        self._until, self._owner, self._now = until, owner, now
        self._budget = SPENT_BUDGET

    @property
    def is_cut_short(self) -> bool:
        """Whether it stopped because there was too much to clear away."""
        return self._budget == 0

    @property
    def _is_done(self) -> bool:
        return len(self.deliveries) == len(self._tokens) or self._budget == 0 or self.damage is not None

    def take_ungrouped(self) -> None:
        """Take from a queue without groups, lane by lane."""
        for lane in lanes_of(self._queue):
            while not self._is_done:
                wanted = len(self._tokens) - len(self.deliveries) + len(self._tx.damaged)
                rows = self._tx.execute(_NEXT_IN_LANE, (-self._queue.number, lane, self._now, wanted)).fetchall()
                for row in rows[self._take_together(rows, is_ordered=False) :]:
                    if not self._is_done and row[0] not in self._tx.damaged:
                        self._take(row, None)
                if len(rows) < wanted:
                    break

    def take_in_turn(self) -> None:
        """Take from a queue with groups: ungrouped messages and groups by their turn."""
        while not self._is_done:
            found = self._next_ungrouped()
            group = next_group(self._tx, self._queue, self._now)
            if found is not None and (group is None or found[0] <= group[0]):
                self._take(self._whole(found[1]), None)
            elif group is not None:
                self._take_of_group(group[1], group[2])
            else:
                noisy = least_noisy(self._tx, self._queue, self._now)
                if noisy is None:
                    return
                self._take_one_of(noisy)

    def _next_ungrouped(self) -> tuple[tuple[int, int], int] | None:
        for lane in lanes_of(self._queue):
            span = (-self._queue.number, lane, self._now, 1 + len(self._tx.damaged))
            for position, message_key in self._tx.execute(_FIRST_READY_IN_LANE, span).fetchall():
                if message_key not in self._tx.damaged:
                    return (lane, position), message_key
        return None

    def _take_of_group(self, group_key: int, head_key: int) -> None:
        try:
            group = group_by_key(self._tx, group_key)
        except DAMAGE as error:
            self._pass_over(head_key, error)
            return
        if self._queue.is_strict:
            self.take_following(group, 0)
        elif not judge(self._tx, self._queue, group, self._now):
            self._take_one_of(group)

    def take_following(self, group: GroupRow, after: int) -> None:
        """Take the messages of a strict group in order from a sequence number on, up to the first that is not
        receivable."""
        goes_on = not group.is_parked
        while goes_on and not self._is_done:
            wanted = len(self._tokens) - len(self.deliveries)
            rows = self._tx.execute(_NEXT_IN_STRICT_GROUP, (group.group_key, after, wanted)).fetchall()
            goes_on = len(rows) == wanted
            taken = self._take_together(rows, is_ordered=True)
            if taken:
                after = rows[taken - 1][0] & SEQUENCE_MASK
            for row in rows[taken:]:
                if self._is_done or not self._take(row, group):
                    goes_on = False
                    break
                after = row[0] & SEQUENCE_MASK
        save_and_reseat(self._tx, self._queue, group, self._now)

    def _take_one_of(self, group: GroupRow) -> None:
        """Take one message of a fair group."""
        head = head_of(self._tx, self._queue, group, self._now)
        if head is not None:
            self._take(self._whole(head[0]), group)
        if head is None or self.damage is not None:
            save_and_reseat(self._tx, self._queue, group, self._now)

    def _whole(self, message_key: int) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._tx.execute(_WHOLE_MESSAGE, (message_key,)).fetchone()
        return row or (message_key,)

    def _pass_over(self, message_key: int, error: Exception) -> None:
        self.damage = damaged_message(self._queue.name, message_key, error)
        if not self.deliveries:
            self._tx.damaged.add(message_key)

    def _take_together(self, rows: Sequence[tuple[Any, ...]], *, is_ordered: bool) -> int:
        """Lease the first of these messages, up to one that may not be leased as it is, and return how many; the others
        are for ``_take``.

        Args:
            rows: of messages without a group, or of one strict group.
            is_ordered: the latter; the caller reseats the group.
        """
        tx, queue, now, until = self._tx, self._queue, self._now, self._until
        if len(rows) < 2 or tx.damaged:
            return 0
        held = len(self.deliveries)
        try:
            messages = self._up_to_one_apart(whole_messages_of(rows[: len(self._tokens) - held]))
            tokens = self._tokens[held : held + len(messages)]
            self.deliveries += deliveries(tx.execute, queue.name, messages, tokens, until, now)
        except DAMAGE:
            return 0
        if is_ordered:
            self._lease_in_tens(_LEASE_TEN_IN_STRICT_GROUP, (until, self._owner, now), messages, tokens)
        elif messages:
            # of one lane, and so of one priority
            lane = lane_of(messages[0].priority, comes_back=queue.comes_back)
            queue.lanes |= 1 << lane
            self._lease_in_tens(_LEASE_TEN, (until, lane, self._owner, now), messages, tokens)
        for message in messages:
            if message.phase != PLAIN:
                uncount(queue, None, message.phase, message.visible_at)
            if queue.keeps_history:
                tx.note(queue, EventKind.RECEIVED, to_text(message.message_id), now, self._owner)
        count(queue, None, HANDED_OUT, until, len(messages))
        queue.received_total += len(messages)
        return len(messages)

    def _up_to_one_apart(self, messages: list[WholeRow]) -> list[WholeRow]:
        """Return the messages before the first that rules may treat apart."""
        for at, message in enumerate(messages):
            if message.visible_at > self._now or self._may_be_over(message):
                return messages[:at]
        return messages

    def _lease_in_tens(
        self, statement: str, lease: tuple[Any, ...], messages: list[WholeRow], tokens: Sequence[bytes]
    ) -> None:
        for at in range(0, len(messages), 10):
            given: list[Any] = [*lease]
            for message, token in zip(messages[at : at + 10], tokens[at : at + 10], strict=True):
                given += (message.message_key, token)
            self._tx.execute(statement, given + [None] * (len(lease) + 20 - len(given)))

    def _may_be_over(self, message: MessageRow) -> bool:
        """Return whether a message has perhaps expired or been received too often: a first look at the rules of
        ``core.lifecycle``, which nearly every message passes."""
        spent_at = self._queue.max_receive_count
        return (
            message.sent_at + self._queue.retention_ms <= self._now
            or message.expires_at is not None
            or (spent_at is not None and message.receive_count - message.carried_count >= spent_at)
        )

    def _take(self, row: tuple[Any, ...], group: GroupRow | None) -> bool:
        """Lease a message, or clear it away; return whether what comes behind it may be taken. A strict group is
        reseated by the caller."""
        tx, queue, now, until = self._tx, self._queue, self._now, self._until
        token = self._tokens[len(self.deliveries)]
        try:
            message = whole_message_of(row)
            (shown,) = deliveries(tx.execute, queue.name, (message,), (token,), until, now)
        except DAMAGE as error:
            self._pass_over(row[0], error)
            return False
        is_ordered = group is not None and queue.is_strict
        if is_ordered and message.visible_at > now:
            return False
        seated = None if is_ordered else group
        if self._may_be_over(message) and clear(tx, queue, seated, message, now):
            if is_ordered:
                wake_followers(tx, queue, group, now)
            self._budget -= 1
            return True
        if is_ordered:
            tx.execute(_LEASE_IN_STRICT_GROUP, (until, token, self._owner, now, now, message.message_key))
        else:
            lane = lane_of(message.priority, comes_back=queue.comes_back)
            queue.lanes |= 1 << lane
            tx.execute(_LEASE, (until, lane, until, token, self._owner, now, now, message.message_key))
        if message.phase != PLAIN:
            uncount(queue, group, message.phase, message.visible_at)
        count(queue, group, HANDED_OUT, until)
        if seated is not None:
            save_and_reseat(tx, queue, seated, now)
        queue.received_total += 1
        if queue.keeps_history:
            tx.note(queue, EventKind.RECEIVED, to_text(message.message_id), now, self._owner)
        self.deliveries.append(shown)
        return True


def _same_attempt(
    tx: Transaction, queue: QueueState, attempt_id: str | None, until: int, now: int
) -> tuple[Delivery, ...]:
    """Return the deliveries of an attempt made before, their leases renewed, if all of them last."""
    remembered = tx.execute(_ATTEMPT, (queue.number, attempt_id, now)).fetchone()
    if remembered is None:
        return ()
    held, tokens = [], []
    for sequence, token in _unpack_leases(remembered[0]):
        row = tx.execute(_WHOLE_MESSAGE, (queue.number << KEY_SHIFT | sequence,)).fetchone()
        if row is None:
            return ()
        message = whole_message_of(row)
        if message.token != token or message.visible_at <= now:
            return ()
        held.append(message)
        tokens.append(token)
    for message in held:
        change_visibility(tx, queue, group_of(tx, message), message, until, now)
    # shown as they were handed out: the count of that delivery, not one more
    as_they_were = [structs.replace(each, receive_count=each.receive_count - 1) for each in held]
    return tuple(deliveries(tx.execute, queue.name, as_they_were, tokens, until, now))
