"""The floor: Penstock's HTTP stack answering a constant, so that what is left of a request is what Penstock does.

Run as ``python -m bench.floor``; says where it serves in the same words as ``penstock serve``.
"""

import asyncio
import json
from typing import Any

import uvloop

from penstock.server.listener import Listener
from penstock.server.options import ServerOptions

_BODY = json.dumps(
    {
        "MD5OfMessageBody": "0" * 32,
        "MessageId": "00000000-0000-0000-0000-000000000000",
    }
).encode()
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/x-amz-json-1.0"),
        (b"x-amzn-requestid", b"00000000-0000-0000-0000-000000000000"),
        (b"content-length", b"%d" % len(_BODY)),
    ],
}
_END = {"type": "http.response.body", "body": _BODY}


async def constant(scope: Any, receive: Any, send: Any) -> None:
    """Answer a constant when the request has arrived."""
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_END)


async def serve() -> None:
    """Serve until the process ends."""
    listener = Listener(constant, ServerOptions(port=0))  # type: ignore[arg-type]
    port = await listener.start()
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(serve())
