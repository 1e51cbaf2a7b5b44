"""The ASGI application: an HTTP request becomes a Request, a Response becomes bytes. Nothing here knows a dialect.

Plain ASGI, because this is on the path of every message: see dispatch for who answers.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from penstock.core.errors import MessageTooLarge
from penstock.server.connections import CLIENT
from penstock.server.dispatch import Dispatch
from penstock.server.long_polls import ClientGone
from penstock.wire.http import Request, Response

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LENGTHS = tuple((b"content-length", b"%d" % length) for length in range(4096))
_CLOSE = (b"connection", b"close")
_LINGER_BYTES = 64 << 20
_LINGER_SECONDS = 10


class App:
    """Serves HTTP.

    Args:
        dispatch: who answers.
        max_body_bytes: larger request bodies are refused with status 413.
    """

    def __init__(self, dispatch: Dispatch, max_body_bytes: int) -> None:
        self._dispatch = dispatch
        self._max_body_bytes = max_body_bytes
        self._long_enough_to_measure = len(str(max_body_bytes))
        self._id_start, self._last_id = _id_range()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"ASGI {scope['type']} is not served")
        header_list: list[tuple[bytes, bytes]] = scope["headers"]
        headers = dict(header_list)
        client = scope["client"]
        self._last_id += 1
        request = Request(
            scope["method"],
            scope["path"],
            scope["query_string"],
            headers,
            b"",
            "https" if headers.get(b"x-forwarded-proto") == b"https" else scope["scheme"],
            self._dispatch.account,
            self._dispatch.region,
            f"{self._id_start}{self._last_id & 0xFFFFFFFFFFFF:012x}",
            scope["raw_path"],
            "",
            client[0] if client else "",
            scope["scheme"] == "https",
        )
        length = headers.get(b"content-length", b"")
        if len(length) >= self._long_enough_to_measure and int(length) > self._max_body_bytes:
            await self._refuse_too_large(request, receive, send)
            return
        try:
            body = await self._body(receive)
            if body is None:
                await self._refuse_too_large(request, receive, send)
                return
            request.body = body
            response = await self._dispatch.answer(request, header_list, scope[CLIENT])
        except (ClientGone, asyncio.CancelledError):
            return  # the connection is closed, by the client or by the listener that would not wait longer
        body = response.body
        size = len(body)
        length_header = _LENGTHS[size] if size < 4096 else (b"content-length", b"%d" % size)
        headers_out = [*response.headers, length_header] if response.status != 204 else list(response.headers)
        await send({"type": "http.response.start", "status": response.status, "headers": headers_out})
        await send({"type": "http.response.body", "body": body})

    async def _body(self, receive: Receive) -> bytes | None:
        """Return the whole body, which mostly comes in one piece; ``None`` when it is too large."""
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        start: bytes = message["body"]
        if not message["more_body"]:
            return start if len(start) <= self._max_body_bytes else None
        body = bytearray(start)
        while len(body) <= self._max_body_bytes:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientGone
            body += message["body"]
            if not message["more_body"]:
                break
        return bytes(body) if len(body) <= self._max_body_bytes else None

    async def _refuse_too_large(self, request: Request, receive: Receive, send: Send) -> None:
        error = MessageTooLarge(
            f"The request has more than {self._max_body_bytes} bytes.",
            hint="Send less at once, or raise max_body_bytes in the server's configuration.",
        )
        response: Response = self._dispatch.refuse(request, error)
        headers = [*response.headers, (b"content-length", b"%d" % len(response.body)), _CLOSE]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        if b"expect" not in request.headers:
            await _linger(receive)
        await send({"type": "http.response.body", "body": b""})


async def _linger(receive: Receive) -> None:
    """Take what a client still sends: many read no answer before they have sent all, and closing would reset them."""
    left = _LINGER_BYTES
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body"):
                    break
    except TimeoutError:
        return


def _id_range() -> tuple[str, int]:
    """Return how the request ids of this process start, in the form of a random UUID, and the number of the first."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-", int(digits[20:], 16) >> 8
