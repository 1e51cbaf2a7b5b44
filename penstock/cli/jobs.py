"""``penstock job ...``: list, show, send, retry and cancel jobs."""

import json
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Raw

from penstock.broker.contract import Broker
from penstock.cli.apps import Place, Workplace
from penstock.cli.completing import complete_queue
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answer, Answers, Tinted, print_table, shortened
from penstock.cli.times import duration, told_instant, told_time
from penstock.core.errors import InvalidRequest
from penstock.core.messages import Draft
from penstock.worker import App, JobUnknown, Status
from penstock.worker.envelope import Envelope, seal, unseal
from penstock.worker.overview import JobState, in_short
from penstock.worker.overview import jobs as find_jobs
from penstock.worker.sending import Request
from penstock.worker.status import JobView

app = CommandGroup("Jobs: list, show, send, retry and cancel them.")

COLOURS = {
    Status.SUCCEEDED: "green",
    Status.FAILED: "red",
    Status.CANCELLED: "yellow",
    Status.RETRYING: "yellow",
    Status.RUNNING: "cyan",
    Status.BLOCKED: "magenta",
}

JobIds = Annotated[list[str], typer.Argument(metavar="JOB", help="Ids of jobs.", show_default=False)]


@app.command("list")
def list_jobs(
    place: Place,
    answer: Answers,
    queue: Annotated[str | None, typer.Option(help="Only of this queue.", autocompletion=complete_queue)] = None,
    status: Annotated[str | None, typer.Option(metavar="|".join(Status), help="Only with this status.")] = None,
    task: Annotated[str | None, typer.Option(help="Only of this task.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
) -> None:
    """List jobs: those that run or wait, then those that have ended, the latest sent first."""
    if status is not None and status not in set(Status):
        raise typer.BadParameter(f"There is no status {status!r}: {', '.join(Status)}.")

    async def work(_: App, broker: Broker) -> list[JobState]:
        wanted = None if status is None else Status(status)
        return await find_jobs(broker, queue=queue, status=wanted, task=task, limit=limit)

    found = place.run(work)
    answer.table(
        found,
        ("Job", "Status", "Task", "Queue", "Attempts", ""),
        lambda: (
            (each.job_id, tinted(each.status), each.task, each.queue, each.attempts, told(each)) for each in found
        ),
        nothing="There is no such job." if status or task or queue else "There is no job.",
        numbers=("Attempts",),
    )


@app.command("show")
def show(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.", show_default=False)],
    place: Place,
    answer: Answers,
) -> None:
    """Show all that is known of a job: arguments, progress, result, why it failed."""
    view = place.run(lambda app, _: app.async_job(job_id).look())
    if view.status is Status.UNKNOWN:
        raise JobUnknown(f"Nothing is known of job {job_id}.", view)
    short = in_short(view)
    args = _args(view)
    result = view.record.result if view.record is not None and view.record.result else None
    rows: list[tuple[str, object]] = [("status", tinted(short.status)), ("task", short.task), ("queue", short.queue)]
    rows += [(f"argument {name}", json.dumps(value, ensure_ascii=False)) for name, value in args.items()]
    rows += [("key", short.key), ("attempts", short.attempts or None), ("sent", told_instant(short.sent_at))]
    rows += [("due", told_instant(short.due_at)), ("started", told_instant(short.started_at))]
    rows += [("ended", told_instant(short.finished_at)), ("worker", short.worker)]
    if short.progress is not None:
        rows.append(("progress", _progress(short)))
    if result is not None:
        rows.append(("result", bytes(result).decode()))
    if short.failure is not None:
        rows += [("failure", str(short.failure)), ("traceback", short.failure.traceback)]
    answer(
        {**msgspec.to_builtins(short), "args": args, "result": _plain(result)},
        lambda: print_table((job_id, ""), [(name, value) for name, value in rows if value not in (None, "")]),
    )


@app.command("send")
def send(
    place: Place,
    answer: Answers,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of the task.", show_default=False)],
    arguments: Annotated[
        str, typer.Argument(metavar="ARGS-JSON", help="An object by parameter; with --app also an array.")
    ] = "{}",
    queue: Annotated[str | None, typer.Option(help="Instead of the task's; without --app: default.")] = None,
    delay: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=duration, help="Not to start before.")
    ] = None,
    priority: Annotated[int | None, typer.Option(help="0 to 9; higher goes first.")] = None,
    job_key: Annotated[str | None, typer.Option("--job-key", metavar="KEY", help="Its ordered key.")] = None,
    wait: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=duration, help="Wait for its result and print it.")
    ] = None,
) -> None:
    """Send a job. With --app its arguments are checked against the task."""
    given = _read(arguments)
    request = _request(place, task, given, queue=queue, delay_seconds=delay, priority=priority, key=job_key)

    async def work(app: App, broker: Broker) -> Any:
        await app.dispatch(broker, (request,))
        return None if wait is None else await app.async_job(request.job_id).result(wait)

    result = place.run(work, is_kept_up=wait is not None)
    answer(
        {"job_id": request.job_id} | ({} if wait is None else {"result": result}),
        request.job_id if wait is None else json.dumps(msgspec.to_builtins(result), ensure_ascii=False),
    )


