"""A listener whose answers the test decides: for HTTP itself, without dialects and brokers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from penstock.core.errors import PenstockError
from penstock.server.listener import Listener
from penstock.server.long_polls import Client
from penstock.server.options import ServerOptions
from penstock.wire.http import Body, Request, Response

TEXT = ((b"content-type", b"text/plain"),)

Answer = Callable[[Request], Awaitable[Response]]


def text(body: Body, status: int = 200) -> Response:
    """Return a response in plain text."""
    return Response(status, TEXT, body)


async def path(request: Request) -> Response:
    """Answer with what was asked for."""
    return text(f"{request.method} {request.path} {len(request.body)}".encode())


class Answering:
    """Answers as the test says, and notes what was asked.

    Args:
        answer: what to answer.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[Request] = []

    async def answer(self, request: Request, headers: list[tuple[bytes, bytes]], client: Client) -> Response:
        self.requests.append(request)
        return await self._answer(request)

    def refuse(self, request: Request, error: PenstockError) -> Response:
        return text(str(error).encode(), 400)


class Held:
    """Answers only when the test lets it."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.has_begun = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        self.has_begun.set()
        await self.may_answer.wait()
        return await path(request)


class Listening:
    """A listener that runs.

    Attributes:
        listener: itself.
        url: where it listens.
        requests: what was asked so far.
    """

    def __init__(self, listener: Listener, url: str, requests: list[Request]) -> None:
        self.listener = listener
        self.url = url
        self.requests = requests


@asynccontextmanager
async def listening(answer: Answer = path, **options: Any) -> AsyncIterator[Listening]:
    """Listen on a free port.

    Args:
        answer: what to answer.
        options: ``ServerOptions``.
    """
    answering = Answering(answer)
    listener = Listener(answering, ServerOptions(port=0, **{"drain_seconds": 5, **options}))
    port = await listener.start()
    try:
        yield Listening(listener, f"http://127.0.0.1:{port}", answering.requests)
    finally:
        await listener.stop()
