"""``penstock dlq ...``: why jobs failed for good; retry or delete them."""

from typing import Annotated

import typer

from penstock.broker.contract import Broker
from penstock.cli.apps import AppReference, instant, workplace
from penstock.cli.output import print_json, print_table, say
from penstock.cli.target import Json, KeyPair, StoreUrl, Url
from penstock.worker import App
from penstock.worker.dead_letters import Cause
from penstock.worker.overview import QueueState, queues_of_jobs

app = typer.Typer(help="Why jobs failed for good; retry or delete them.", no_args_is_help=True, rich_markup_mode=None)

Queue = Annotated[
    str, typer.Argument(metavar="QUEUE", help="Name of the queue of jobs, without -dead.", show_default=False)
]
OfCause = Annotated[str | None, typer.Option("--cause", help="Only of this cause, as `dlq show` names it.")]
OfTask = Annotated[str | None, typer.Option("--task", help="Only of this task.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="Only these jobs.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list")
def list_queues(
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """List the queues of jobs that have dead letters."""

    async def work(_: App, broker: Broker) -> list[QueueState]:
        return [each for each in await queues_of_jobs(broker) if each.dead]

    found = workplace(app_reference, url, store, key).run(work)
    if as_json:
        print_json([{"queue": each.name, "dead": each.dead} for each in found])
    elif not found:
        say("There is no dead letter.")
    else:
        print_table(("Queue", "Dead"), [(each.name, each.dead) for each in found], numbers=("Dead",))


@app.command("show")
def show(
    queue: Queue,
    cause: OfCause = None,
    task: OfTask = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many jobs.")] = 100,
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Show the causes of a queue's dead letters; with --cause or --task, the jobs themselves."""
    place = workplace(app_reference, url, store, key)
    if cause is None and task is None:
        _show_causes(place.run(lambda app, _: app.async_dead_letters(queue).causes()), as_json)
        return
    found = place.run(lambda app, _: app.async_dead_letters(queue).list(cause=cause, task=task, limit=limit))
    if as_json:
        print_json(found)
    elif not found:
        say("There is no such dead letter.")
    else:
        rows = [
            (each.job_id, each.task, instant(each.failed_at), each.attempts, str(each.failure).splitlines()[0])
            for each in found
        ]
        print_table(("Job", "Task", "Failed", "Attempts", "Why"), rows, numbers=("Attempts",))


@app.command("retry")
def retry(
    queue: Queue,
    job_ids: Ids = None,
    cause: OfCause = None,
    task: OfTask = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="All of the queue.")] = False,
    rate: Annotated[int | None, typer.Option(min=1, metavar="PER-SECOND", help="Not faster than that.")] = None,
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Send dead jobs back to their queue, each with its id and all attempts before it. Returns when they are there."""
    _must_choose(job_ids, cause, task, all_of_them)
    moved = workplace(app_reference, url, store, key).run(
        lambda app, _: app.async_dead_letters(queue).retry(
            job_ids or None, cause=cause, task=task, rate_per_second=rate
        ),
        is_kept_up=True,
    )
    if as_json:
        print_json({"retried": moved})
    else:
        say(f"{moved} {'job is' if moved == 1 else 'jobs are'} back in {queue}.")


@app.command("delete")
def delete(
    queue: Queue,
    job_ids: Ids = None,
    cause: OfCause = None,
    task: OfTask = None,
    yes: Yes = False,
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Forget dead jobs."""
    _must_choose(job_ids, cause, task, False)
    if not yes:
        typer.confirm(f"Forget these dead jobs of {queue}?", abort=True)
    deleted = workplace(app_reference, url, store, key).run(
        lambda app, _: app.async_dead_letters(queue).delete(job_ids or None, cause=cause, task=task)
    )
    if as_json:
        print_json({"deleted": deleted})
    else:
        say(f"Deleted {deleted} dead {'job' if deleted == 1 else 'jobs'} of {queue}.")


def _must_choose(job_ids: list[str] | None, cause: str | None, task: str | None, all_of_them: bool) -> None:
    chosen = bool(job_ids) or cause is not None or task is not None
    if chosen == all_of_them:
        raise typer.BadParameter("Name jobs, or say --cause or --task, or --all of them where that can be said.")


def _show_causes(causes: tuple[Cause, ...], as_json: bool) -> None:
    if as_json:
        print_json(causes)
    elif not causes:
        say("There is no dead letter.")
    else:
        rows = [
            (each.cause, each.count, each.kind, each.place, instant(each.last_failed_at), _first_line(each.message))
            for each in causes
        ]
        print_table(("Cause", "Jobs", "Error", "Where", "Last", "It said"), rows, numbers=("Jobs",))


def _first_line(text: str) -> str:
    line = (text.splitlines() or [""])[0]
    return line if len(line) <= 60 else line[:59] + "…"
