"""Message groups: the index of heads that receives choose from, kept right by reseating a group after each change."""

from functools import cache

import msgspec

from penstock.core.fairness import is_noisy
from penstock.core.lifecycle import LANES, lane_of
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import GroupRow, group_from
from penstock.store.sqlite.transaction import QueueState, Transaction

NOISY_LANE = LANES
Head = tuple[int, int, int]
_NOISY_CANDIDATES = 32

_BY_ID = SQL["group_by_id"]
_BY_KEY = SQL["group_by_key"]
_INSERT = SQL["insert_group"]
_UPDATE = SQL["update_group"]
_SEAT = SQL["seat_group"]
_DELETE = SQL["delete_group"]
_HEAD_IN_LANE = SQL["head_in_lane"]
_FREED_AT = SQL["freed_at"]
_FIRST_READY_HEADS = SQL["first_ready_heads"]
_READY_HEADS = SQL["ready_heads"]


def lanes_of(queue: QueueState) -> tuple[int, ...]:
    """Return the lanes that a receive has to look at, the most urgent first."""
    return _lanes_of_mask(queue.lanes)


@cache
def _lanes_of_mask(mask: int) -> tuple[int, ...]:
    return tuple(lane for lane in range(LANES) if mask >> lane & 1)


def group_by_key(tx: Transaction, group_key: int) -> GroupRow:
    """Return a group that has messages. Raises what ``DAMAGE`` names."""
    row = tx.execute(_BY_KEY, (group_key,)).fetchone()
    if row is None:
        raise msgspec.ValidationError(f"message group {group_key} is not there")
    return group_from(row)


def group_by_id(tx: Transaction, queue: QueueState, group_id: str) -> GroupRow:
    """Return a group of a queue, made now if need be."""
    row = tx.execute(_BY_ID, (queue.number, group_id)).fetchone()
    if row is not None:
        return group_from(row)
    group_key = tx.execute(_INSERT, (queue.number, group_id)).fetchall()[0][0]
    queue.group_count += 1
    queue.is_changed = True
    return GroupRow(group_key, group_id, 0, None, 0, None, None, 0, 0, 0, 0, 0, 0, 0, 0)


def save_and_reseat(tx: Transaction, queue: QueueState, group: GroupRow, now: int) -> None:
    """Save a changed group with its place among the heads, by the message it would hand out next."""
    if queue.is_strict:
        _reseat_strictly(tx, queue, group, now)
        return
    if group.message_count == 0 and not group.is_parked:
        _delete(tx, queue, group)
        return
    head = None if group.message_count == 0 or group.is_parked else head_of(tx, queue, group, now)
    if head is None:
        group.ready_at = group.head_key = group.head_visible_at = None
    else:
        group.head_key, group.head_visible_at, lane = head
        group.lane = NOISY_LANE if group.is_noisy else lane
        group.turn = group.head_key
        group.ready_at = max(group.head_visible_at, _freed_at(tx, queue, group, now))
    tx.execute(_UPDATE, group.whole_row())


def seat_if_first(tx: Transaction, queue: QueueState, group: GroupRow, now: int) -> bool:
    """Seat a strict group that got its first message, and return whether it did; behind others, or while it is parked,
    nothing changes for the group."""
    if group.head_key is not None or group.is_parked:
        return False
    _reseat_strictly(tx, queue, group, now)
    return True


def _reseat_strictly(tx: Transaction, queue: QueueState, group: GroupRow, now: int) -> None:
    first = tx.execute(_HEAD_IN_LANE, (group.group_key, 0, 1)).fetchone()
    if first is None and not group.is_parked:
        _delete(tx, queue, group)
        return
    if first is None or group.is_parked:
        group.ready_at = group.head_key = group.head_visible_at = None
    else:
        head_key, visible_at, lane = first[0], first[1], lane_of(first[2])
        is_seated = group.ready_at is not None and head_key == group.head_key and visible_at == group.head_visible_at
        if is_seated and lane == group.lane:
            return
        if not is_seated:
            queue.last_turn += 1
            queue.is_changed = True
            group.turn = queue.last_turn
            group.ready_at = max(visible_at, now)
        group.lane, group.head_key, group.head_visible_at = lane, head_key, visible_at
    tx.execute(_SEAT, group.seat_row())


def _delete(tx: Transaction, queue: QueueState, group: GroupRow) -> None:
    tx.execute(_DELETE, (group.group_key,))
    queue.group_count -= 1
    queue.is_changed = True


def head_of(tx: Transaction, queue: QueueState, group: GroupRow, now: int) -> Head | None:
    """Return key, visible at and lane of the message a fair group hands out next; damaged ones are passed over."""
    soonest: Head | None = None
    for lane in lanes_of(queue):
        rows = tx.execute(_HEAD_IN_LANE, (group.group_key, lane, 1 + len(tx.damaged))).fetchall()
        found = next((row for row in rows if row[0] not in tx.damaged), None)
        if found is None:
            continue
        head: Head = (found[0], found[1], lane)
        if head[1] <= now:
            return head
        if soonest is None or head[1] < soonest[1]:
            soonest = head
    return soonest


def next_group(tx: Transaction, queue: QueueState, now: int) -> tuple[tuple[int, int], int, int] | None:
    """Return place (lane, ready at), key and head's key of the quiet group whose turn it is, or ``None``. A group
    whose head is damaged has no turn."""
    for lane in lanes_of(queue):
        heads = tx.execute(_FIRST_READY_HEADS, (queue.number, lane, now, 1 + len(tx.damaged))).fetchall()
        for ready_at, group_key, head_key in heads:
            if head_key not in tx.damaged:
                return (lane, ready_at), group_key, head_key
    return None


def least_noisy(tx: Transaction, queue: QueueState, now: int) -> GroupRow | None:
    """Return the noisy group with the fewest leases; one that has turned quiet goes before."""
    noisy = []
    heads = tx.execute(_READY_HEADS, (queue.number, NOISY_LANE, now, _NOISY_CANDIDATES)).fetchall()
    for group in map(group_from, heads):
        if not judge(tx, queue, group, now):
            return group
        noisy.append((group.in_flight, group.ready_at, group.turn, group))
    return min(noisy, key=lambda entry: entry[:3])[3] if noisy else None


def judge(tx: Transaction, queue: QueueState, group: GroupRow, now: int) -> bool:
    """Return whether a tenant is noisy now; when that changed it is reseated. Counts must be those at ``now``."""
    verdict = is_noisy(
        was_noisy=bool(group.is_noisy),
        waiting=group.message_count - group.in_flight,
        last_sent_at=group.last_sent_at,
        in_flight=group.in_flight,
        queue_in_flight=queue.in_flight,
        busy=group.busy,
        queue_busy=queue.busy,
        now=now,
    )
    if verdict != bool(group.is_noisy):
        group.is_noisy = int(verdict)
        save_and_reseat(tx, queue, group, now)
    return verdict


def _freed_at(tx: Transaction, queue: QueueState, group: GroupRow, now: int) -> int:
    """Return when a group that holds all the leases it may gets one back; the past if it may have more."""
    limit = queue.settings.group_max_in_flight
    if limit is None:
        return 0
    row = tx.execute(_FREED_AT, (group.group_key, now, limit - 1)).fetchone()
    return 0 if row is None else int(row[0])
