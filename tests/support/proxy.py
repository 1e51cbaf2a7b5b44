"""A proxy between a client and a server: cuts connections, at once or in the place of an answer, and delays bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

_MOST_BYTES = 1 << 16


class Proxy:
    """Passes bytes on to a port of this machine.

    Attributes:
        port: where it listens.
        loses_answers: how many answers to lose from now on: the request has arrived, its connection is cut instead.
        longest_delay_seconds: how long bytes are held up at most; they keep their order.
        lost, delayed: how often it has done so.
    """

    def __init__(self, target_port: int, random: Random | None = None) -> None:
        self.port = 0
        self.loses_answers = 0
        self.longest_delay_seconds = 0.0
        self.lost = self.delayed = 0
        self._random = random or Random(1)
        self._target_port = target_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Cut all connections now."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        try:
            await asyncio.gather(
                self._pass(reader, there_writer, is_answer=False), self._pass(there_reader, writer, is_answer=True)
            )
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in (writer, there_writer):
                self._writers.discard(each)
                each.transport.abort()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while data := await reader.read(_MOST_BYTES):
            if is_answer and self.loses_answers > 0:
                self.loses_answers -= 1
                self.lost += 1
                raise ConnectionResetError
            if self.longest_delay_seconds:
                self.delayed += 1
                await asyncio.sleep(self.longest_delay_seconds * self._random.random())
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def aclose(self) -> None:
        """Cut everything and wait until it is gone."""
        self.cut()
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def cutting_proxy(target_port: int, random: Random | None = None) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a port of this machine."""
    proxy = Proxy(target_port, random)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.aclose()
        await server.wait_closed()
