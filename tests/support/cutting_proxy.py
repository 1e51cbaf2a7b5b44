"""A proxy between a client and its server that loses answers: what was asked has happened, and nobody is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CuttingProxy:
    """Forwards bytes both ways; told to, it drops a connection in the place of the next answer.

    Attributes:
        port: where it listens.
        cuts: how many connections it has dropped so.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._cuts_next = False
        self._connections: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.cuts = 0

    def cut_next_answer(self) -> None:
        self._cuts_next = True

    def cut_all(self) -> None:
        """Drop every connection, as a network does that goes away."""
        for writer in list(self._connections):
            writer.transport.abort()

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        self._connections.add(server_writer)
        back = asyncio.ensure_future(self._answers(server_reader, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                server_writer.write(data)
                await server_writer.drain()
        server_writer.transport.abort()
        await back
        self._connections -= {writer, server_writer}

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self._cuts_next:
                    self._cuts_next = False
                    self.cuts += 1
                    break
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def cutting_proxy(server_port: int) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(server_port)
    server = await asyncio.start_server(proxy.forward, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    yield proxy
    proxy.cut_all()
    server.close()
    await asyncio.sleep(0)
    await server.wait_closed()
