"""Receive: choose what comes next, clear away the spent and the expired, lease the rest."""

from collections.abc import Sequence

from penstock.core.clock import to_ms
from penstock.core.deduplication import ATTEMPT_WINDOW_MS
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
) -> Received:
    """Lease messages of a queue."""
    settings = queue.settings
    wait_ms = to_ms(settings.receive_wait_seconds)
    if settings.is_paused:
        return Received((), wait_ms=wait_ms)
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
            return Received((), queue.below_limit_at(now), is_over_limit=True, wait_ms=wait_ms)
        tokens = tokens[:free]
    leased, is_cut_short = _lease_next(shelf, queue, tokens, until, owner, now)
    if attempt_id is not None and queue.is_strict and leased:
        names = [(row.sequence_number, row.token or b"") for row in leased]
        queue.attempts[attempt_id] = (names, now + ATTEMPT_WINDOW_MS)
    deliveries = tuple(queue.delivery(row) for row in leased)
    if deliveries:
        return Received(deliveries)
    return Received((), now if is_cut_short else queue.next_ready_at(now), wait_ms=wait_ms)


def _lease_next(
    shelf: Shelf, queue: Queue, tokens: Sequence[bytes], until: int, owner: str | None, now: int
) -> tuple[list[Row], bool]:
    """Return what was leased, and whether it stopped because there was too much to clear away."""
    leased: list[Row] = []
    budget = SPENT_BUDGET
    while len(leased) < len(tokens) and budget > 0:
        candidate = queue.next_candidate(now)
        if candidate is None:
            break
        row: Row | None = candidate if isinstance(candidate, Row) else queue.head_of(candidate, now)
        while row is not None and len(leased) < len(tokens) and budget > 0:
            sequence_number = row.sequence_number  # a row that is dead-lettered gets another
            if shelf.clear(queue, row, now):
                budget -= 1
            else:
                shelf.lease(queue, row, tokens[len(leased)], until, owner, now)
                leased.append(row)
            row = queue.following(candidate, sequence_number, now) if isinstance(candidate, Group) else None
    return leased, budget == 0


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
