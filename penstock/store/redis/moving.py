"""Move tasks: Python looks and matches filters, a script takes the step if nobody else has."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import structs

from penstock.core.filters import Matcher
from penstock.core.message_ids import to_blob
from penstock.core.moves import Move, MoveStatus, allowance, next_step_at, target_of
from penstock.core.refusals import move_conflict, move_not_found, queue_not_found
from penstock.store.contract import ENDED_MOVES_KEPT_MS, PEEK_BUDGET
from penstock.store.redis.calls import Asking
from penstock.store.redis.rows import view
from penstock.store.shard import MapChanged

encode_move = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Move).decode
_CHUNK = 200


async def start_move(calls: Asking, move: Move, now: int) -> Move:
    """Keep a running move."""
    ends_at = move.started_at + ENDED_MOVES_KEPT_MS
    answer = await calls.submit(
        "start_move",
        now,
        move.move_id,
        move.source,
        move.first_target or "",
        move.started_at,
        ends_at,
        encode_move(move),
    )
    if answer == b"conflict":
        raise move_conflict(move.source)
    if answer[0] == b"missing":
        raise queue_not_found(answer[1].decode())
    return read_move(answer)


async def cancel_move(calls: Asking, move_id: str, now: int) -> Move:
    """Stop a running move."""
    answer = await calls.submit("cancel_move", now, move_id)
    if answer is None:
        raise move_not_found(move_id)
    return read_move(answer)


async def list_moves(calls: Asking, source: str, limit: int, now: int) -> list[Move]:
    """Return the latest moves of a source."""
    answer = await calls.submit("list_moves", now, source, limit)
    if answer == b"missing":
        raise queue_not_found(source)
    return [read_move(each) for each in answer]


async def step_moves(calls: Asking, unused: list[str], matches: Matcher, now: int) -> int | None:
    """Take every running move one step on; return when to step next."""
    given = len(unused)
    try:
        running = [read_move(each) for each in await calls.submit("running_moves", now)]
        after = [await _step(calls, move, unused, matches, now) for move in running]
    except MapChanged:
        if len(unused) == given:
            raise
        return now  # nobody uses again the ids that were used
    return min((next_step_at(move, now) for move in after if move.status is MoveStatus.RUNNING), default=None)


async def _step(calls: Asking, move: Move, unused: list[str], matches: Matcher, now: int) -> Move:
    may_move = allowance(move, now, len(unused))
    looked_at, begun_with = 0, move.moved_count
    while True:
        most = min(_CHUNK, PEEK_BUDGET - looked_at)
        rows = await calls.submit("look", now, move.source, move.cursor, most)
        rows = [] if rows == b"missing" else rows
        wanted = [row for row in rows if row[1] <= move.until]
        is_last = len(wanted) < len(rows) or len(rows) < most
        left = may_move - (move.moved_count - begun_with)
        ids = [to_blob(each) for each in unused[:left]]
        answer = await calls.submit(
            "step_move",
            now,
            move.move_id,
            move.cursor,
            move.source,
            move.first_target or "",
            left,
            int(is_last),
            int(move.keeps_ids),
            len(wanted),
            *(part for row in wanted for part in (row[1], *_choice(move, row, matches, now))),
            len(ids),
            *ids,
        )
        if answer == b"changed":
            # another process steps this move
            return move
        del unused[: answer[0]]
        before, move = move, read_move(answer[1])
        looked_at += len(wanted)
        is_held_up = bool(wanted) and move.cursor < wanted[-1][1]
        if move.status is not MoveStatus.RUNNING or is_held_up or looked_at >= PEEK_BUDGET:
            return move
        if not wanted and before.cursor == move.cursor:
            return move


def _choice(move: Move, row: Sequence[Any], matches: Matcher, now: int) -> tuple[int, str]:
    """Return whether a row may move, and where to if that is not the same for all or known to the script."""
    if move.filter is None and move.partitions == 1:
        return 1, ""
    message = view(row, now)
    if message is None or (move.filter is not None and not matches(move.filter, message)):
        return 0, ""
    if move.partitions == 1:
        return 1, ""
    target = target_of(move, message)
    return int(target != ""), target


def read_move(shown: Sequence[Any]) -> Move:
    """Return a move that a script shows."""
    packed, status, to_move, until, moved, cursor, failure = shown
    return structs.replace(
        _decode(packed),
        status=MoveStatus(status.decode()),
        to_move_count=to_move,
        until=until,
        moved_count=moved,
        cursor=cursor,
        failure=None if failure is None else failure.decode(),
    )
