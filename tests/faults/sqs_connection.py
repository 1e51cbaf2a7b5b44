"""The smallest client of the SQS JSON protocol: one connection, one request at a time, never a retry of its own."""

import asyncio
import json
from typing import Any

_LARGEST_ANSWER_BYTES = 8 << 20


class ServerGone(Exception):
    """The connection broke before there was an answer: whether the request was served is not known."""


class Refused(Exception):
    """The server answered with an error.

    Attributes:
        status: of HTTP.
        code: the last part of ``__type``.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class SqsConnection:
    """One connection. Made by ``await SqsConnection.open(port)``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "SqsConnection":
        """Connect. Raises ServerGone."""
        try:
            return cls(*await asyncio.open_connection("127.0.0.1", port, limit=_LARGEST_ANSWER_BYTES))
        except OSError as error:
            raise ServerGone(str(error)) from None

    async def call(self, action: str, **parameters: Any) -> dict[str, Any]:
        """Return what the server answers. Raises Refused, ServerGone."""
        body = json.dumps(parameters).encode()
        head = (
            f"POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: AmazonSQS.{action}\r\n"
            f"content-type: application/x-amz-json-1.0\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        try:
            self._writer.write(head.encode() + body)
            await self._writer.drain()
            status, text = await self._answer()
        except (OSError, EOFError) as error:
            raise ServerGone(str(error)) from None
        answer: dict[str, Any] = json.loads(text)
        if status != 200:
            raise Refused(status, answer["__type"].rsplit("#", 1)[-1], answer["message"])
        return answer

    async def aclose(self) -> None:
        """Let go of the connection."""
        self._writer.transport.abort()
        await asyncio.sleep(0)

    async def _answer(self) -> tuple[int, bytes]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        return int(status_line.split(" ", 2)[1]), await self._reader.readexactly(int(headers["content-length"]))


def queue_url(queue: str) -> str:
    """Return the URL of a queue; the server goes by its path."""
    return f"http://localhost/000000000000/{queue}"
