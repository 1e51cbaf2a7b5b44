"""Driving a dialect without sockets: a request goes in, its calls are performed, the response comes out."""

from typing import Any
from urllib.parse import unquote

import msgspec

from penstock.broker.contract import Broker
from penstock.core.errors import PenstockError
from penstock.wire.http import Call, Dialect, Request, Response


class Driver:
    """Walks requests through a dialect."""

    def __init__(self, dialect: Dialect, broker: Broker) -> None:
        self._dialect = dialect
        self._broker = broker

    async def ask(self, request: Request) -> Response:
        try:
            step = self._dialect.decode(request)
            while isinstance(step, Call):
                step = step.then(await self._broker.perform(step.operation))
        except PenstockError as error:
            return self._dialect.refuse(request, error)
        return step


def request(method: str, target: str, body: bytes = b"", **headers: str) -> Request:
    """Return a request; ``target`` is path and query as on the request line, headers have ``_`` for ``-``."""
    raw_path, _, query = target.partition("?")
    return Request(
        method=method,
        path=unquote(raw_path),
        query=query.encode(),
        headers={name.replace("_", "-").encode(): value.encode() for name, value in headers.items()},
        body=body,
        scheme="http",
        account="000000000000",
        region="us-east-1",
        request_id="00000000-0000-4000-8000-000000000000",
        raw_path=raw_path.encode(),
    )


def json_of(response: Response) -> Any:
    """Return a response's JSON body."""
    return msgspec.json.decode(response.body)
