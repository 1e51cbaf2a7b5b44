"""Receive: choose what comes next, clear away the spent and the expired, lease the rest."""

from collections.abc import Sequence

from msgspec import structs

from penstock.core.clock import to_ms
from penstock.core.deduplication import ATTEMPT_WINDOW_MS
from penstock.core.receipts import decode_receipt
from penstock.core.refusals import lease_lost, nothing_to_follow
from penstock.store.contract import SPENT_BUDGET, Received
from penstock.store.memory.rows import Group, Queue, Row
from penstock.store.memory.shelf import Shelf


def receive(
    shelf: Shelf,
    queue: Queue,
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
    followed = None if following is None else _followed(queue, following, now)
    if followed is not None:
        nothing = structs.replace(nothing, look_again_at=followed.visible_at, group_id=followed.draft.group_id)
    if settings.is_paused:
        return nothing
    if visibility_timeout_ms is None:
        visibility_timeout_ms = to_ms(settings.visibility_timeout_seconds)
    until = now + max(1, visibility_timeout_ms)
    if attempt_id is not None and queue.is_strict:
        again = _same_attempt(shelf, queue, attempt_id, until, now)
        if again:
            return Received(tuple(queue.delivery(row) for row in again))
    if settings.max_in_flight is not None:
        free = settings.max_in_flight - queue.in_flight(now)
        if free <= 0:
            look_again_at = _sooner(nothing.look_again_at, queue.below_limit_at(now))
            return structs.replace(nothing, look_again_at=look_again_at, is_over_limit=True)
        tokens = tokens[:free]
    lease = _Lease(shelf, queue, tokens, until, owner, now)
    if followed is None:
        lease.take_next()
        look_again_at = queue.next_ready_at(now)
    else:
        look_again_at = _sooner(nothing.look_again_at, lease.take_following(followed))
    if attempt_id is not None and queue.is_strict and lease.rows:
        names = [(row.sequence_number, row.token or b"") for row in lease.rows]
        queue.attempts[attempt_id] = (names, now + ATTEMPT_WINDOW_MS)
    if lease.rows:
        return Received(tuple(queue.delivery(row) for row in lease.rows))
    return structs.replace(nothing, look_again_at=now if lease.budget == 0 else look_again_at)


def _sooner(one: int | None, other: int | None) -> int | None:
    return min((at for at in (one, other) if at is not None), default=None)


class _Lease:
    """One receive at work: as many rows as there are tokens, at most ``SPENT_BUDGET`` cleared away."""

    def __init__(
        self, shelf: Shelf, queue: Queue, tokens: Sequence[bytes], until: int, owner: str | None, now: int
    ) -> None:
        self.rows: list[Row] = []
        self.budget = SPENT_BUDGET
        self._shelf, self._queue, self._tokens = shelf, queue, tokens
        self._until, self._owner, self._now = until, owner, now

    def take_next(self) -> None:
        """Take what is to be received next."""
        while not self._is_done:
            candidate = self._queue.next_candidate(self._now)
            if candidate is None:
                break
            if isinstance(candidate, Row):
                self._take(candidate)
            else:
                self._take_from(candidate, self._queue.head_of(candidate, self._now))

    def take_following(self, followed: Row) -> int | None:
        """Take what comes behind a row in its group; return when the first that is left may be taken, if known."""
        assert followed.draft.group_id is not None
        group = self._queue.groups[followed.draft.group_id]
        if group.is_parked:
            return None
        self._take_from(group, self._queue.following(group, followed.sequence_number, self._now))
        later = (row.visible_at for number, row in group.rows.items() if number > followed.sequence_number)
        return next(later, None)

    @property
    def _is_done(self) -> bool:
        return len(self.rows) == len(self._tokens) or self.budget == 0

    def _take_from(self, group: Group, row: Row | None) -> None:
        while row is not None and not self._is_done:
            sequence_number = row.sequence_number  # a row that is dead-lettered gets another
            self._take(row)
            row = self._queue.following(group, sequence_number, self._now)

    def _take(self, row: Row) -> None:
        """Lease a row, or clear it away."""
        if self._shelf.clear(self._queue, row, self._now):
            self.budget -= 1
        else:
            self._shelf.lease(self._queue, row, self._tokens[len(self.rows)], self._until, self._owner, self._now)
            self.rows.append(row)


def _followed(queue: Queue, receipt_handle: str, now: int) -> Row:
    """Return the row whose delivery is followed. Raises InvalidRequest, ReceiptHandleInvalid, NoLongerHeld."""
    if not queue.is_strict:
        raise nothing_to_follow()
    receipt = decode_receipt(queue.name, receipt_handle)
    row = queue.rows.get(receipt.sequence_number)
    if row is None or row.token != receipt.token or row.visible_at <= now:
        raise lease_lost("following")
    if row.draft.group_id is None:
        raise nothing_to_follow()
    return row


def _same_attempt(shelf: Shelf, queue: Queue, attempt_id: str, until: int, now: int) -> list[Row]:
    names, kept_until = queue.attempts.get(attempt_id, ([], 0))
    if kept_until <= now:
        return []
    rows = [queue.rows.get(sequence_number) for sequence_number, _ in names]
    held = [
        row
        for row, (_, token) in zip(rows, names, strict=True)
        if row is not None and row.token == token and row.visible_at > now
    ]
    if len(held) < len(names):
        return []
    for row in held:
        shelf.change_visibility(queue, row, until, now)
    return held
