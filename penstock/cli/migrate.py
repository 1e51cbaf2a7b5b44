"""``penstock migrate``: moving house, from one store to another."""

import asyncio
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import typer

from penstock.cli.gathering import CommandGroup
from penstock.cli.output import print_table, progress_bar, say
from penstock.core.errors import StoreUnavailable

_PORTS = {"redis": 6379, "sentinel": 26379, "postgresql": 5432}

app = CommandGroup()


@app.command()
def migrate(
    source: Annotated[str, typer.Option("--from", metavar="URL", help="The store that is moved out of.")],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="The store that is moved into: an empty one.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be carried, and carry nothing.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Forget what was carried by a migration that did not end, and begin anew.")
    ] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="Forget what was carried, and stay.")] = False,
) -> None:
    """Carry everything a store keeps to another one: queues, messages with their leases and ids, records, history.

    Killed, it goes on when it is started again. Out of a SQLite file that servers and workers use, they go on too, in
    the new store. Stop them first for others.
    """
    asyncio.run(_migrate(source, target, dry_run=dry_run, begins_again=again, gives_up=give_up))


async def _migrate(source_url: str, target_url: str, *, dry_run: bool, begins_again: bool, gives_up: bool) -> None:
    from penstock.broker.system import SystemClock
    from penstock.store import open_house, without_password
    from penstock.store.following import StoreMoved
    from penstock.store.migrating import CannotMove, Migration, descriptions, move_house

    now_ms, shown = SystemClock().now_ms, without_password(target_url)
    if identity(source_url) == identity(target_url):
        raise CannotMove("Both are the same store.", hint="Name another one with --to.")
    _check_source(source_url)
    try:
        source = await open_house(source_url)
    except StoreMoved as moved:
        if identity(moved.url) != identity(target_url):
            raise
        await _end(target_url, source_url)
        say(f"Everything is in {shown} already.")
        return
    try:
        if dry_run:
            await _tell(source, now_ms())
            return
        target = await open_house(_absolute(target_url))
        try:
            if gives_up:
                await Migration(source, target, _name(source_url), lambda done, of: None).give_up(now_ms())
                say("What was carried is forgotten. The source is as if nothing had been.")
                return
            with progress_bar("carrying") as told:
                migration = Migration(source, target, _name(source_url), told)
                if await migration.begin(now_ms(), begins_again=begins_again):
                    say(f"Going on after {migration.note.carried:,} messages.")
                await move_house(migration, source, _absolute(target_url), shown, now_ms)
            queues = await descriptions(target, now_ms())
            say(f"{len(queues):,} queues with {_messages(queues):,} messages, and all else, are in {shown} now.")
            if urlsplit(source_url).scheme == "sqlite":
                say("What has the old file open goes on there by itself. Name the new store where it is configured.")
            else:
                say("Start servers and workers with it. The old store is as it was.")
        finally:
            await target.aclose()
    finally:
        await source.aclose()


async def _end(target_url: str, source_url: str) -> None:
    from penstock.store import open_house
    from penstock.store.migrating import Migration

    target = await open_house(target_url)
    try:
        await Migration(target, target, _name(source_url), lambda done, of: None).end()
    finally:
        await target.aclose()


async def _tell(source: Any, now: int) -> None:
    from penstock.core.belongings import KINDS, KeptMessage, KeptQueue
    from penstock.store.migrating import descriptions

    queues = await descriptions(source, now)
    rows = [(each.name, each.counts.ready, each.counts.delayed, each.counts.in_flight) for each in queues]
    print_table(("Queue", "Ready", "Delayed", "In flight"), rows, numbers=("Ready", "Delayed", "In flight"))
    for kind in KINDS:
        if kind in (KeptQueue, KeptMessage):
            continue
        count, after = 0, None
        while True:
            things, after = await source.page(kind, after, 1_000)
            count += len(things)
            if after is None:
                break
        say(f"{kind.__name__.removeprefix('Kept').lower()}s: {count:,}")
    say(f"{_messages(queues):,} messages in {len(queues):,} queues would be carried. Nothing was.")


def identity(url: str) -> tuple[object, ...]:
    """Return what two URLs of one store have in common."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if parts.scheme == "sqlite":
        return "sqlite", str(Path(unquote(parts.path[1:])).resolve())
    kind = "postgresql" if parts.scheme.startswith("postgres") else parts.scheme.replace("rediss", "redis")
    port = str(_PORTS["postgresql" if kind == "postgresql" else "sentinel" if "sentinel" in kind else "redis"])
    hosts = sorted(_host(each, port) for each in parts.netloc.rpartition("@")[2].split(","))
    if kind == "postgresql":
        return kind, *hosts, parts.path, options.get("schema", "penstock")
    return kind, *hosts, parts.path.strip("/") or "0", options.get("tags") or options.get("tag", "penstock")


def _host(text: str, port: str) -> str:
    host, colon, given = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, given = text, port
    return f"{host.replace('127.0.0.1', 'localhost') or 'localhost'}:{given}"


def _name(url: str) -> str:
    return " ".join(map(str, identity(url)))


def _absolute(url: str) -> str:
    """Return a URL that means the same in whatever folder a process runs."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        return url
    path = Path(unquote(parts.path[1:])).resolve()
    return f"sqlite:///{path}{'?' if parts.query else ''}{parts.query}"


def _check_source(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and not Path(unquote(parts.path[1:])).exists():
        raise StoreUnavailable(f"There is no database {unquote(parts.path[1:])}.", hint="Check --from.")


def _messages(queues: list[Any]) -> int:
    return sum(each.counts.ready + each.counts.delayed + each.counts.in_flight for each in queues)
