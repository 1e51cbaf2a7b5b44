"""The console put together: its pages, what they ask, and the sampler behind the figures."""

import asyncio
import contextlib

from penstock.broker.contract import Broker
from penstock.console.dialect import ConsoleDialect
from penstock.console.latencies import Timed
from penstock.console.pages import Page, pages
from penstock.console.sampling import Sampler
from penstock.core.clock import Clock
from penstock.wire.http import Dialect


class Console:
    """What a server mounts as its console.

    Args:
        broker: performs what the sampler asks, and what is served; left open.
        clock: tells when it asks.

    Attributes:
        broker: what the server serves: the one given, with an eye on how long messages take.
        pages: the files of the pages by path, for everybody.
        dialect: answers what the pages ask, to those who may call.
    """

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self.broker = Timed(broker, clock)
        self._sampler = Sampler(broker, clock, self.broker.take)
        self._sampling: asyncio.Task[None] | None = None
        self.pages: dict[str, Page] = pages()
        self.dialect: Dialect = ConsoleDialect(self._sampler, clock)

    def start(self) -> None:
        """Begin to keep history, on the running event loop."""
        self._sampling = asyncio.get_running_loop().create_task(self._sampler.run())

    async def aclose(self) -> None:
        """Stop sampling."""
        if self._sampling is not None:
            self._sampling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sampling
            self._sampling = None
