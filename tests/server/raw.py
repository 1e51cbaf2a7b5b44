"""HTTP by hand: what no client library would send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

PATIENCE_SECONDS = 10


@dataclass
class Answer:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Raw:
    """A connection whose every byte the test decides."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, *, has_body: bool = True) -> Answer:
        """Read one response."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            status, headers = await self._start()
            length = int(headers.get("content-length", 0)) if has_body else 0
            return Answer(status, headers, await self._reader.readexactly(length))

    async def head(self) -> dict[str, str]:
        """Read the headers of a response."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return (await self._start())[1]

    async def _start(self) -> tuple[int, dict[str, str]]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value.strip() for name, value in pairs}

    async def rest(self) -> bytes:
        """Read until the server closes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._reader.read()

    async def get(self, path: str, *headers: str, method: str = "GET") -> Answer:
        await self.send(request(method, path, headers))
        return await self.answer(has_body=method != "HEAD")

    async def post(self, path: str, body: bytes, *headers: str) -> Answer:
        await self.send(request("POST", path, headers, body))
        return await self.answer()

    async def line(self) -> bytes:
        """Read up to the end of a line."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._reader.readuntil(b"\r\n")

    def send_no_more(self) -> None:
        """Close this side and go on reading."""
        self._writer.write_eof()

    @property
    def unsent_bytes(self) -> int:
        """What the server would not take yet."""
        return self._writer.transport.get_write_buffer_size()

    def push(self, data: bytes) -> None:
        """Send without waiting until it is sent."""
        self._writer.write(data)

    def close(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        """Close at once, with a reset."""
        self._writer.transport.abort()


def request(method: str, path: str, headers: tuple[str, ...] = (), body: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *headers]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Raw]:
    """Connect to a server."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    connection = Raw(reader, writer)
    try:
        yield connection
    finally:
        connection.close()
