"""A real server on a free port, in this process: what tests of the wire and of clients speak to."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from penstock.broker.local import LocalBroker
from penstock.broker.sweeping import Sweeping
from penstock.broker.system import Entropy
from penstock.core.clock import Clock
from penstock.server.counting import Counting
from penstock.server.options import Key, Limits, ServerOptions
from penstock.server.server import Server
from penstock.store.contract import Store


@asynccontextmanager
async def running_server(
    store: Store,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    keys: Sequence[Key] = (),
    limits: Limits = "strict",
    local: LocalBroker | None = None,
    **more: Any,
) -> AsyncIterator[str]:
    """Serve a store and yield the base URL, such as ``http://127.0.0.1:43210``.

    Args:
        store: where messages are kept; left open.
        clock, entropy: of the broker; the system's by default.
        keys: who may call; none: everybody.
        limits: of the SQS dialects.
        local: the broker to serve instead of one of its own; then nothing sweeps the store or steps moves but the test.
        more: further ``ServerOptions``.
    """
    async with serving(store, clock=clock, entropy=entropy, keys=keys, limits=limits, local=local, **more) as server:
        yield server.url


@asynccontextmanager
async def serving(
    store: Store,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    local: LocalBroker | None = None,
    counting: Counting | None = None,
    **options: Any,
) -> AsyncIterator[Server]:
    """As ``running_server``, but yield the server itself."""
    options = {"port": 0, "drain_seconds": 5, **options, "keys": tuple(options.get("keys", ()))}
    broker = local or LocalBroker(store, clock, entropy)
    swept = None if local is not None else Sweeping(broker, store, clock, entropy)
    server = Server(
        swept or broker,
        ServerOptions(**options),
        check_store=store.check,
        waiting_count=lambda: broker.waiting_count,
        clock=clock,
        counting=counting,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        if swept is not None:
            await swept.stop_sweeping()
