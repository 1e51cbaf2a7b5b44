"""``penstock monitor``: what happens, live: tables on a terminal, a line for each change otherwise."""

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from penstock.broker.contract import Broker
from penstock.cli.apps import Place
from penstock.cli.gathering import CommandGroup
from penstock.cli.jobs import COLOURS, told
from penstock.cli.output import Answers, say
from penstock.cli.times import told_duration, told_time
from penstock.core.errors import PenstockError
from penstock.worker import App, Status
from penstock.worker.following import Change
from penstock.worker.overview import JobState, QueueState, in_short, queues_of_jobs, running
from penstock.worker.presence import WorkerRecord, present_workers
from penstock.worker.records import FINAL

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

RECENT = 10
MOST_RUNNING = 20

app = CommandGroup()


@app.command("monitor")
def monitor(
    place: Place,
    answer: Answers,
    job_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="Follow these jobs until they have ended.", show_default=False),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often to look at the tables.")] = 1,
    plain: Annotated[bool, typer.Option("--plain", help="Lines, on a terminal too.")] = False,
) -> None:
    """Show live what queues, workers and jobs do. Piped, or with jobs named: a line for each change of status.

    With jobs named it ends when they have, with status 1 if one did not succeed.
    """

    async def work(app: App, broker: Broker) -> bool:
        if job_ids or answer.is_json or plain or not sys.stdout.isatty():
            return await _print_changes(app.follow(job_ids or None), answer.is_json)
        await Screen(app, broker, interval).run()
        return True

    with contextlib.suppress(KeyboardInterrupt):
        if not place.run(work):
            raise typer.Exit(1)


def line(change: Change) -> str:
    """Return a change in one line: ``[12:00:01] job 018b... (report) succeeded 1.2 s``."""
    job = change.job
    task = f" ({job.task})" if job.task else ""
    return f"[{told_time(change.at)}] job {job.job_id}{task} {change.status} {told(job)}".rstrip()


async def _print_changes(changes: AsyncIterator[Change], as_json: bool) -> bool:
    """Print changes as they come; return whether all that ended did so well."""
    all_is_well = True
    async for change in changes:
        said: dict[str, Any] = {"at": change.at, "before": change.before, **msgspec.to_builtins(change.job)}
        say(msgspec.json.encode(said).decode() if as_json else line(change))
        sys.stdout.flush()
        all_is_well = all_is_well and change.status not in (Status.FAILED, Status.CANCELLED, Status.UNKNOWN)
    return all_is_well


class Screen:
    """The live view.

    Args:
        app, broker: what to look at.
        interval_seconds: how often.
    """

    def __init__(self, app: App, broker: Broker, interval_seconds: float) -> None:
        self._app = app
        self._broker = broker
        self._interval_seconds = interval_seconds
        self._recent: deque[Change] = deque(maxlen=RECENT)
        self._trouble = ""

    async def run(self) -> None:
        """Show until cancelled."""
        from rich.live import Live

        listening = asyncio.ensure_future(self._listen())
        try:
            with Live(auto_refresh=False, screen=True) as live:
                while True:
                    live.update(await self._look(), refresh=True)
                    await asyncio.sleep(self._interval_seconds)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                async for change in self._app.follow():
                    if change.status in FINAL or change.status is Status.RETRYING:
                        self._recent.appendleft(change)
            except PenstockError as error:
                self._trouble = str(error)
                await asyncio.sleep(self._interval_seconds)

    async def _look(self) -> "Group":
        queues: list[QueueState] = []
        living: list[WorkerRecord] = []
        jobs: list[JobState] = []
        try:
            queues = await queues_of_jobs(self._broker)
            living = await present_workers(self._broker)
            jobs = list(map(in_short, await running(self._broker, [each.name for each in queues if each.running])))
            self._trouble = ""
        except PenstockError as error:
            self._trouble = str(error)
        return screen(queues, living, jobs, list(self._recent), self._app.clock.now_ms(), self._trouble)


def screen(
    queues: list[QueueState],
    living: list[WorkerRecord],
    jobs: list[JobState],
    recent: list[Change],
    now: int,
    trouble: str = "",
) -> "Group":
    """Return the tables of the live view."""
    from rich.console import Group, RenderableType
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    started = {each.job_id: each.started_at for worker in living for each in worker.jobs}
    told_by_workers = {each.job_id: each.progress for worker in living for each in worker.jobs}
    waits = _table("Queue", "Waiting", "Delayed", "Running", "Dead", "Oldest", numbers=5)
    for queue in queues:
        age = "" if queue.oldest_sent_at is None else told_duration(now - queue.oldest_sent_at)
        name = f"{queue.name} (paused)" if queue.is_paused else queue.name
        dead = Text(str(queue.dead), style="red" if queue.dead else "")
        waits.add_row(name, str(queue.waiting), str(queue.delayed), str(queue.running), dead, age)
    work = _table("Worker", "Queues", "Slots in use", "")
    for worker in living:
        state = "draining" if worker.is_draining else ""
        work.add_row(worker.owner, ", ".join(worker.queues), f"{len(worker.jobs)} of {worker.slots}", state)
    runs = _table("Running job", "Task", "For", "Progress", "")
    for job in jobs[:MOST_RUNNING]:
        progress = job.progress or told_by_workers.get(job.job_id)
        bar: RenderableType = ""
        if progress is not None and progress.total:
            bar = ProgressBar(progress.total, min(progress.done, progress.total), width=24)
        elif progress is not None:
            bar = f"{progress.done:g}"
        since = started.get(job.job_id) or job.started_at
        runs.add_row(
            job.job_id, job.task, told_duration(now - since) if since else "", bar, progress.note if progress else ""
        )
    if len(jobs) > MOST_RUNNING:
        runs.add_row(f"and {len(jobs) - MOST_RUNNING} more")
    ends = [Text(line(change), style=COLOURS.get(change.status, "")) for change in recent]
    head = Text(f"Penstock · {told_time(now)} · Ctrl-C ends", style="bold")
    return Group(head, Text(trouble, style="red"), waits, work, runs, *ends)


def _table(*columns: str, numbers: int = 0) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=True)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if 0 < index <= numbers else "left", overflow="fold")
    return table
