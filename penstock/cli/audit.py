"""``penstock audit``: who changed what, when, from where, and with which result."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

import msgspec
import typer

from penstock.cli.desk_calls import call
from penstock.cli.output import print_json, print_table, say
from penstock.cli.target import Json, KeyPair, StoreUrl, Url, target
from penstock.server.audit import Audit, AuditPage

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def audit(
    who: Annotated[str, typer.Option(help="Only what this key or user did.")] = "",
    on: Annotated[str, typer.Option(metavar="TARGET", help="Only what was done to this queue, key or user.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="So many.")] = 50,
    as_json: Json = False,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Show the audit log, the latest first: administration, and changes by hand in the console."""
    from penstock.broker.system import SystemClock

    where = target(url, store, key)
    if store is not None:
        page = where.run(lambda broker: Audit(broker, SystemClock().now_ms).read(limit=limit, who=who, target=on))
    else:
        query = urlencode({"limit": limit, "who": who, "target": on})
        page = msgspec.json.decode(call(where, "GET", f"audit?{query}"), type=AuditPage)
    if as_json:
        print_json(page.entries)
    elif not page.entries:
        say("Nothing was noted.")
    else:
        columns = ("When", "Who", "Did", "To", "What", "Result", "From")
        print_table(
            columns,
            [
                (_instant(each.at), each.who, each.action, each.target, each.detail, each.result, each.source_ip)
                for each in page.entries
            ],
        )


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
