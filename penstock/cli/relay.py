"""``penstock relay``: sends what is in the outboxes of an app."""

import asyncio
import signal
from typing import Annotated

import typer

from penstock.broker.contract import Broker
from penstock.cli.apps import workplace
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import say
from penstock.cli.target import KeyPair, StoreUrl, Url
from penstock.core.errors import InvalidRequest
from penstock.worker import App

app = CommandGroup()


@app.command("relay")
def relay(
    app_reference: Annotated[
        str | None, typer.Argument(metavar="MODULE:APP", help="Where the app is.", show_default=False)
    ] = None,
    sql: Annotated[
        str | None,
        typer.Option(metavar="sqlite|postgresql|mysql", help="Print the statement that makes the table, and end."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Send what is there, and end.")] = False,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Send what is in the outboxes of an app, until SIGTERM or Ctrl-C. Workers do it too; this one does only that."""
    from penstock.worker.outbox.table import create_statement

    if sql is not None:
        if sql not in ("sqlite", "postgresql", "mysql"):
            raise typer.BadParameter("--sql is for sqlite, postgresql or mysql.")
        say(create_statement(sql) + ";")  # type: ignore[arg-type]
        return
    if app_reference is None:
        raise typer.BadParameter("Say which app: penstock relay shop.tasks:app.")
    place = workplace(app_reference, url, store, key)
    if not place.app.relays:
        raise InvalidRequest(
            "The app has no relay.", hint='Give it one: app.relay(lambda: sqlite3.connect("shop.db")).'
        )
    place.run(lambda app, broker: _relay(app, broker, once), is_kept_up=True)


async def _relay(app: App, broker: Broker, once: bool) -> None:
    from penstock.worker.engine.duties import Duties

    duties = Duties(app, broker, app.relays)
    if once:
        await duties.once()
        return
    running = asyncio.ensure_future(duties.run())
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, running.cancel)
    await asyncio.gather(running, return_exceptions=True)
