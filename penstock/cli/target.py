"""What a command speaks to: a server by ``--url``, or a store directly by ``--store``."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote, urlsplit

import typer
from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.errors import InvalidRequest, StoreUnavailable

Result = TypeVar("Result")

DEFAULT_URL = "http://127.0.0.1:3000"

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file (TOML). [default: penstock.toml, if there is one]"),
]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="PENSTOCK_URL", metavar="URL", help=f"Server to speak to. [default: {DEFAULT_URL}]"),
]
StoreUrl = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="Store to open directly, without a server.")
]
KeyPair = Annotated[
    str | None,
    typer.Option("--key", envvar="PENSTOCK_KEY", metavar="ID:SECRET", help="Key, where the server asks for one."),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


class Target(Struct, frozen=True):
    """Where to, as the options say."""

    url: str | None
    store: str | None
    key: str | None

    def run(self, work: Callable[[Broker], Coroutine[Any, Any, Result]]) -> Result:
        """Do some work with a broker on the target and return what it returns."""

        async def with_broker() -> Result:
            async with self.broker() as broker:
                return await work(broker)

        return asyncio.run(with_broker())

    @asynccontextmanager
    async def broker(self, *, is_kept_up: bool = False) -> AsyncIterator[Broker]:
        """Open a broker on the target; ``is_kept_up``: a store is swept and its moves are carried out meanwhile."""
        from penstock.connect import open_broker

        if self.store is not None:
            _must_exist(self.store)
        broker = await open_broker(self.store or self.url or DEFAULT_URL, key=self.key, is_kept_up=is_kept_up)
        try:
            yield broker
        finally:
            await broker.aclose()


def target(url: str | None, store: str | None, key: str | None) -> Target:
    """Return the target that the options name."""
    if store is not None and key is not None:
        key = None
    return Target(url, store, key)


def _must_exist(store: str) -> None:
    """Refuse to make an empty store where somebody expects messages."""
    parts = urlsplit(store)
    path = Path(unquote(parts.path[1:]))
    if parts.scheme == "sqlite" and not path.exists():
        raise StoreUnavailable(f"There is no store {path}.", hint="Mind the path, or start `penstock serve` once.")
    if parts.scheme == "memory":
        raise InvalidRequest("A memory store is seen by its own server only.", hint="Use --url.", field="store")
