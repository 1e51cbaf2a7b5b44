"""``penstock dlq ...``: why jobs failed for good; retry or delete them."""

from typing import Annotated

import typer

from penstock.broker.contract import Broker
from penstock.cli.apps import Place
from penstock.cli.completing import complete_queue
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answer, Answers, Tinted, Yes, confirm, shortened
from penstock.cli.times import told_instant
from penstock.worker import App
from penstock.worker.dead_letters import Cause
from penstock.worker.overview import QueueState, queues_of_jobs

app = CommandGroup("Why jobs failed for good; retry or delete them.")

Queue = Annotated[
    str,
    typer.Argument(
        metavar="QUEUE",
        help="Name of the queue of jobs, without -dead.",
        show_default=False,
        autocompletion=complete_queue,
    ),
]
OfCause = Annotated[str | None, typer.Option("--cause", help="Only of this cause, as `dlq show` names it.")]
OfTask = Annotated[str | None, typer.Option("--task", help="Only of this task.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="JOB", help="Only these jobs.", show_default=False)]


@app.command("list")
def list_queues(place: Place, answer: Answers) -> None:
    """List the queues of jobs that have dead letters."""

    async def work(_: App, broker: Broker) -> list[QueueState]:
        return [each for each in await queues_of_jobs(broker) if each.dead]

    found = place.run(work)
    answer.table(
        [{"queue": each.name, "dead": each.dead} for each in found],
        ("Queue", "Dead"),
        lambda: ((each.name, Tinted(each.dead, "red")) for each in found),
        nothing="There is no dead letter.",
        numbers=("Dead",),
    )


@app.command("show")
def show(
    queue: Queue,
    place: Place,
    answer: Answers,
    cause: OfCause = None,
    task: OfTask = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many jobs.")] = 100,
) -> None:
    """Show the causes of a queue's dead letters; with --cause or --task, the jobs themselves."""
    if cause is None and task is None:
        _show_causes(place.run(lambda app, _: app.async_dead_letters(queue).causes()), answer)
        return
    found = place.run(lambda app, _: app.async_dead_letters(queue).list(cause=cause, task=task, limit=limit))
    answer.table(
        found,
        ("Job", "Task", "Failed", "Attempts", "Why"),
        lambda: (
            (each.job_id, each.task, told_instant(each.failed_at), each.attempts, shortened(str(each.failure), 100))
            for each in found
        ),
        nothing="There is no such dead letter.",
        numbers=("Attempts",),
    )


@app.command("retry")
def retry(
    queue: Queue,
    place: Place,
    answer: Answers,
    job_ids: Ids = None,
    cause: OfCause = None,
    task: OfTask = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="All of the queue.")] = False,
    rate: Annotated[int | None, typer.Option(min=1, metavar="PER-SECOND", help="Not faster than that.")] = None,
) -> None:
    """Send dead jobs back to their queue, each with its id and all attempts before it. Returns when they are there."""
    _must_choose(job_ids, cause, task, all_of_them)
    moved = place.run(
        lambda app, _: app.async_dead_letters(queue).retry(
            job_ids or None, cause=cause, task=task, rate_per_second=rate
        ),
        is_kept_up=True,
    )
    answer({"retried": moved}, f"{moved} {'job is' if moved == 1 else 'jobs are'} back in {queue}.")


@app.command("delete")
def delete(
    queue: Queue,
    place: Place,
    answer: Answers,
    job_ids: Ids = None,
    cause: OfCause = None,
    task: OfTask = None,
    yes: Yes = False,
) -> None:
    """Forget dead jobs."""
    _must_choose(job_ids, cause, task, False)
    confirm(yes, f"Forget these dead jobs of {queue}?")
    deleted = place.run(lambda app, _: app.async_dead_letters(queue).delete(job_ids or None, cause=cause, task=task))
    answer({"deleted": deleted}, f"Deleted {deleted} dead {'job' if deleted == 1 else 'jobs'} of {queue}.")


def _must_choose(job_ids: list[str] | None, cause: str | None, task: str | None, all_of_them: bool) -> None:
    chosen = bool(job_ids) or cause is not None or task is not None
    if chosen == all_of_them:
        raise typer.BadParameter("Name jobs, or say --cause or --task, or --all of them where that can be said.")


def _show_causes(causes: tuple[Cause, ...], answer: Answer) -> None:
    answer.table(
        causes,
        ("Cause", "Jobs", "Error", "Where", "Last", "It said"),
        lambda: (
            (each.cause, each.count, each.kind, each.place, told_instant(each.last_failed_at), shortened(each.message))
            for each in causes
        ),
        nothing="There is no dead letter.",
        numbers=("Jobs",),
    )
