"""Accepts connections and lets go of them: the socket, the clock tick for deadlines and the date, the drain.

uvicorn's own server object is not used: it polls ten times a second and takes 0.2 s to stop.
"""

import asyncio
import contextlib
import resource
import ssl
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from time import time

from uvicorn.config import Config
from uvicorn.server import ServerState

from penstock.server.app import Receive, Scope, Send
from penstock.server.connections import Connection
from penstock.server.options import ServerOptions

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
"""ASGI 3."""

_TICK_SECONDS = 1.0


class Listener:
    """A listening socket and its connections.

    Args:
        app: answers the requests.
        options: where to listen, and the deadlines.

    Raises:
        OSError: the TLS files cannot be used.
    """

    def __init__(self, app: Application, options: ServerOptions) -> None:
        self.loop = asyncio.get_running_loop()
        self.idle_seconds = options.idle_seconds
        self.read_seconds = options.read_seconds
        self.state = ServerState()
        self.uvicorn_config = Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self.uvicorn_config.load()
        self._options = options
        self._tls = tls_context(options)
        self._server: asyncio.AbstractServer | None = None
        self._tick_handle: asyncio.TimerHandle | None = None
        self._tick_seconds = min(_TICK_SECONDS, options.idle_seconds / 4, options.read_seconds / 4)
        self._is_empty = asyncio.Event()

    async def start(self) -> int:
        """Listen; return the port. Raises OSError when the address cannot be had."""
        options = self._options
        raise_open_files_limit()
        self._server = await self.loop.create_server(
            lambda: Connection(self),
            options.host,
            options.port,
            ssl=self._tls,
            backlog=options.backlog,
            reuse_address=True,
        )
        self._tick()
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Accept no more, let requests under way finish for ``drain_seconds``, then cut off the rest."""
        assert self._server is not None
        self._server.close()
        for connection in list(self.state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.drain_seconds):
                while self.state.connections:
                    self._is_empty.clear()
                    await self._is_empty.wait()
        for connection in list(self.state.connections):
            connection.transport.abort()
        tasks = list(self.state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        await self._server.wait_closed()

    def lost(self, connection: Connection) -> None:
        """Take note that a connection is gone."""
        if not self.state.connections:
            self._is_empty.set()

    def _tick(self) -> None:
        self.state.default_headers = [(b"date", formatdate(time(), usegmt=True).encode())]
        now = self.loop.time()
        for connection in list(self.state.connections):
            assert isinstance(connection, Connection)
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
