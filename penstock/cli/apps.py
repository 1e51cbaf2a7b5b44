"""What commands about jobs speak to: an app by ``--app``, or the jobs of a server or store without their code."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import typer
from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.cli.gathering import Gathered
from penstock.cli.target import KeyPair, StoreUrl, Target, Url, target
from penstock.core.errors import InvalidRequest
from penstock.worker.app import App

Result = TypeVar("Result")

AppReference = Annotated[
    str | None,
    typer.Option(
        "--app",
        envvar="PENSTOCK_APP",
        metavar="MODULE:APP",
        help="App whose store is meant, and whose tasks are known.",
    ),
]


class Workplace(Struct, frozen=True):
    """Where the jobs are, and the app if its code is at hand."""

    app: App
    target: Target
    has_code: bool

    def run(self, work: Callable[[App, Broker], Coroutine[Any, Any, Result]], *, is_kept_up: bool = False) -> Result:
        """Do some work with the app and its broker and return what it returns."""

        async def at_work() -> Result:
            async with self._at(is_kept_up) as broker:
                return await work(self.app, broker)

        return asyncio.run(at_work())

    @asynccontextmanager
    async def _at(self, is_kept_up: bool) -> AsyncIterator[Broker]:
        async with self.target.broker(is_kept_up=is_kept_up) as broker:
            self.app.portal.attach(broker)
            try:
                yield broker
            finally:
                self.app.portal.detach()


def workplace(
    app_reference: AppReference = None, url: Url = None, store: StoreUrl = None, key: KeyPair = None
) -> Workplace:
    """Return where the options lead: to the app's own store, unless another one is named.

    Raises:
        AppNotLoaded: the reference does not lead to an app.
        InvalidRequest: the app does not say where its store is.
    """
    from penstock.app import Penstock
    from penstock.connect import SERVER_SCHEMES
    from penstock.worker.loading import load_app

    if app_reference is None:
        return Workplace(App(_nowhere, name=""), target(url, store, key), False)
    loaded = load_app(app_reference)
    if url is None and store is None:
        if not isinstance(loaded, Penstock):
            raise InvalidRequest("This app opens its broker in its own way.", hint="Say --url or --store.")
        is_server = loaded.url.partition("://")[0] in SERVER_SCHEMES
        url, store = (loaded.url, None) if is_server else (None, loaded.url)
        key = key or loaded.token
    return Workplace(loaded, target(url, store, key), True)


Place = Annotated[Workplace, Gathered(workplace, order=2)]


async def _nowhere() -> Broker:
    raise AssertionError("the target opens the broker")
