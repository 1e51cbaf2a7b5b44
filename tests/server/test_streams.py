"""Answers that come bit by bit: as fast as the client reads, ended when it goes and when the server stops."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from penstock.wire.http import Request, Response
from tests.server.answering import listening, text
from tests.server.raw import raw, request
from tests.support.turns import until


class Ticker:
    """A body whose parts the test hands out."""

    def __init__(self, *, ends_itself: bool = False) -> None:
        self.parts: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.is_closed = False
        self._ends_itself = ends_itself

    async def answer(self, asked: Request) -> Response:
        return text(self._body())

    async def _body(self) -> AsyncGenerator[bytes, None]:
        try:
            while (part := await self.parts.get()) is not None:
                yield part
        except asyncio.CancelledError:
            if not self._ends_itself:
                raise
            yield b"bye"
        finally:
            self.is_closed = True


async def test_parts_arrive_as_they_come_and_the_connection_goes_on() -> None:
    ticker = Ticker()
    async with listening(ticker.answer) as server, raw(server.url) as connection:
        for _ in range(2):
            await connection.send(request("GET", "/"))
            head = await connection.head()
            assert (head["transfer-encoding"], "content-length" in head) == ("chunked", False)
            for part in (b"one", b"", b"two"):
                ticker.parts.put_nowait(part)
                if part:
                    assert await connection.line() == b"3\r\n"
                    assert await connection.line() == part + b"\r\n"
            ticker.parts.put_nowait(None)
            assert await connection.line() == b"0\r\n"
            assert await connection.line() == b"\r\n"


async def test_a_client_of_http_1_0_reads_to_the_end_of_the_connection() -> None:
    ticker = Ticker()
    for part in (b"one", b"two", None):
        ticker.parts.put_nowait(part)
    async with listening(ticker.answer) as server, raw(server.url) as connection:
        await connection.send(b"GET / HTTP/1.0\r\n\r\n")
        assert "transfer-encoding" not in await connection.head()
        assert await connection.rest() == b"onetwo"


async def test_for_the_head_alone_nothing_is_made() -> None:
    ticker = Ticker()
    async with listening(ticker.answer) as server, raw(server.url) as connection:
        for _ in range(2):
            await connection.send(request("HEAD", "/"))
            assert (await connection.head())["transfer-encoding"] == "chunked"


async def test_it_ends_when_the_client_goes() -> None:
    ticker = Ticker()
    async with listening(ticker.answer) as server:
        async with raw(server.url) as connection:
            await connection.send(request("GET", "/"))
            await connection.head()
        await until(lambda: ticker.is_closed and not server.listener.tasks, "it is closed")


@pytest.mark.parametrize("ends_itself", [False, True])
async def test_it_ends_when_the_server_stops_and_the_client_sees_whether_that_was_all(ends_itself: bool) -> None:
    ticker = Ticker(ends_itself=ends_itself)
    async with listening(ticker.answer) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/"))
        await connection.head()
        ticker.parts.put_nowait(b"one")
        assert await connection.line() == b"3\r\n"
        async with asyncio.timeout(2):
            await server.listener.stop()
        assert ticker.is_closed
        assert await connection.rest() == b"one\r\n" + (b"3\r\nbye\r\n0\r\n\r\n" if ends_itself else b"")


async def test_it_waits_for_a_client_that_reads_slowly() -> None:
    made = 0

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal made
        while True:
            made += 1
            yield b"x" * 50_000

    async def answer(asked: Request) -> Response:
        return text(endless())

    async with listening(answer) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/"))
        await connection.head()
        await until(lambda: any(each._is_writing_paused for each in server.listener.connections), "it waits")
        before = made
        await until(lambda: made == before, "it makes no more")
        for _ in range(2 * before):
            await connection.line()
            await connection.line()
        assert made > before
        connection.abort()
        await until(lambda: not server.listener.tasks, "it is over")


async def test_one_that_fails_is_cut_off_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> AsyncGenerator[bytes, None]:
        yield b"one"
        await asyncio.sleep(0)
        raise RuntimeError("oh")

    async def answer(asked: Request) -> Response:
        return text(failing())

    async with listening(answer) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/"))
        with contextlib.suppress(ConnectionError):
            assert not (await connection.rest()).endswith(b"0\r\n\r\n")
        await until(lambda: not server.listener.connections, "it is cut off")
    assert [record.message.endswith("could not be answered") for record in caplog.records] == [True]
