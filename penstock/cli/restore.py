"""``penstock restore``: of SQLite files; of other stores it says what does it."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.backup import THROUGH, ConfigFile, StoreUrl, database_of, spool, url_of
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import progress_bar, say

app = CommandGroup()


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A backup; - is standard input.")],
    store: StoreUrl = None,
    config: ConfigFile = None,
    force: Annotated[bool, typer.Option("--force", help="Put it in the place of a store that is there.")] = False,
) -> None:
    """Put a backup of a SQLite store in its place. Nothing may have that open; what was there is kept beside it."""
    from penstock.store.sqlite import copying

    path = database_of(url_of(store, config), "restore")
    with spool() as spooled:
        if source == THROUGH:
            with spooled.open("wb") as written:
                shutil.copyfileobj(sys.stdin.buffer, written)
            source = spooled
        with progress_bar("copying") as told:
            before = copying.restore(source, path, told, replaces=force)
    kept = "" if before is None else f" What was there is now {before}."
    say(f"{path} is restored.{kept}")
