"""What a worker answers to those who ask after its health: a few lines of HTTP, for probes and scrapers."""

import asyncio
import json
from collections.abc import Callable, Sequence

from penstock.core.errors import PenstockError
from penstock.worker.middleware import Middleware

READ_SECONDS = 5.0
MOST_HEAD_BYTES = 16_384
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class CannotListen(PenstockError):
    """The port cannot be had."""

    code = "cannot_listen"
    fault = "caller"


class WorkerHealth:
    """Answers ``/health/live``, ``/health/ready`` and ``/metrics``.

    Args:
        middleware: the app's; one that has ``exposition() -> bytes`` says what ``/metrics`` answers.

    Attributes:
        is_ready: asks the worker whether it gets jobs from the store.
    """

    def __init__(self, middleware: Sequence[Middleware]) -> None:
        self._middleware = middleware
        self._server: asyncio.Server | None = None
        self.is_ready: Callable[[], bool] = lambda: False

    async def open(self, port: int) -> None:
        """Listen on all addresses: probes come from outside. Raises CannotListen."""
        try:
            self._server = await asyncio.start_server(self._serve, None, port, limit=MOST_HEAD_BYTES)
        except OSError as error:
            raise CannotListen(
                f"Cannot listen on port {port}: {error}.", hint="Choose another --health-port."
            ) from None

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
                status, kind, body = self._answer(method, rest.partition(" ")[0].partition("?")[0])
                writer.write(
                    f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                    "connection: close\r\n\r\n".encode()
                    + (b"" if method == "HEAD" else body)
                )
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if method not in ("GET", "HEAD"):
            return _said(405, "use GET")
        match path:
            case "/health/live":
                return _said(200, "alive")
            case "/health/ready":
                return _said(200, "ready") if self.is_ready() else _said(503, "no jobs can be fetched")
            case "/metrics":
                for each in self._middleware:
                    exposition = getattr(each, "exposition", None)
                    if exposition is not None:
                        return 200, "text/plain; version=0.0.4; charset=utf-8", exposition()
        return _said(404, "not here")


def _said(status: int, what: str) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps({"status": what}).encode()
