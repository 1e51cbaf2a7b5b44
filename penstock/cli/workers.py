"""``penstock worker list``."""

import typer

from penstock.broker.contract import Broker
from penstock.cli.apps import AppReference, instant, workplace
from penstock.cli.output import print_json, print_table, say
from penstock.cli.target import Json, KeyPair, StoreUrl, Url
from penstock.worker import App
from penstock.worker.overview import WorkerState
from penstock.worker.overview import workers as find_workers

app = typer.Typer(help="List the workers.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_workers(
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """List the workers that live, and how busy they are."""

    async def work(_: App, broker: Broker) -> list[WorkerState]:
        return await find_workers(broker)

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
