"""``penstock backup``: of SQLite files; of other stores it says what does it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from penstock.cli.gathering import CommandGroup
from penstock.cli.output import progress_bar, say
from penstock.core.errors import InvalidRequest

THROUGH = Path("-")
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file (TOML). [default: penstock.toml, if there is one]"),
]
StoreUrl = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="The store. [default: as the server is configured]")
]

app = CommandGroup()


@app.command()
def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="Where the backup goes; - is standard output.")],
    store: StoreUrl = None,
    config: ConfigFile = None,
) -> None:
    """Copy a SQLite store as it is now, while servers and workers go on. The copy is checked before it is one."""
    from penstock.store.sqlite import copying

    path = database_of(url_of(store, config), "backup")
    if to != THROUGH:
        with progress_bar("copying") as told:
            copying.back_up(path, to, told)
        say(f"{path} is backed up to {to} ({to.stat().st_size:,} bytes, checked).")
        return
    if sys.stdout.isatty():
        raise InvalidRequest("A backup is not for a terminal.", hint="Send it to a file: penstock backup - > FILE")
    with spool() as spooled:
        copying.back_up(path, spooled, lambda done, of: None)
        with spooled.open("rb") as read:
            shutil.copyfileobj(read, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def database_of(url: str, verb: str) -> Path:
    """Return the file of a SQLite store. Raises InvalidRequest for others, saying what backs them up and restores."""
    from penstock.store import without_password

    parts = urlsplit(url)
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        return Path(unquote(parts.path[1:]))
    shown, page = without_password(url), "docs/recovery/restore-from-a-snapshot.md has all steps."
    if parts.scheme.startswith("redis"):
        hints = {
            "backup": "redis-cli --rdb FILE takes a backup while it serves",
            "restore": "Put the RDB file into the server's directory and start it",
        }
    elif parts.scheme in ("postgresql", "postgres"):
        hints = {
            "backup": f"pg_dump --format=custom --schema=penstock --file=FILE '{shown}' takes one while it serves",
            "restore": f"pg_restore --clean --if-exists --single-transaction --dbname='{shown}' FILE",
        }
    else:
        raise InvalidRequest(f"{shown!r} has no backups.", hint="Name a store that keeps what it is given.")
    raise InvalidRequest(f"{shown} is backed up and restored with its own tools.", hint=f"{hints[verb]}; {page}")


def url_of(store: str | None, config: Path | None) -> str:
    from penstock import config as configuration

    return configuration.load({"store": store}, file=config).store_url


@contextmanager
def spool() -> Iterator[Path]:
    folder = tempfile.mkdtemp(prefix="penstock-backup-")
    try:
        os.chmod(folder, 0o700)
        yield Path(folder) / "penstock.db"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
