"""The console is tested on the event loop that servers run on, and on a real server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from penstock.broker.local import LocalBroker
from penstock.console import MOUNT, Console
from penstock.server.mounts import Mount
from penstock.server.options import Key, ServerOptions
from penstock.server.server import Server
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from tests.support.entropy import CountingEntropy

KEYS = (Key("ops", "sesame"), Key("other", "sesame", account="111111111111"))


class Served:
    """A server with a console.

    Attributes:
        broker: what it serves.
        clock: its time.
        console: its console.
        http: calls it.
    """

    def __init__(self, broker: LocalBroker, clock: ManualClock, console: Console, http: httpx.AsyncClient) -> None:
        self.broker = broker
        self.clock = clock
        self.console = console
        self.http = http

    async def look(self, what: str, **query: Any) -> Any:
        """Ask what the pages ask."""
        answer = await self.http.get(f"/console/api/{what}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    closing: list[Callable[[], Awaitable[object]]] = []

    async def serving(**options: Any) -> Served:
        clock = ManualClock()
        store = MemoryStore()
        broker = LocalBroker(store, clock, CountingEntropy())
        console = Console(broker, clock)
        server = Server(
            console.broker,
            ServerOptions(port=0, drain_seconds=1, **options),
            check_store=store.check,
            waiting_count=lambda: 0,
            clock=clock,
            mounts=(Mount("console", console.dialect, console.pages, home=MOUNT),),
        )
        await server.start()
        console.start()
        http = httpx.AsyncClient(base_url=server.url)
        closing.extend((http.aclose, server.stop, console.aclose, broker.aclose))
        return Served(broker, clock, console, http)

    yield serving
    for close in closing:
        await close()
