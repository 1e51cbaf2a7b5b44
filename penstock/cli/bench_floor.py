"""The floor of ``penstock bench``: the server's own connections, answering constants. What a request takes beyond that
is what Penstock does for it.

A process of its own (``python -m penstock.cli.bench_floor``): reads its answers, by the end of the path, in one line of
JSON from standard input, says its port, and ends with standard input.
"""

import asyncio
import json
import sys
from collections.abc import Mapping

from penstock.core.errors import PenstockError
from penstock.server.listener import Listener
from penstock.server.long_polls import Client
from penstock.server.options import ServerOptions
from penstock.wire.http import Request, Response

_HEADERS = ((b"content-type", b"application/json"),)


class Constant:
    """Answers what it was told to.

    Args:
        answers: by the last part of the path.
    """

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = {name: Response(200, _HEADERS, text.encode()) for name, text in answers.items()}

    async def answer(self, request: Request, headers: list[tuple[bytes, bytes]], client: Client) -> Response:
        """Answer a request."""
        return self._answers[request.path.rpartition("/")[2]]

    def refuse(self, request: Request, error: PenstockError) -> Response:
        """Answer a request that could not be read."""
        return Response(400, _HEADERS, b"{}")


async def serve(answers: Mapping[str, str]) -> None:
    """Serve until standard input ends."""
    listener = Listener(Constant(answers), ServerOptions(port=0))
    print(await listener.start(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(json.loads(sys.stdin.readline())))
