"""``penstock worker``: the workers that live, and what each does."""

from typing import Annotated

import typer

from penstock.broker.contract import Broker
from penstock.cli.apps import Place
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answers, Tinted, print_table
from penstock.cli.times import told_instant
from penstock.core.errors import PenstockError
from penstock.worker import App
from penstock.worker.presence import WorkerRecord, ask_to_drain, present_workers

app = CommandGroup("The workers that live: list and show them, and have one drain.")


class WorkerNotFound(PenstockError):
    """No worker that lives has that name."""

    code = "worker_not_found"
    fault = "caller"


@app.command("list")
def list_workers(place: Place, answer: Answers) -> None:
    """List the workers that live, and how busy they are."""
    found = place.run(_present)
    answer.table(
        found,
        ("Worker", "Pid", "Since", "Queues", "Slots in use", ""),
        lambda: (
            (
                each.owner,
                each.pid,
                told_instant(each.started_at),
                ", ".join(each.queues),
                f"{len(each.jobs)} of {each.slots}",
                Tinted("draining", "yellow") if each.is_draining else "",
            )
            for each in found
        ),
        nothing="There is no worker.",
        numbers=("Pid",),
    )


@app.command("show")
def show(
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="Its name, or how it begins.", show_default=False)],
    place: Place,
    answer: Answers,
) -> None:
    """Show the jobs that a worker runs."""
    found = [each for each in place.run(_present) if each.owner.startswith(worker)]
    exact = [each for each in found if each.owner == worker] or found
    if len(exact) != 1:
        many = f"There are {len(exact)} such workers." if exact else f"No worker that lives is called {worker!r}."
        raise WorkerNotFound(many, hint="`penstock worker list` has their names.")
    told = exact[0]
    jobs = [
        (each.job_id, each.task, told_instant(each.started_at), "" if each.progress is None else each.progress.note)
        for each in told.jobs
    ]
    about = f"{told.owner}: {len(told.jobs)} of {told.slots} slots in use"
    answer(told, lambda: print_table((about, "Task", "Since", ""), jobs))


@app.command("drain")
def drain(
    worker: Annotated[str, typer.Argument(metavar="NAME", help="As the list has it.", show_default=False)],
    place: Place,
    answer: Answers,
) -> None:
    """Have a worker take no more jobs, end what it runs, and go.

    It hears of it within two seconds. A supervisor (--processes) does not start another one in its place; whatever else
    looks after it may.
    """

    async def ask(app: App, broker: Broker) -> None:
        await ask_to_drain(broker, worker, app.clock.now_ms())

    place.run(ask)
    answer({"worker": worker, "is_draining": True}, f"{worker} is told to drain.")


async def _present(_: App, broker: Broker) -> list[WorkerRecord]:
    return await present_workers(broker)
