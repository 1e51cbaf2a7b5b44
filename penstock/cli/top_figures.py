"""What ``penstock top`` tells: queues with the rates between two looks, workers, and the jobs they run."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from penstock.cli.queues import all_queues
from penstock.core.queues import QueueDescription
from penstock.worker.presence import WorkerRecord, present_workers

if TYPE_CHECKING:
    from penstock.broker.contract import Broker


class Look(Struct, frozen=True):
    """What there is at an instant (ms since the epoch)."""

    at: int
    queues: Sequence[QueueDescription]
    workers: Sequence[WorkerRecord]


class QueueFigures(Struct, frozen=True):
    """A queue between two looks. ``dead``: how many its dead-letter queue holds, where it has one."""

    name: str
    ready: int
    delayed: int
    in_flight: int
    dead: int | None
    in_per_second: float
    out_per_second: float
    oldest_ms: int | None
    is_paused: bool


class Figures(Struct, frozen=True):
    """All of it, at an instant (ms since the epoch)."""

    at: int
    queues: Sequence[QueueFigures]
    workers: Sequence[WorkerRecord]


SORTINGS: dict[str, Callable[[QueueFigures], tuple[float, ...]]] = {
    "moving": lambda queue: (
        -(queue.in_per_second + queue.out_per_second),
        -queue.in_flight,
        -(queue.ready + queue.delayed),
    ),
    "waiting": lambda queue: (-(queue.ready + queue.delayed), -queue.in_flight),
    "age": lambda queue: (-(queue.oldest_ms or -1),),
    "dead": lambda queue: (-(queue.dead or 0),),
    "name": lambda queue: (),
}
"""By what queues are sorted, the most interesting first; those that are equal by name."""


async def look(broker: "Broker", at: int) -> Look:
    """Look at everything."""
    return Look(at, await all_queues(broker), await present_workers(broker))


def figures(now: Look, before: Look | None, sorting: str) -> Figures:
    """Return what is told of a look, with rates since the one before."""
    held = {each.name: each.counts.ready + each.counts.delayed + each.counts.in_flight for each in now.queues}
    totals = {each.name: each for each in before.queues} if before is not None else {}
    seconds = (now.at - before.at) / 1000 if before is not None else 0
    rows = [_row(each, totals.get(each.name), seconds, now.at, held) for each in now.queues]
    key = SORTINGS[sorting]
    return Figures(now.at, sorted(rows, key=lambda row: (*key(row), row.name)), now.workers)


def _row(
    queue: QueueDescription, before: QueueDescription | None, seconds: float, now: int, held: dict[str, int]
) -> QueueFigures:
    redrive = queue.settings.redrive
    sent, deleted = 0.0, 0.0
    if before is not None and before.created_at == queue.created_at and seconds > 0:
        sent = max(0, queue.sent_total - before.sent_total) / seconds
        deleted = max(0, queue.deleted_total - before.deleted_total) / seconds
    return QueueFigures(
        name=queue.name,
        ready=queue.counts.ready,
        delayed=queue.counts.delayed,
        in_flight=queue.counts.in_flight,
        dead=None if redrive is None else held.get(redrive.dead_letter_queue, 0),
        in_per_second=round(sent, 1),
        out_per_second=round(deleted, 1),
        oldest_ms=None if queue.oldest_sent_at is None else max(0, now - queue.oldest_sent_at),
        is_paused=queue.settings.is_paused,
    )
