"""``penstock shard``: the servers that one store lives on, looked at and added to while it is in use."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.gathering import CommandGroup
from penstock.cli.output import print_table, progress_bar, say
from penstock.core.errors import InvalidRequest, StoreUnavailable

if TYPE_CHECKING:
    from penstock.store.sharded import ShardedStore

app = CommandGroup("Shards: the servers that one store lives on; add some while it is in use.")

StoreUrl = Annotated[
    str, typer.Option("--store", metavar="URL", help="The store, with the shards it has: redis://one,two.")
]

_AGAIN_AFTER_SECONDS = 1.0


@app.command("list")
def list_shards(store: StoreUrl) -> None:
    """List the shards of a store, with the queues and messages that live on each."""
    asyncio.run(_with_store(store, _list))


@app.command()
def add(
    urls: Annotated[
        list[str],
        typer.Argument(
            metavar="URL...", help="The new shards, empty, as all servers and workers reach them.", show_default=False
        ),
    ],
    store: StoreUrl,
    patience_seconds: Annotated[
        float, typer.Option(help="How long to wait for a shard that is away before giving up.")
    ] = 600.0,
) -> None:
    """Spread a store over more shards while servers and workers use it: they follow by themselves.

    Queues move in rounds; who wants to change one of those that are moving waits for so long. Killed, it goes on when
    it is started again.
    """
    asyncio.run(_with_store(store, lambda opened: _add(opened, urls, patience_seconds)))


async def _with_store(url: str, ask: Any) -> None:
    from penstock.store import open_plain_store
    from penstock.store.sharded import ShardedStore

    opened = await open_plain_store(url)
    try:
        if not isinstance(opened, ShardedStore):
            raise InvalidRequest(
                "The store has one server, and no shards.",
                hint="Move into a store of several with penstock migrate: docs/moving-house.md.",
                field="store",
            )
        await ask(opened)
    finally:
        await opened.aclose()


async def _list(store: "ShardedStore") -> None:
    from penstock.broker.system import SystemClock

    queues = await store.list_queues("", "", 1 << 30, None, SystemClock().now_ms())
    rows = []
    for index, shard in enumerate(store.shards):
        mine = [queue.counts for queue in queues if store.home(queue.name) == index]
        messages = sum(counts.ready + counts.delayed + counts.in_flight for counts in mine)
        rows.append((index, getattr(shard, "name", ""), store.map.homes.count(index), len(mine), messages))
    print_table(
        ("Place", "Shard", "Slots", "Queues", "Messages"), rows, numbers=("Place", "Slots", "Queues", "Messages")
    )
    if store.map.moving:
        say(f"{len(store.map.moving)} slots are moving. If nobody adds shards now, start penstock shard add again.")


async def _add(store: "ShardedStore", urls: list[str], patience_seconds: float) -> None:
    from penstock.broker.system import SystemClock
    from penstock.store.sharded.growing import Growing

    until, is_told = time.monotonic() + patience_seconds, False
    with progress_bar("spreading") as told:
        growing = Growing(store, SystemClock().now_ms, told)
        while True:
            try:
                await growing.add(urls)
                break
            except StoreUnavailable as error:
                if time.monotonic() > until:
                    raise
                if not is_told:
                    say(f"{error} Going on as soon as it is back.")
                is_told = True
                await asyncio.sleep(_AGAIN_AFTER_SECONDS)
    say(
        f"The store is spread over {store.map.shard_count} shards. {growing.carried:,} messages moved, and what "
        f"belongs to their queues; the longest wait of a queue was {growing.longest_pause_seconds:.1f} s."
    )
    say("Servers and workers have followed. Name the new shards behind the others where the store is configured.")
