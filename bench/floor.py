"""The floor: a plain HTTP stack answering a constant. What a request takes beyond that is Penstock's.

Run as ``python -m bench.floor``: uvicorn as it comes, with uvloop, httptools and a plain ASGI application; with
``--ours`` behind Penstock's own connections and listener. Says where it serves in the words of ``penstock serve``.
"""

import asyncio
import json
import socket
import sys
from typing import Any

import uvicorn
import uvloop

from penstock.core.errors import PenstockError
from penstock.server.listener import Listener
from penstock.server.long_polls import Client
from penstock.server.options import ServerOptions
from penstock.wire.http import Request, Response

_BODY = json.dumps({"MD5OfMessageBody": "0" * 32, "MessageId": "00000000-0000-0000-0000-000000000000"}).encode()
_HEADERS = (
    (b"content-type", b"application/x-amz-json-1.0"),
    (b"x-amzn-requestid", b"00000000-0000-0000-0000-000000000000"),
)
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [*_HEADERS, (b"content-length", b"%d" % len(_BODY))],
}
_END = {"type": "http.response.body", "body": _BODY}


async def constant(scope: Any, receive: Any, send: Any) -> None:
    """Answer a constant when the request has arrived."""
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_END)


class Constant:
    """The same constant behind Penstock's own connections."""

    _response = Response(200, _HEADERS, _BODY)

    async def answer(self, request: Request, headers: list[tuple[bytes, bytes]], client: Client) -> Response:
        return self._response

    def refuse(self, request: Request, error: PenstockError) -> Response:
        return self._response


async def serve() -> None:
    """Serve with uvicorn until the process ends."""
    config = uvicorn.Config(
        constant,
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    _announce(listening.getsockname()[1])
    await uvicorn.Server(config).serve([listening])


async def serve_with_ours() -> None:
    """Serve with Penstock's listener until the process ends."""
    listener = Listener(Constant(), ServerOptions(port=0))
    _announce(await listener.start())
    await asyncio.get_running_loop().create_future()


def _announce(port: int) -> None:
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)


if __name__ == "__main__":
    uvloop.run(serve_with_ours() if "--ours" in sys.argv else serve())
