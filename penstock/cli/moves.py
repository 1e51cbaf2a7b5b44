"""Redriving: messages of a queue back to where they were dead-lettered from, or to another, watched to its end."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.completing import Queue
from penstock.cli.filters import Wanted
from penstock.cli.message_views import matching
from penstock.cli.output import Answers, Tinted, Yes, confirm, progress
from penstock.cli.target import At
from penstock.cli.times import told_instant
from penstock.core.filters import MessageFilter
from penstock.core.moves import Move, MoveStatus
from penstock.core.operations import CancelMove, ListMoves, StartMove

if TYPE_CHECKING:
    from penstock.broker.contract import Broker

LOOK_SECONDS = 0.2
COLOURS = {MoveStatus.RUNNING: "cyan", MoveStatus.COMPLETED: "green", MoveStatus.FAILED: "red"}


def redrive(
    queue: Queue,
    at: At,
    wanted: Wanted,
    answer: Answers,
    to: Annotated[
        str | None, typer.Option(metavar="QUEUE", help="Where to. [default: where each was dead-lettered from]")
    ] = None,
    rate: Annotated[int | None, typer.Option(min=1, metavar="PER-SECOND", help="Not faster than that.")] = None,
    new_ids: Annotated[bool, typer.Option("--new-ids", help="Give them other ids, as AWS does.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count those that would be moved.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Begin and return; a server goes on with it.")] = False,
    yes: Yes = False,
) -> None:
    """Move messages out of a queue, mostly dead letters back to where they failed: all, or those that match."""
    where = f"to {to}" if to is not None else "back"
    if dry_run:
        count = at.run(lambda broker: _count(broker, queue, wanted))
        answer({"count": count}, f"{count} messages of {queue} would go {where}.")
        return
    confirm(yes, f"Move {'all' if wanted == MessageFilter() else 'matching'} messages of {queue} {where}?")
    chosen = None if wanted == MessageFilter() else wanted
    asked = StartMove(queue, to, rate, chosen, keeps_ids=not new_ids)

    async def work(broker: "Broker") -> Move:
        move = (await broker.perform(asked)).move
        return move if no_wait else await _ended(broker, move)

    moved = at.run(work, is_kept_up=not no_wait)
    done = f"Moved {moved.moved_count} messages of {queue} {where}."
    if moved.status is MoveStatus.RUNNING:
        done = f"Move {moved.move_id} of {moved.to_move_count} messages has begun."
    elif moved.status is not MoveStatus.COMPLETED:
        done = f"{done} Then it was {moved.status}{': ' + moved.failure if moved.failure else ''}."
    answer(moved, done)
    if moved.status in (MoveStatus.FAILED, MoveStatus.CANCELLED):
        raise typer.Exit(1)


def list_moves(
    queue: Queue, at: At, answer: Answers, limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 10
) -> None:
    """List the latest moves out of a queue."""
    moves = at.perform(ListMoves(queue, limit)).moves
    columns = ("Move", "Status", "Began", "Moved", "Of", "To", "")
    answer.table(
        moves,
        columns,
        lambda: (
            (
                each.move_id,
                Tinted(each.status, COLOURS.get(each.status, "yellow")),
                told_instant(each.started_at),
                each.moved_count,
                each.to_move_count,
                each.target or "where each came from",
                each.failure or "",
            )
            for each in moves
        ),
        nothing=f"Nothing was moved out of {queue}.",
        numbers=columns[3:5],
    )


def cancel_move(
    move_id: Annotated[str, typer.Argument(metavar="MOVE", help="Id of the move.", show_default=False)],
    at: At,
    answer: Answers,
) -> None:
    """Stop a move that runs; what was moved stays moved."""
    move = at.perform(CancelMove(move_id)).move
    answer(move, f"Stopped after {move.moved_count} messages.")


async def _count(broker: "Broker", queue: str, wanted: MessageFilter) -> int:
    count = 0
    async for _ in matching(broker, queue, wanted):
        count += 1
    return count


async def _ended(broker: "Broker", move: Move) -> Move:
    with progress(f"Moving out of {move.source}", move.to_move_count) as moved:
        while move.status is MoveStatus.RUNNING:
            await asyncio.sleep(LOOK_SECONDS)
            moves = (await broker.perform(ListMoves(move.source, 100))).moves
            move = next((each for each in moves if each.move_id == move.move_id), move)
            moved(move.moved_count)
    return move
