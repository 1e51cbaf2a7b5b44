"""``penstock top``: what moves, live on a terminal; in a pipe, once."""

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.broker.system import SystemClock
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answer, Answers, Tinted, print_json, print_table, say
from penstock.cli.target import DEFAULT_URL, At
from penstock.cli.times import duration, told_duration
from penstock.cli.top_figures import SORTINGS, Figures, Look, figures, look
from penstock.cli.top_screen import KEYS, keys, rate, screen
from penstock.core.errors import PenstockError

if TYPE_CHECKING:
    from penstock.broker.contract import Broker

REST_FACTOR = 5
"""With very many queues it looks less often: looking takes at most a sixth of the time."""

app = CommandGroup()


@app.command("top")
def top(
    at: At,
    answer: Answers,
    interval: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=duration, help="How often to look. [default: 1]")
    ] = None,
    sort: Annotated[str, typer.Option(metavar="|".join(SORTINGS), help="What comes first.")] = "moving",
    watch: Annotated[bool, typer.Option("--watch", help="In a pipe: again and again, until Ctrl-C.")] = False,
) -> None:
    """Show what moves, live: queues with rates and ages, workers, the jobs they run.

    Live on a terminal: m, w, a, d and n sort by moving, waiting, age, dead and name; q ends. In a pipe and with --json:
    once, after one interval, for the rates.
    """
    if sort not in SORTINGS:
        raise typer.BadParameter(f"--sort is one of {', '.join(SORTINGS)}.")
    seconds = max(0.1, interval or 1)
    is_live = sys.stdout.isatty() and not answer.is_json and not watch
    where = (at.url or DEFAULT_URL).partition("://")[2] if at.store is None else "store"

    async def work(broker: "Broker") -> None:
        top_of = Top(broker, seconds, sort)
        await (top_of.show(where) if is_live else top_of.tell(answer, watch))

    with contextlib.suppress(KeyboardInterrupt):
        at.run(work)


class Top:
    """Looks again and again.

    Args:
        broker: tells of queues and workers.
        interval_seconds: how often.
        sorting: what comes first, one of ``SORTINGS``.
    """

    def __init__(self, broker: "Broker", interval_seconds: float, sorting: str) -> None:
        self._broker = broker
        self._interval_seconds = interval_seconds
        self._sorting = sorting
        self._clock = SystemClock()
        self._before: Look | None = None
        self._now: Look | None = None
        self._trouble = ""
        self._touched = asyncio.Event()
        self._has_ended = False

    async def show(self, where: str) -> None:
        """Show it live, until a key ends it."""
        from rich.live import Live

        with Live(auto_refresh=False, screen=True) as live, keys(self._pressed):
            looking = asyncio.ensure_future(self._look_on())
            try:
                while not self._has_ended:
                    self._touched.clear()
                    if self._now is not None:
                        size = live.console.size
                        told = figures(self._now, self._before, self._sorting)
                        shown = screen(told, self._sorting, where, size.width, size.height, self._trouble)
                        live.update(shown, refresh=True)
                    await self._touched.wait()
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

    async def tell(self, answer: Answer, again: bool) -> None:
        """Print it once, or again and again."""
        await self._look()
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self._look()
            if self._now is None or self._trouble:
                continue
            told = figures(self._now, self._before, self._sorting)
            if answer.is_json:
                print_json(told)
            else:
                _print(told)
            sys.stdout.flush()
            if not again:
                return

    async def _look_on(self) -> None:
        while True:
            began = self._clock.now_ms()
            try:
                await self._look()
                self._trouble = ""
            except PenstockError as error:
                self._trouble = str(error)
                self._now = self._now or Look(began, (), ())
            self._touched.set()
            cost_seconds = (self._clock.now_ms() - began) / 1000
            await asyncio.sleep(max(self._interval_seconds, REST_FACTOR * cost_seconds))

    async def _look(self) -> None:
        found = await look(self._broker, self._clock.now_ms())
        self._before, self._now = self._now, found

    def _pressed(self, key: str) -> None:
        self._has_ended = key in ("q", "Q", "\x1b", "")
        self._sorting = KEYS.get(key, self._sorting)
        self._touched.set()


def _print(told: Figures) -> None:
    columns = ("Queue", "Ready", "Delayed", "In flight", "Dead", "In/s", "Out/s", "Oldest", "")
    rows = [
        (
            queue.name,
            queue.ready,
            queue.delayed,
            queue.in_flight,
            "" if queue.dead is None else Tinted(queue.dead, "red" if queue.dead else ""),
            rate(queue.in_per_second),
            rate(queue.out_per_second),
            "" if queue.oldest_ms is None else told_duration(queue.oldest_ms),
            Tinted("paused", "yellow") if queue.is_paused else "",
        )
        for queue in told.queues
    ]
    print_table(columns, rows, numbers=columns[1:8])
    jobs = [(each, worker) for worker in told.workers for each in worker.jobs]
    if told.workers:
        slots = sum(worker.slots for worker in told.workers)
        say(f"\n{len(told.workers)} workers, {len(jobs)} of {slots} slots in use")
    if jobs:
        running = [
            (job.task, told_duration(told.at - job.started_at), worker.owner, job.job_id) for job, worker in jobs
        ]
        print_table(("Running", "For", "Worker", "Job"), running)
