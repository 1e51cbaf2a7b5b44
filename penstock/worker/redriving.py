"""Moving dead jobs back to where they failed, each keeping its id: a move task of the store, watched until it ends."""

import asyncio

from penstock.broker.contract import Broker
from penstock.core.errors import MoveConflict, PenstockError, StoreUnavailable
from penstock.core.filters import MessageFilter
from penstock.core.moves import Move, MoveStatus
from penstock.core.operations import ListMoves, StartMove

SHORTEST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.25
STALLED_SECONDS = 30.0
"""A move that gets no further for so long is carried out by nobody."""

MOVES_LISTED = 20


class RedriveFailed(PenstockError):
    """The dead jobs cannot go back."""

    code = "redrive_failed"
    fault = "caller"


async def redrive(
    broker: Broker,
    dead_queue: str,
    wanted: MessageFilter | None = None,
    *,
    rate_per_second: int | None = None,
    waits: bool = True,
) -> Move:
    """Send dead jobs back to their queues; one that is under way from there is waited for.

    Args:
        broker: performs the operations.
        dead_queue: where they are.
        wanted: which; ``None``: all.
        rate_per_second: how many each second at most.
        waits: until all of them are back.

    Raises:
        QueueNotFound: there is no such queue.
        RedriveFailed: the store gave up.
        StoreUnavailable: nobody carries it out.
    """
    move: Move | None = None
    while move is None:
        try:
            started = StartMove(dead_queue, rate_per_second=rate_per_second, filter=wanted, keeps_ids=True)
            move = (await broker.perform(started)).move
        except MoveConflict:
            await _ended(broker, dead_queue, None)
    return await _ended(broker, dead_queue, move) if waits else move


async def _ended(broker: Broker, queue: str, move: Move | None) -> Move:
    """Wait for a move to end; for the one that runs, if none is named."""
    clock = asyncio.get_running_loop().time
    pause, looked, changed_at = SHORTEST_PAUSE_SECONDS, move, clock()
    while True:
        moves = (await broker.perform(ListMoves(queue, MOVES_LISTED))).moves
        if move is None:
            now = next((each for each in moves if each.status is MoveStatus.RUNNING), None)
            if now is None:
                return moves[0]
        else:
            now = next(each for each in moves if each.move_id == move.move_id)
            if now.status is MoveStatus.FAILED:
                raise RedriveFailed(f"The jobs in {queue} cannot go back: {now.failure}")
            if now.status is not MoveStatus.RUNNING:
                return now
        if looked != now:
            looked, changed_at, pause = now, clock(), SHORTEST_PAUSE_SECONDS
        elif clock() - changed_at > STALLED_SECONDS:
            raise StoreUnavailable(
                f"The move of jobs out of {queue} gets no further.",
                hint="Run a worker or a server on the store: they carry it out.",
            )
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE_SECONDS, pause * 1.5)
