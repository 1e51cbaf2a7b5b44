"""``penstock worker list`` and ``penstock worker drain``."""

from typing import Annotated

import typer

from penstock.broker.contract import Broker
from penstock.cli.apps import AppReference, instant, workplace
from penstock.cli.output import print_json, print_table, say
from penstock.cli.target import Json, KeyPair, StoreUrl, Url
from penstock.worker import App
from penstock.worker.presence import WorkerRecord, ask_to_drain, present_workers

app = typer.Typer(help="List workers, and have one drain.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_workers(
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """List the workers that live, and how busy they are."""

    async def work(_: App, broker: Broker) -> list[WorkerRecord]:
        return await present_workers(broker)

    found = workplace(app_reference, url, store, key).run(work)
    if as_json:
        print_json(found)
    elif not found:
        say("There is no worker.")
    else:
        rows = [
            (
                each.owner,
                each.pid,
                instant(each.started_at),
                ", ".join(each.queues),
                f"{len(each.jobs)} of {each.slots}",
                "draining" if each.is_draining else "",
            )
            for each in found
        ]
        print_table(("Worker", "Pid", "Since", "Queues", "Slots in use", ""), rows, numbers=("Pid",))


@app.command("drain")
def drain_worker(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `penstock worker list` has it.", show_default=False)],
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Have a worker take no more jobs, end what it runs, and go.

    It hears of it within two seconds. A supervisor (--processes) does not start another one in its place; whatever else
    looks after it may.
    """

    async def work(app: App, broker: Broker) -> None:
        await ask_to_drain(broker, name, app.clock.now_ms())

    workplace(app_reference, url, store, key).run(work)
    if as_json:
        print_json({"worker": name, "is_draining": True})
    else:
        say(f"{name} is told to drain.")
