"""Move tasks: redriving messages step by step."""

from itertools import islice

from msgspec import structs

from penstock.core.events import EventKind
from penstock.core.messages import State
from penstock.core.moves import Move, MoveStatus, allowance, next_step_at, target_of
from penstock.core.refusals import move_conflict, move_not_found
from penstock.store.contract import PEEK_BUDGET
from penstock.store.memory.rows import Queue, Row
from penstock.store.memory.shelf import Shelf


def start_move(shelf: Shelf, move: Move) -> Move:
    """Keep a running move."""
    source = shelf.queue(move.source)
    if move.first_target is not None:
        shelf.queue(move.first_target)
    for other in shelf.moves.values():
        if other.source == move.source and other.status is MoveStatus.RUNNING:
            raise move_conflict(move.source)
    move = structs.replace(move, to_move_count=len(source.rows), until=source.last_sequence_number)
    shelf.moves[move.move_id] = move
    return move


def cancel_move(shelf: Shelf, move_id: str) -> Move:
    """Stop a running move."""
    move = shelf.moves.get(move_id)
    if move is None or move.status is not MoveStatus.RUNNING:
        raise move_not_found(move_id)
    shelf.moves[move_id] = move = structs.replace(move, status=MoveStatus.CANCELLED)
    return move


def list_moves(shelf: Shelf, source: str, limit: int) -> list[Move]:
    """Return the latest moves of a source."""
    shelf.queue(source)
    found = [move for move in shelf.moves.values() if move.source == source]
    return sorted(found, key=lambda move: (move.started_at, move.move_id), reverse=True)[:limit]


def step_moves(shelf: Shelf, unused: list[str], now: int) -> int | None:
    """Take every running move one step on; return when to step next."""
    running = sorted(
        (move for move in shelf.moves.values() if move.status is MoveStatus.RUNNING),
        key=lambda move: (move.started_at, move.move_id),
    )
    after = [_step(shelf, move, unused, now) for move in running]
    shelf.moves.update({move.move_id: move for move in after})
    return min((next_step_at(move, now) for move in after if move.status is MoveStatus.RUNNING), default=None)


def _step(shelf: Shelf, move: Move, unused: list[str], now: int) -> Move:
    source = shelf.queues.get(move.source)
    if source is None or (move.first_target is not None and move.first_target not in shelf.queues):
        return structs.replace(move, status=MoveStatus.FAILED, failure="The source or the target was deleted.")
    may_move = allowance(move, now, len(unused))
    moved, cursor = 0, move.cursor
    for row in list(islice(source.rows_after(move.cursor), PEEK_BUDGET)):
        if row.sequence_number > move.until:
            break
        if moved == may_move:
            return structs.replace(move, cursor=cursor, moved_count=move.moved_count + moved)
        view = source.view(row, now)
        target = shelf.queues.get(target_of(move, view))
        if target and view.state is State.READY and (move.filter is None or shelf.matches(move.filter, view)):
            new_id = unused.pop(0)
            _move(shelf, source, row, target, None if move.keeps_ids else new_id, now)
            moved += 1
        cursor = row.sequence_number
    else:
        if any(row.sequence_number <= move.until for row in source.rows_after(cursor)):
            return structs.replace(move, cursor=cursor, moved_count=move.moved_count + moved)
    return structs.replace(move, status=MoveStatus.COMPLETED, cursor=cursor, moved_count=move.moved_count + moved)


def _move(shelf: Shelf, source: Queue, row: Row, target: Queue, new_id: str | None, now: int) -> None:
    message_id = new_id or row.message_id
    shelf.forget(source, row, now)
    what_became = f"to {target.name}" + (f" as {new_id}" if new_id else "")
    shelf.note(source, EventKind.MOVED, row.message_id, now, what_became)
    new = Row(0, message_id, structs.replace(row.draft, message_id=message_id), now, now, row.expires_at)
    shelf.keep(target, new, now)
    what_was = f"moved from {source.name}" + (f", was {row.message_id}" if new_id else "")
    shelf.note(target, EventKind.SENT, message_id, now, what_was)
