"""What a command speaks to: a server by ``--url``, or a store directly by ``--store``."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import typer

from penstock.cli.gathering import Gathered
from penstock.cli.output import Json as Json

if TYPE_CHECKING:
    from penstock.broker.contract import Broker
    from penstock.core.operations import Operation

Result = TypeVar("Result")

DEFAULT_URL = "http://127.0.0.1:3000"

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


class Target(NamedTuple):
    """Where to, as the options say."""

    url: str | None
    store: str | None
    key: str | None

    def run(self, work: "Callable[[Broker], Coroutine[Any, Any, Result]]", *, is_kept_up: bool = False) -> Result:
        """Do some work with a broker on the target and return what it returns."""
        import asyncio

        async def with_broker() -> Result:
            async with self.broker(is_kept_up=is_kept_up) as broker:
                return await work(broker)

        return asyncio.run(with_broker())

    def perform(self, operation: "Operation[Result]") -> Result:
        """Have one operation performed and return its reply."""
        return self.run(lambda broker: broker.perform(operation))

    @asynccontextmanager
    async def broker(self, *, is_kept_up: bool = False) -> "AsyncIterator[Broker]":
        """Open a broker on the target; ``is_kept_up``: a store is swept and its moves are carried out meanwhile."""
        from penstock.connect import open_broker

        if self.store is not None:
            must_exist(self.store)
        broker = await open_broker(self.store or self.url or DEFAULT_URL, key=self.key, is_kept_up=is_kept_up)
        try:
            yield broker
        finally:
            await broker.aclose()


def target(url: Url = None, store: StoreUrl = None, key: KeyPair = None) -> Target:
    """Return the target that the options name."""
    return Target(url, store, None if store is not None else key)


At = Annotated[Target, Gathered(target, order=2)]


def must_exist(store: str) -> None:
    """Refuse to make an empty store where somebody expects messages."""
    from penstock.core.errors import InvalidRequest, StoreUnavailable

    parts = urlsplit(store)
    path = Path(unquote(parts.path[1:]))
    if parts.scheme == "sqlite" and not path.exists():
        raise StoreUnavailable(f"There is no store {path}.", hint="Mind the path, or start `penstock serve` once.")
    if parts.scheme == "memory":
        raise InvalidRequest("A memory store is seen by its own server only.", hint="Use --url.", field="store")
