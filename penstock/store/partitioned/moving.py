"""Moving the messages of a queue of several partitions: a move of each, under ids that differ in three digits."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence

from msgspec import structs

from penstock.core.errors import MoveConflict, MoveNotFound
from penstock.core.moves import Move, MoveStatus
from penstock.core.partitions import MOST_PARTITIONS, is_partition, number_of, queue_of
from penstock.core.refusals import move_conflict, move_not_found
from penstock.store.contract import Store
from penstock.store.partitioned.parts import Known, Parts

_DIGITS = slice(24, 27)
_ORDER = (MoveStatus.RUNNING, MoveStatus.FAILED, MoveStatus.CANCELLED, MoveStatus.COMPLETED)
_ALL = 1 << 30


async def start_move(store: Store, parts: Parts, move: Move, now: int) -> Move:
    """Start a move of each partition. Each may move its share of the rate, and at least one message a second."""
    before = await list_moves(store, parts, 10, now)
    if move.first_target is not None:
        await store.describe_queue(move.first_target, now)
    if any(each.status is MoveStatus.RUNNING for each in before):
        raise move_conflict(parts.queue)
    started: list[Move] = []
    try:
        for number, name in enumerate(parts.names):
            rate = None if move.rate_per_second is None else _share(move.rate_per_second, number, len(parts))
            part = structs.replace(move, move_id=_part(move.move_id, number), source=name, rate_per_second=rate)
            started.append(await store.start_move(part, now))
    except MoveConflict:
        for each in started:
            with contextlib.suppress(MoveNotFound):
                await store.cancel_move(each.move_id, now)
        raise move_conflict(parts.queue) from None
    return _together(started)


async def cancel_move(store: Store, known: Known, move_id: str, now: int) -> Move:
    """Stop a move that partition 0 does not know, or that has been stopped there."""
    for queue in await store.list_queues("", "", _ALL, None, now):
        if not is_partition(queue.name) or number_of(queue.name):
            continue
        if any(each.move_id == move_id for each in await store.list_moves(queue.name, _ALL, now)):
            parts = await known.find(queue_of(queue.name), now)
            if parts is not None:
                return await cancel_parts(store, parts, move_id, now)
    raise move_not_found(move_id)


async def cancel_parts(store: Store, parts: Parts, move_id: str, now: int, *, is_cancelled: bool = False) -> Move:
    """Stop the moves of partitions that run on. Raises MoveNotFound where none does, or did until now."""
    for number in range(len(parts)):
        with contextlib.suppress(MoveNotFound):
            await store.cancel_move(_part(move_id, number), now)
            is_cancelled = True
    if not is_cancelled:
        raise move_not_found(move_id)
    return next(each for each in await list_moves(store, parts, _ALL, now) if each.move_id == move_id)


async def cancel_rest(store: Store, first: Move, now: int) -> Move:
    """Stop what else runs of a move that was stopped in partition 0, though its queue is gone."""
    cancelled = [first]
    for number in range(1, MOST_PARTITIONS):
        with contextlib.suppress(MoveNotFound):
            cancelled.append(await store.cancel_move(_part(first.move_id, number), now))
    return _together(cancelled)


async def list_moves(store: Store, parts: Parts, limit: int, now: int) -> Sequence[Move]:
    """Return the latest moves of a queue, those of its partitions that were started together as one."""
    pages = await asyncio.gather(*(store.list_moves(name, limit, now) for name in parts.names))
    moves: dict[str, list[Move]] = defaultdict(list)
    for page in pages:
        for move in page:
            moves[_part(move.move_id, 0)].append(move)
    found = [_together(each) for each in moves.values()]
    return sorted(found, key=lambda move: (move.started_at, move.move_id), reverse=True)[:limit]


def _part(move_id: str, number: int) -> str:
    return f"{move_id[: _DIGITS.start]}{number:03x}{move_id[_DIGITS.stop :]}"


def _share(rate: int, number: int, count: int) -> int:
    return max(1, rate // count + (number < rate % count))


def _together(parts: Sequence[Move]) -> Move:
    """Return the move of a queue from those of its partitions."""
    first = parts[0]
    return structs.replace(
        first,
        move_id=_part(first.move_id, 0),
        source=queue_of(first.source),
        status=min((each.status for each in parts), key=_ORDER.index),
        to_move_count=sum(each.to_move_count for each in parts),
        moved_count=sum(each.moved_count for each in parts),
        cursor=max(each.cursor for each in parts),
        until=max(each.until for each in parts),
        rate_per_second=sum(each.rate_per_second or 0 for each in parts) or None,
        failure=next((each.failure for each in parts if each.failure is not None), None),
    )
