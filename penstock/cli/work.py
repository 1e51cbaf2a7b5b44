"""``penstock work``: one worker in this process, or several under a supervisor."""

from typing import Annotated, cast

import typer

from penstock.cli.gathering import CommandGroup
from penstock.cli.target import KeyPair
from penstock.cli.work_settings import LogFormat, WorkSettings
from penstock.core.errors import InvalidRequest

FORMATS = ("auto", "human", "json")
LEVELS = ("debug", "info", "warning", "error")


EPILOG = """
\b
SIGTERM or Ctrl-C: takes no more jobs, lets those that run end for at most
--drain-seconds, gives back the rest. A second one gives all back at once.
`penstock worker drain NAME` and the console do the same from elsewhere.
With --processes the worker number N (from 0) serves its health at
--health-port + N.

\b
  penstock work shop.tasks:app
  penstock work shop.tasks:app --slots 32 --processes 4 --queues high:6,low:1
  penstock work shop.tasks:app --partitions orders=0,1 --partitions mail=4-7
  penstock work shop.tasks:app --burst       # until the queues are empty
  penstock work shop.tasks:app --reload      # while you write the tasks
"""


app = CommandGroup()


@app.command("work", epilog=EPILOG)
def work(
    app: Annotated[str, typer.Argument(metavar="MODULE:APP", help="Where the app is; APP is `app` if left out.")],
    slots: Annotated[int, typer.Option(min=1, help="How many jobs each process runs at once.")] = 8,
    processes: Annotated[int, typer.Option(min=1, help="How many processes.")] = 1,
    queues: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:WEIGHT],...", help="Where to take jobs from. [default: all queues the app speaks of]"
        ),
    ] = None,
    partitions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUEUE=NUMBER,...",
            help="Take only jobs of these partitions of a queue, from 0; may be repeated. [default: all of them]",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Strictly in the order of --queues, whatever their weights.")
    ] = False,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is ready.")] = False,
    reload: Annotated[bool, typer.Option("--reload", help="Begin anew when Python files here change.")] = False,
    drain_seconds: Annotated[float, typer.Option(min=0, help="How long jobs may go on after a signal.")] = 30,
    url: Annotated[
        str | None,
        typer.Option("--url", "--store", metavar="URL", help="Server or store to use instead of the app's own."),
    ] = None,
    key: KeyPair = None,
    log_format: Annotated[str, typer.Option(metavar="auto|human|json", help="auto: human on a terminal.")] = "auto",
    log_level: Annotated[str, typer.Option(metavar="debug|info|warning|error")] = "info",
    job_logs: Annotated[
        str | None,
        typer.Option(
            metavar="debug|info|warning|error",
            help="Keep what jobs log with them in the store, from this level on: the latest 200 lines of each attempt.",
        ),
    ] = None,
    health_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve /health/live, /health/ready and /metrics on this port."),
    ] = None,
) -> None:
    """Run the jobs of an app until SIGTERM or Ctrl-C."""
    if job_logs is not None and job_logs not in LEVELS:
        raise typer.BadParameter(f"It is one of {', '.join(LEVELS)}.", param_hint="--job-logs")
    if log_format not in FORMATS or log_level not in LEVELS:
        raise typer.BadParameter(f"--log-format is one of {', '.join(FORMATS)}; --log-level of {', '.join(LEVELS)}.")
    if queues is not None or partitions:
        from penstock.worker.engine.options import parse_partitions, parse_queues, pinned

        try:
            numbers = parse_partitions(partitions or ())
            if queues is not None:
                pinned(parse_queues(queues), numbers)
        except InvalidRequest as error:
            raise typer.BadParameter(f"{error} {error.problem.hint}", param_hint=f"--{error.problem.field}") from None
    settings = WorkSettings(
        app=app,
        slots=slots,
        processes=processes,
        queues=queues,
        partitions=tuple(partitions or ()),
        is_strict=strict,
        is_burst=burst,
        reloads=reload,
        drain_seconds=drain_seconds,
        url=url,
        key=key,
        log_format=cast(LogFormat, log_format),
        log_level=log_level,
        job_log_level=job_logs,
        health_port=health_port,
    )
    if processes > 1 or reload:
        from penstock.cli.worker_processes import supervise as run
    else:
        from penstock.cli.worker_process import run
    raise typer.Exit(run(settings))
