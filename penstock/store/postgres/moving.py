"""Move tasks: redriving messages step by step."""

import msgspec
from msgspec import structs

from penstock.core.filters import Matcher
from penstock.core.messages import State
from penstock.core.moves import Move, MoveStatus, allowance, next_step_at, target_of
from penstock.core.refusals import move_conflict, move_not_found, queue_not_found
from penstock.store.contract import PEEK_BUDGET
from penstock.store.postgres.changes import Transaction
from penstock.store.postgres.rows import view

_encode = msgspec.json.Encoder().encode
decode_move = msgspec.json.Decoder(Move).decode
_CHUNK = 200


async def start_move(tx: Transaction, move: Move) -> Move:
    """Keep a running move."""
    await tx.value("hold_all", [move.source])
    extent = await tx.row("queue_extent", move.source)
    if extent is None:
        raise queue_not_found(move.source)
    target = move.first_target
    if target is not None and await tx.value("queue_number", target) is None:
        raise queue_not_found(target)
    if await tx.value("running_move_of", move.source) is not None:
        raise move_conflict(move.source)
    move = structs.replace(move, to_move_count=extent["message_count"], until=extent["last_sequence"])
    await _put(tx, move)
    return move


async def cancel_move(tx: Transaction, move_id: str) -> Move:
    """Stop a running move."""
    kept = await tx.value("move_by_id", move_id)
    move = None if kept is None else decode_move(kept)
    if move is None or move.status is not MoveStatus.RUNNING:
        raise move_not_found(move_id)
    move = structs.replace(move, status=MoveStatus.CANCELLED)
    await _put(tx, move)
    return move


async def step_moves(tx: Transaction, message_ids: list[str], matches: Matcher, now: int) -> int | None:
    """Take every running move one step on; return when to step next."""
    unused = list(message_ids)
    running = [decode_move(row["move"]) for row in await tx.rows("running_moves")]
    after = [await _step(tx, move, unused, matches, now) for move in running]
    for move in after:
        await _put(tx, move)
    return min((next_step_at(move, now) for move in after if move.status is MoveStatus.RUNNING), default=None)


async def _step(tx: Transaction, move: Move, unused: list[str], matches: Matcher, now: int) -> Move:
    first = move.first_target
    await tx.value("hold_all", [move.source, *([] if first is None else [first])])
    number = await tx.value("queue_number", move.source)
    if number is None or (first is not None and await tx.value("queue_number", first) is None):
        return structs.replace(move, status=MoveStatus.FAILED, failure="The source or the target was deleted.")
    may_move = allowance(move, now, len(unused))
    moved, looked_at, cursor = 0, 0, move.cursor
    there: dict[str, bool] = {}
    while looked_at < PEEK_BUDGET:
        most = min(_CHUNK, PEEK_BUDGET - looked_at)
        rows = await tx.rows("messages_after", move.source, cursor, most, move.until)
        going: dict[str, list[tuple[int, str | None]]] = {}
        is_full = False
        for row in rows:
            if moved == may_move:
                is_full = True
                break
            message = view(row, now)
            target = target_of(move, message)
            if target not in there:
                there[target] = await tx.value("queue_number", target) is not None
            is_wanted = message.state is State.READY and (move.filter is None or matches(move.filter, message))
            if there[target] and is_wanted:
                new_id = unused.pop(0)
                going.setdefault(target, []).append(
                    (number << 40 | row["sequence"], None if move.keeps_ids else new_id)
                )
                moved += 1
            cursor, looked_at = row["sequence"], looked_at + 1
        for target, moving in going.items():
            keys, new_ids = zip(*moving, strict=True)
            await tx.value("hold_all", [target])
            await tx.rows("move_messages", move.source, target, keys, new_ids, now)
        moved_count = move.moved_count + moved
        if is_full:
            return structs.replace(move, cursor=cursor, moved_count=moved_count)
        if len(rows) < most:
            return structs.replace(move, status=MoveStatus.COMPLETED, cursor=cursor, moved_count=moved_count)
    return structs.replace(move, cursor=cursor, moved_count=move.moved_count + moved)


async def _put(tx: Transaction, move: Move) -> None:
    is_running = move.status is MoveStatus.RUNNING
    await tx.rows("put_move", move.move_id, move.source, move.started_at, is_running, _encode(move))
