"""One HTTP/1.1 connection: requests are answered in order, deadlines kept, and nobody is read or written without end.

Straight from the parser to whoever answers, and back in one write: this is on the path of every message.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol, cast

from msgspec import structs

from penstock.core.errors import PenstockError
from penstock.server.answers import CONTINUE, LAST_CHUNK, chunk, streamed_head, whole
from penstock.server.long_polls import Client, ClientGone
from penstock.server.reading import Arrival, Incoming, Intake, Reader
from penstock.wire.http import Request, Response

log = logging.getLogger("penstock.server")

MOST_READ_AHEAD_BYTES = 64 << 10
"""So much is read while an earlier request is being answered. Not less: only who reads sees the client go."""

LINGER_BYTES = 64 << 20
LINGER_SECONDS = 10
"""What a client still sends behind its last answer is thrown away so far: many read none before they have sent all."""


class Answerer(Protocol):
    """Answers requests; see ``Dispatch``."""

    async def answer(self, request: Request, headers: list[tuple[bytes, bytes]], client: Client) -> Response:
        """Return the answer to a request. Raises ClientGone when the client went before there was one."""
        ...

    def refuse(self, request: Request, error: PenstockError) -> Response:
        """Return an error in the words of the dialect a request is in."""
        ...


class Host(Protocol):
    """What connections share; see ``Listener``."""

    loop: asyncio.AbstractEventLoop
    answerer: Answerer
    intake: Intake
    idle_seconds: float
    read_seconds: float
    connections: "set[Connection]"
    tasks: set[asyncio.Task[None]]
    is_draining: bool
    date_line: bytes

    def lost(self, connection: "Connection") -> None:
        """Take note that a connection is gone."""
        ...


_FAILED = Response(500, ((b"content-type", b"text/plain"),), b"Something went wrong inside the server.\n")


class Connection(asyncio.Protocol):
    """One client.

    A client that ends its side of the connection is gone, as with most servers: what has been answered still reaches
    it, what it waits for is taken back. One timer of the listener looks after all connections: a timer for each
    request costs more than routing it.
    """

    __slots__ = (
        "_ahead_bytes",
        "_client",
        "_host",
        "_is_reading_paused",
        "_is_streaming",
        "_is_writing_paused",
        "_linger_bytes",
        "_queue",
        "_quiet_since",
        "_reader",
        "_reading_since",
        "_stalled_since",
        "_timed_request",
        "_transport",
        "_unread_bytes",
        "_writable",
    )

    def __init__(self, host: Host) -> None:
        self._host = host
        self._transport: asyncio.Transport
        self._reader: Reader
        self._client = Client()
        self._queue: deque[Arrival] = deque()
        self._is_streaming = False
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._writable: asyncio.Future[None] | None = None
        self._ahead_bytes = 0
        self._linger_bytes = 0
        self._unread_bytes = 0
        self._timed_request = 0
        self._quiet_since = self._reading_since = self._stalled_since = host.loop.time()

    # -- what the event loop calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        source_ip = peer[0] if isinstance(peer, tuple) else ""
        self._reader = Reader(self._host.intake, source_ip, transport.get_extra_info("sslcontext") is not None)
        self._host.connections.add(self)
        if self._host.is_draining:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        is_busy = self._client.task is not None or bool(self._queue)
        arrived = reader.feed(data)
        if arrived:
            self._queue.extend(arrived)
            if not is_busy:
                self._go_on()
        if reader.is_under_way:
            if self._timed_request != reader.begun_count:
                self._timed_request = reader.begun_count
                self._reading_since = self._host.loop.time()
            if reader.expects_continue and self._client.task is None and not self._queue:
                self._tell_to_continue()
        if self._linger_bytes:
            self._linger_bytes -= len(data)
            if self._linger_bytes <= 0 or not (reader.is_under_way or self._transport.can_write_eof()):
                self._linger_bytes = 0
                self._transport.close()
        elif is_busy and not reader.is_over:
            self._ahead_bytes += len(data)
            if (
                self._ahead_bytes > MOST_READ_AHEAD_BYTES
                and not self._is_reading_paused
                and not self._transport.is_closing()
            ):
                self._is_reading_paused = True
                self._transport.pause_reading()

    def eof_received(self) -> None:
        self._client.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.let_go()
        self._client.leave()
        self._end_stream()
        self._host.lost(self)

    def pause_writing(self) -> None:
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._client.task is None:
            self._go_on()

    # -- what the listener calls ---------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Answer what has arrived, end what would stream on, and close."""
        self._reader.finish()
        self._end_stream()
        if self._linger_bytes or (self._client.task is None and not self._queue and not self._reader.is_under_way):
            self._transport.close()

    def abort(self) -> None:
        """Close at once, with whatever is under way."""
        self._transport.abort()

    def close_if_overdue(self, now: float) -> None:
        """Close when a request does not arrive, when nothing happens, or when the client reads nothing of its answers.

        Args:
            now: the event loop's time in seconds.
        """
        unread_bytes = self._transport.get_write_buffer_size()
        if unread_bytes != self._unread_bytes or not unread_bytes:
            self._stalled_since = now
            self._unread_bytes = unread_bytes
        elif now - self._stalled_since >= self._host.idle_seconds:
            self._transport.abort()
        if unread_bytes or self._is_reading_paused:
            return
        if self._linger_bytes:
            if now - self._quiet_since >= LINGER_SECONDS:
                self._transport.close()
        elif self._reader.is_under_way:
            if now - self._reading_since >= self._host.read_seconds and not self._reader.is_over:
                self._queue.extend(self._reader.time_out())
                if self._client.task is None:
                    self._go_on()
        elif self._client.task is None and now - self._quiet_since >= self._host.idle_seconds:
            self._transport.close()

    # -- answering -----------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Answer what is next in line. To be called when nothing is being answered."""
        if self._is_writing_paused or self._transport.is_closing():
            return
        if self._queue:
            arrival = self._queue.popleft()
            if isinstance(arrival, Incoming):
                task = self._client.task = self._host.loop.create_task(self._answer(arrival))
                self._host.tasks.add(task)
            else:
                self._write(arrival, is_head=False)
                self._end()
            return
        reader = self._reader
        if reader.is_over:
            self._end()
            return
        self._quiet_since = self._host.loop.time()
        if self._ahead_bytes:
            self._ahead_bytes = 0
            if self._is_reading_paused:
                self._is_reading_paused = False
                self._reading_since = self._quiet_since
                self._transport.resume_reading()
        if reader.expects_continue:
            self._tell_to_continue()

    async def _answer(self, incoming: Incoming) -> None:
        host, request = self._host, incoming.request
        has_begun = False
        try:
            if incoming.error is None:
                response = await host.answerer.answer(request, incoming.headers, self._client)
            else:
                response = structs.replace(host.answerer.refuse(request, incoming.error), status=413)
            body = response.body
            if isinstance(body, bytes):
                self._write(response, is_head=request.method == "HEAD")
            else:
                has_begun = True
                await self._stream(incoming, response, body)
        except (ClientGone, asyncio.CancelledError):
            self._transport.abort()  # the client has gone, or the listener would not wait longer
        except Exception:
            log.exception("request %s could not be answered", request.request_id)
            if has_begun:
                self._transport.abort()
            else:
                self._write(_FAILED, is_head=request.method == "HEAD")
        finally:
            assert self._client.task is not None
            host.tasks.discard(self._client.task)
            self._client.task = None
        self._go_on()

    def _write(self, response: Response, *, is_head: bool) -> None:
        if not self._transport.is_closing():
            self._transport.write(whole(response, self._host.date_line, is_head=is_head, is_last=self._is_last()))

    async def _stream(self, incoming: Incoming, response: Response, parts: AsyncGenerator[bytes, None]) -> None:
        """Write a body part by part, as fast as the client reads.

        When the client goes or the server stops, the generator is cancelled where it waits.
        """
        is_chunked = incoming.takes_chunks
        write, date_line = self._transport.write, self._host.date_line
        head = streamed_head(response, date_line, is_chunked=is_chunked, is_last=self._is_last())
        async with aclosing(parts):
            if self._transport.is_closing():
                return
            write(head)
            if incoming.request.method == "HEAD":
                return
            self._is_streaming = True
            if self._host.is_draining:
                self._end_stream()
            try:
                async for part in parts:
                    if self._transport.is_closing():
                        return
                    if part:
                        write(chunk(part) if is_chunked else part)
                    if self._is_writing_paused:
                        self._writable = self._host.loop.create_future()
                        await self._writable
            except asyncio.CancelledError:
                if self._transport.is_closing():
                    raise
                self._transport.close()  # without the last chunk: the client sees that this is not all
                return
            finally:
                self._is_streaming = False
            if is_chunked:
                write(LAST_CHUNK)

    def _end_stream(self) -> None:
        if self._is_streaming and self._client.task is not None:
            self._client.task.cancel()

    def _is_last(self) -> bool:
        """Return whether the connection is closed behind what is answered now."""
        return self._reader.is_over and not self._queue

    def _tell_to_continue(self) -> None:
        self._reader.expects_continue = False
        self._transport.write(CONTINUE)

    def _end(self) -> None:
        """Close behind the last answer; only this side when the client may still be sending.

        To close both would reset the connection, and the client would lose the answer it has not read yet. TLS knows no
        closing of one side: there a refused body is waited for.
        """
        can_write_eof = self._transport.can_write_eof()
        if not self._reader.is_cut_short or not (self._reader.is_under_way or can_write_eof):
            self._transport.close()
            return
        self._linger_bytes = LINGER_BYTES
        self._quiet_since = self._host.loop.time()
        if can_write_eof:
            self._transport.write_eof()
