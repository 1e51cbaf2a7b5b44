"""One HTTP connection: uvicorn's httptools protocol, with what it lacks against slow, silent and endless clients."""

import asyncio
from math import inf
from typing import TYPE_CHECKING

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from penstock.server.long_polls import Client

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

    from penstock.server.listener import Listener

MAX_HEADER_BYTES = 128 << 10
"""Request line and headers together; httptools takes no longer URL than 64 KiB."""

MOST_PIPELINED = 16
"""So many requests behind the one being answered are read ahead."""

CLIENT = "penstock.client"
"""Key of the ASGI scope: who waits for the answer."""

_OFFERS = frozenset({b"upgrade", b"http2-settings"})


class Connection(HttpToolsProtocol):
    """Closes itself when a request does not arrive in time, when nothing happens, and when nobody reads its answers.

    One timer of the listener looks after all connections: a timer for each request costs more than routing it.
    """

    def __init__(self, listener: "Listener") -> None:
        super().__init__(listener.uvicorn_config, listener.state, {}, listener.loop)
        self._listener = listener
        self._deadline = inf
        self._answering: RequestResponseCycle | None = None
        self._is_reading = False
        self._in_headers = False
        self._header_bytes = 0
        self._unread_bytes = 0
        self._stalled_since = inf
        self._client = Client()

    # -- what the event loop calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.time() + self._listener.idle_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._client.leave()
        if self._answering is not None:
            # uvicorn tells the request that was read last, which with pipelining is not the one being answered
            self._answering.disconnected = True
            self._answering.message_event.set()
        self._listener.lost(self)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse_malformed()
            return
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._answer_and_close(b"431 Request Header Fields Too Large", b"The headers are too long.\n")

    # -- what the parser calls -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CLIENT] = self._client  # type: ignore[literal-required]
        self._deadline = self.loop.time() + self._listener.read_seconds
        self._is_reading = self._in_headers = True
        self._header_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_headers = False
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            if 0 < len(self.pipeline) < MOST_PIPELINED:
                self.flow.resume_reading()  # uvicorn stops here, and then would not see the client go

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._is_reading = False
        self._deadline = inf
        super().on_message_complete()

    # -- what the request cycle and the listener call ------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with the next request. As uvicorn's, but for its keep-alive timer."""
        self._answering = None
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif not self._is_reading:
            self._deadline = self.loop.time() + self._listener.idle_seconds

    def close_if_overdue(self, now: float) -> None:
        """Close when the deadline has passed, or when the client has read nothing of its answers for too long.

        Args:
            now: the event loop's time in seconds.
        """
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes and unread_bytes == self._unread_bytes:
            self._stalled_since = min(self._stalled_since, now)
            if now - self._stalled_since >= self._listener.idle_seconds:
                self.transport.abort()
            return
        self._unread_bytes = unread_bytes
        self._stalled_since = inf
        if now < self._deadline or unread_bytes:
            return
        if self._is_reading:
            self._answer_and_close(b"408 Request Timeout", b"The request did not arrive in time.\n")
        else:
            self.transport.close()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Answer an offer of HTTP/2 or WebSocket in HTTP/1.1 (RFC 9110, 7.8).

        The parser takes the body for the new protocol's, which it is not; Java's HttpClient offers h2c with every POST.
        So the request is read again without the offer.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse_malformed()
            return
        lines = [b"%s %s HTTP/1.1" % (method, self.url)]
        lines += [b"%s: %s" % pair for pair in self.headers if pair[0] not in _OFFERS]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _refuse_malformed(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering and not self.cycle.more_body:
            # rubbish behind a good request: the good one still gets its answer, as the last on this connection
            self.cycle.keep_alive = False
            self.flow.pause_reading()
        else:
            self._answer_and_close(b"400 Bad Request", b"This is not HTTP/1.1.\n")

    def _answer_and_close(self, status: bytes, text: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started:
            self.transport.write(
                b"HTTP/1.1 %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (status, len(text), text)
            )
        self.transport.close()