@app.command("retry")
def retry(job_ids: JobIds, place: Place, answer: Answers) -> None:
    """Run failed jobs again: from the dead letters back to their queue, all attempts before them."""

    async def work(app: App, _: Broker) -> dict[str, bool]:
        return {job_id: await app.async_job(job_id).retry() for job_id in job_ids}

    outcomes = place.run(work, is_kept_up=True)
    _tell(outcomes, answer, "is back in its queue", "is no dead letter")


@app.command("cancel")
def cancel(job_ids: JobIds, place: Place, answer: Answers) -> None:
    """Call jobs off: those that wait are gone, those that run are told to stop."""

    async def work(app: App, _: Broker) -> dict[str, bool]:
        return {job_id: await app.async_job(job_id).cancel() for job_id in job_ids}

    outcomes = place.run(work)
    _tell(outcomes, answer, "is called off", "has ended, or is not known")


def tinted(status: Status) -> Tinted:
    """Return a status in its colour."""
    return Tinted(status, COLOURS.get(status, ""))


def told(job: JobState) -> str:
    """Return in a few words what is worth telling of a job besides its status."""
    if job.failure is not None:
        return shortened(str(job.failure), 80)
    if job.progress is not None and job.finished_at is None:
        return _progress(job)
    if job.due_at is not None:
        return f"due {told_time(job.due_at)}"
    if job.finished_at is not None and job.started_at:
        return f"{(job.finished_at - job.started_at) / 1000:.1f} s"
    return ""


def _progress(job: JobState) -> str:
    progress = job.progress
    assert progress is not None
    share = f"{progress.done:g} of {progress.total:g}" if progress.total is not None else f"{progress.done:g}"
    return f"{share} {progress.note}".strip()


def _tell(outcomes: dict[str, bool], answer: Answer, done: str, not_done: str) -> None:
    lines = (f"{job_id} {done if is_done else not_done}" for job_id, is_done in outcomes.items())
    answer(outcomes, "\n".join(lines))
    if not all(outcomes.values()):
        raise typer.Exit(1)


def _read(arguments: str) -> dict[str, Any] | list[Any]:
    try:
        given = json.loads(arguments)
    except ValueError as error:
        raise typer.BadParameter(f"The arguments are no JSON: {error}.") from None
    if not isinstance(given, dict | list):
        raise typer.BadParameter("The arguments are an object or an array.")
    return given


def _request(place: Workplace, task: str, given: dict[str, Any] | list[Any], **options: Any) -> Request:
    if place.has_code:
        sender = place.app.task_named(task).with_options(**options)
        return sender.request((), given) if isinstance(given, dict) else sender.request(tuple(given), {})
    if isinstance(given, list):
        raise InvalidRequest("Only the app knows what the arguments are called.", hint="Say --app, or give an object.")
    args = {name: Raw(msgspec.json.encode(value)) for name, value in given.items()}
    draft = Draft(
        seal(Envelope(task, args)),
        delay_seconds=options["delay_seconds"],
        priority=options["priority"] or 0,
        group_id=options["key"],
        message_id=place.app.new_id(),
    )
    return Request(options["queue"] or "default", draft)


def _args(view: JobView) -> dict[str, Any]:
    if view.message is None:
        return {}
    try:
        return {name: _plain(value) for name, value in unseal(view.message.body).args.items()}
    except InvalidRequest:
        return {}


def _plain(value: Raw | None) -> Any:
    return None if value is None else msgspec.json.decode(value)
