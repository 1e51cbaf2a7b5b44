"""Move tasks: redriving messages step by step."""

import msgspec
from msgspec import structs

from penstock.core.errors import StoreDamaged
from penstock.core.events import EventKind
from penstock.core.filters import Matcher
from penstock.core.messages import Draft, MessageView, State
from penstock.core.moves import Move, MoveStatus, allowance, next_step_at, target_of
from penstock.core.refusals import move_conflict, move_not_found
from penstock.store.contract import PEEK_BUDGET
from penstock.store.sqlite.ids import KEY_SHIFT, SEQUENCE_MASK
from penstock.store.sqlite.keeping import forget, group_of, insert
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import MessageRow, message_of, view
from penstock.store.sqlite.transaction import QueueState, Transaction

_MESSAGES_AFTER = SQL["messages_after"]
_encode = msgspec.json.Encoder().encode
decode_move = msgspec.json.Decoder(Move).decode
_CHUNK = 200


def start_move(tx: Transaction, move: Move) -> Move:
    """Keep a running move."""
    source = tx.queue(move.source)
    if move.first_target is not None:
        tx.queue(move.first_target)
    if tx.execute(SQL["running_move_of"], (move.source,)).fetchone() is not None:
        raise move_conflict(move.source)
    move = structs.replace(move, to_move_count=source.message_count, until=source.last_sequence)
    _put(tx, move)
    return move


def cancel_move(tx: Transaction, move_id: str) -> Move:
    """Stop a running move."""
    row = tx.execute(SQL["move_by_id"], (move_id,)).fetchone()
    move = None if row is None else decode_move(row[0])
    if move is None or move.status is not MoveStatus.RUNNING:
        raise move_not_found(move_id)
    move = structs.replace(move, status=MoveStatus.CANCELLED)
    _put(tx, move)
    return move


def step_moves(tx: Transaction, unused: list[str], matches: Matcher, now: int) -> int | None:
    """Take every running move one step on; return when to step next."""
    running = [decode_move(row[0]) for row in tx.execute(SQL["running_moves"]).fetchall()]
    after = [_step(tx, move, unused, matches, now) for move in running]
    for move in after:
        _put(tx, move)
    return min((next_step_at(move, now) for move in after if move.status is MoveStatus.RUNNING), default=None)


def _step(tx: Transaction, move: Move, unused: list[str], matches: Matcher, now: int) -> Move:
    source = tx.find_queue(move.source)
    if source is None or (move.first_target is not None and tx.find_queue(move.first_target) is None):
        return structs.replace(move, status=MoveStatus.FAILED, failure="The source or the target was deleted.")
    may_move = allowance(move, now, len(unused))
    moved, looked_at, cursor = 0, 0, move.cursor
    end = min(source.number << KEY_SHIFT | move.until + 1, source.key_range[1])
    while looked_at < PEEK_BUDGET:
        most = min(_CHUNK, PEEK_BUDGET - looked_at)
        rows = tx.execute(_MESSAGES_AFTER, (source.number << KEY_SHIFT | cursor, end, most)).fetchall()
        for row in rows:
            if moved == may_move:
                return structs.replace(move, cursor=cursor, moved_count=move.moved_count + moved)
            try:
                shown = view(tx.execute, source.name, row, now)
            except StoreDamaged:
                # it stays where it is
                cursor, looked_at = row[0] & SEQUENCE_MASK, looked_at + 1
                continue
            target = tx.find_queue(target_of(move, shown))
            if target and shown.state is State.READY and (move.filter is None or matches(move.filter, shown)):
                new_id = unused.pop(0)
                _move(tx, source, message_of(row), shown, target, None if move.keeps_ids else new_id, now)
                moved += 1
            cursor, looked_at = row[0] & SEQUENCE_MASK, looked_at + 1
        if len(rows) < most:
            status = MoveStatus.COMPLETED
            return structs.replace(move, status=status, cursor=cursor, moved_count=move.moved_count + moved)
    return structs.replace(move, cursor=cursor, moved_count=move.moved_count + moved)


def _move(
    tx: Transaction,
    source: QueueState,
    message: MessageRow,
    shown: MessageView,
    target: QueueState,
    new_id: str | None,
    now: int,
) -> None:
    forget(tx, source, group_of(tx, message), message, now)
    old_id = shown.message_id
    tx.note(source, EventKind.MOVED, old_id, now, f"to {target.name}" + (f" as {new_id}" if new_id else ""))
    draft = Draft(
        shown.body,
        shown.attributes,
        shown.system_attributes,
        shown.sender_id,
        priority=shown.priority,
        group_id=shown.group_id,
        deduplication_id=shown.deduplication_id,
        message_id=new_id or old_id,
    )
    insert(tx, target, draft, now, message.expires_at, now)
    what_was = f"moved from {source.name}" + (f", was {old_id}" if new_id else "")
    tx.note(target, EventKind.SENT, new_id or old_id, now, what_was)


def _put(tx: Transaction, move: Move) -> None:
    is_running = move.status is MoveStatus.RUNNING
    tx.execute(SQL["put_move"], (move.move_id, move.source, move.started_at, is_running, _encode(move)))
