"""A server that does what the test says: each request is answered by the next line of its script."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HANG_UP = b""
SILENCE = None


@dataclass
class Scripted:
    """What happened.

    Attributes:
        requests: each whole, head and body.
        connections: how many were made.
        open_connections: how many are open.
    """

    script: list[bytes | None]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                self.requests.append(head + await reader.readexactly(int(length or 0)))
                line = self.script.pop(0)
                if line is SILENCE:
                    await reader.read()
                    return
                writer.write(line)
                if line is HANG_UP:
                    return
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.open_connections -= 1
            writer.close()


@asynccontextmanager
async def scripted(*script: bytes | None) -> AsyncIterator[Scripted]:
    """Serve a script: whole responses, ``HANG_UP`` or ``SILENCE``."""
    played = Scripted(list(script))
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    played.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield played
    finally:
        server.close()


def response(body: bytes, status: int = 200, headers: Iterable[str] = ()) -> bytes:
    """Return an HTTP response."""
    lines = [f"HTTP/1.1 {status} Words", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
