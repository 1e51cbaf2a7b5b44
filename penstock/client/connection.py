"""One persistent HTTP/1.1 connection, and a pool of them: one request at a time on each, nothing pipelined."""

import asyncio
import socket
import ssl
from typing import cast

import httptools
from msgspec import Struct


class Answer(Struct, frozen=True, gc=False):
    """An HTTP response: its status and its body."""

    status: int
    body: bytes


class ConnectionLost(Exception):
    """The connection ended before the answer was whole. Whether the server took the request is not known."""


class Connection(asyncio.Protocol):
    """One connection."""

    idle_since: float = 0

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Answer] | None = None
        self._parser: httptools.HttpResponseParser
        self._parts: list[bytes] = []
        self.is_open = False

    async def ask(self, request: bytes) -> Answer:
        """Send a request and return its response.

        Raises:
            ConnectionLost: see there.
        """
        if not self.is_open:
            raise ConnectionLost
        self._answer = self._loop.create_future()
        self._parts = []
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """End it now, whatever is under way."""
        self.is_open = False
        self._transport.abort()

    # -- called by the event loop ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nothing was asked: a server that says why it closes an idle connection
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._lose()

    def connection_lost(self, error: Exception | None) -> None:
        self._lose()

    def _lose(self) -> None:
        if self.is_open:
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionLost())

    # -- called by the parser ----------------------------------------------------------------------------------------

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._answer is None:  # 100 Continue and the like announce the real one
            return
        if not self._parser.should_keep_alive():
            self.close()
        if not self._answer.done():
            self._answer.set_result(Answer(status, b"".join(self._parts)))
        self._answer = None


class Pool:
    """Connections to one server. Every call under way has one of its own; idle ones are kept for the next.

    Args:
        host, port: where to connect.
        tls: how to speak TLS, or ``None`` for none.
        connect_seconds: how long connecting may take.
        most_idle: so many idle connections are kept.
    """

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, *, connect_seconds: float, most_idle: int = 64
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._connect_seconds = connect_seconds
        self._most_idle = most_idle
        self._idle: list[Connection] = []
        self._is_closed = False

    async def take(self, max_idle_seconds: float) -> Connection:
        """Return a connection that was used not longer ago than that, or a new one.

        Raises:
            OSError, TimeoutError: the server cannot be reached.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and _loop_time() - connection.idle_since <= max_idle_seconds:
                return connection
            connection.close()
        return await self._connect()

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose answer has come for the next call."""
        connection.idle_since = _loop_time()
        if self._is_closed or len(self._idle) >= self._most_idle:
            connection.close()
        elif connection.is_open:
            self._idle.append(connection)

    def close(self) -> None:
        """Close idle connections now, the others when their answer has come."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> Connection:
        if self._is_closed:
            raise ConnectionError("closed")
        async with asyncio.timeout(self._connect_seconds):
            transport, connection = await asyncio.get_running_loop().create_connection(
                Connection, self._host, self._port, ssl=self._tls
            )
        _watch(transport.get_extra_info("socket"))
        return connection


def _watch(connected: socket.socket) -> None:
    """Let the kernel find out within a minute that the other machine is gone: a long poll has no other limit."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
