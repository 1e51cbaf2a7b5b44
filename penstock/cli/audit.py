"""``penstock audit``: who changed what, when, from where, and with which result."""

from typing import Annotated
from urllib.parse import urlencode

import msgspec
import typer

from penstock.cli.desk_calls import call
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answers
from penstock.cli.target import At
from penstock.cli.times import told_instant
from penstock.server.audit import Audit, AuditPage

app = CommandGroup()


@app.command("audit")
def audit(
    at: At,
    answer: Answers,
    who: Annotated[str, typer.Option(help="Only what this key or user did.")] = "",
    on: Annotated[str, typer.Option(metavar="TARGET", help="Only what was done to this queue, key or user.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="So many.")] = 50,
) -> None:
    """Show the audit log, the latest first: administration, and changes by hand in the console."""
    from penstock.broker.system import SystemClock

    if at.store is not None:
        page = at.run(lambda broker: Audit(broker, SystemClock().now_ms).read(limit=limit, who=who, target=on))
    else:
        query = urlencode({"limit": limit, "who": who, "target": on})
        page = msgspec.json.decode(call(at, "GET", f"audit?{query}"), type=AuditPage)
    answer.table(
        page.entries,
        ("When", "Who", "Did", "To", "What", "Result", "From"),
        lambda: (
            (told_instant(each.at), each.who, each.action, each.target, each.detail, each.result, each.source_ip)
            for each in page.entries
        ),
        nothing="Nothing was noted.",
    )
