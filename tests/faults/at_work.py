"""Servers under load while something happens to their store: in the end nothing is lost or doubled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from tests.faults.ledger import Ledger
from tests.faults.load import Receiver, Sender, until_gone
from tests.faults.server_process import ServerProcess
from tests.faults.test_sudden_death import drain

PATIENCE_SECONDS = 60


@asynccontextmanager
async def at_work(
    servers: Sequence[ServerProcess],
    ledgers: tuple[Ledger, ...],
    clients: Sequence[Sender | Receiver],
    create: Callable[[int], Awaitable[None]],
    said: str,
) -> AsyncIterator[Callable[[int], "asyncio.Future[None]"]]:
    """Start the servers and have the clients at work on them; at the end, drain and compare.

    What is given waits until each queue was answered so many times more.

    Args:
        create: creates the queues of the ledgers through the port of a server.
        said: what each server must have logged.
    """
    try:
        for server in servers:
            await server.start()
        await create(servers[0].port)
        working = [
            asyncio.ensure_future(until_gone(servers[index % len(servers)].port, client.run))
            for index, client in enumerate(clients)
        ]
        yield lambda more: asyncio.ensure_future(_answered(ledgers, working, more))
        for each in working:
            each.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await asyncio.gather(*(drain(servers[0].port, ledger) for ledger in ledgers))
        for server in servers:
            assert said in server.log_text
            assert await server.stop() == 0
            assert "Traceback" not in server.log_text
    finally:
        for server in servers:
            await server.kill()
    for ledger in ledgers:
        ledger.verify()


async def _answered(ledgers: tuple[Ledger, ...], working: "list[asyncio.Future[None]]", more: int) -> None:
    """Return when each ledger knows of so many more answers."""
    wanted = [ledger.answers + more for ledger in ledgers]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(ledger.answers < number for ledger, number in zip(ledgers, wanted, strict=True)):
            for each in working:
                if each.done():
                    each.result()
                    raise AssertionError("a client has ended")
            await asyncio.sleep(0.02)
