"""Accepts connections and lets go of them: the socket, the clock tick for deadlines and the date, the drain."""

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import Sequence
from email.utils import formatdate
from functools import partial
from time import time

from penstock.server.connections import Answerer, Connection
from penstock.server.options import ServerOptions
from penstock.server.proxies import Proxies
from penstock.server.reading import Intake

_TICK_SECONDS = 1.0


class Listener:
    """A listening socket and its connections.

    Args:
        answerer: answers the requests.
        options: where to listen, the deadlines and limits.

    Attributes:
        connections: those that are open.
        tasks: the requests being answered, also those whose client has gone.
        is_draining: no more requests are taken.
        date_line: the header of every answer that tells the time.

    Raises:
        OSError: the TLS files cannot be used.
    """

    def __init__(self, answerer: Answerer, options: ServerOptions) -> None:
        self.loop = asyncio.get_running_loop()
        self.answerer = answerer
        self.intake = Intake(options.account, options.region, options.max_body_bytes, Proxies(options.trusted_proxies))
        self.idle_seconds = options.idle_seconds
        self.read_seconds = options.read_seconds
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.is_draining = False
        self.date_line = b""
        self._options = options
        self._tls = tls_context(options)
        self._servers: list[asyncio.Server] = []
        self._tick_handle: asyncio.TimerHandle | None = None
        self._tick_seconds = min(_TICK_SECONDS, options.idle_seconds / 4, options.read_seconds / 4)
        self._is_empty = asyncio.Event()

    async def start(self, inherited: Sequence[socket.socket] = ()) -> int:
        """Listen; return the port.

        Args:
            inherited: sockets that listen already, to use instead of the address of the options.

        Raises:
            OSError: the address cannot be had.
        """
        options = self._options
        raise_open_files_limit()
        protocol = partial(Connection, self)
        for each in inherited:
            server = await self.loop.create_server(protocol, sock=each, ssl=self._tls, backlog=options.backlog)
            self._servers.append(server)
        if not inherited:
            server = await self.loop.create_server(
                protocol, options.host, options.port, ssl=self._tls, backlog=options.backlog, reuse_address=True
            )
            self._servers.append(server)
        self._tick()
        port: int = self._servers[0].sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Accept no more, let requests under way finish for ``drain_seconds``, then cut off the rest."""
        for server in self._servers:
            server.close()
        self.is_draining = True
        for connection in list(self.connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.drain_seconds):
                while self.connections:
                    self._is_empty.clear()
                    await self._is_empty.wait()
        for connection in list(self.connections):
            connection.abort()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        for server in self._servers:
            await server.wait_closed()

    def lost(self, connection: Connection) -> None:
        """Take note that a connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._is_empty.set()

    def _tick(self) -> None:
        self.date_line = b"date: %b\r\n" % formatdate(time(), usegmt=True).encode()
        now = self.loop.time()
        for connection in list(self.connections):
            connection.close_if_overdue(now)
        self._tick_handle = self.loop.call_later(self._tick_seconds, self._tick)


def tls_context(options: ServerOptions) -> ssl.SSLContext | None:
    """Return what HTTPS needs, or ``None`` for HTTP. Raises OSError for files that cannot be read or do not match."""
    if options.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.tls_certificate, options.tls_key)
    return context


def raise_open_files_limit() -> None:
    """Let this process open as many files, and so connections, as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
