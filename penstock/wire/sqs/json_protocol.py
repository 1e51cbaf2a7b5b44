"""The AWS JSON 1.0 protocol: the action in ``X-Amz-Target``, parameters and answers as JSON.

Source: smithy.io, "AWS JSON 1.0 protocol"; ``x-amzn-query-error`` as recorded of AWS.
"""

import re
from typing import Any

import msgspec
from msgspec import Struct

from penstock.core.errors import PenstockError
from penstock.wire.http import Headers, Request, Response, Step
from penstock.wire.sqs.actions import ACTIONS, Action
from penstock.wire.sqs.errors import SERIALIZATION, UNKNOWN_OPERATION, SqsError, translated
from penstock.wire.sqs.exchange import Edge, Exchange
from penstock.wire.sqs.limits import SqsOptions
from penstock.wire.sqs.model import Shape
from penstock.wire.sqs.peek import PEEK_PATH, SqsPeek

_CONTENT_TYPE = (b"content-type", b"application/x-amz-json-1.0")
_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[bytes, tuple[Action, msgspec.json.Decoder[Any]]] = {
    b"AmazonSQS." + name.encode(): (action, msgspec.json.Decoder(action.request)) for name, action in ACTIONS.items()
}
_WRONG_TYPE = re.compile(r"Expected `(\w+)[^`]*`, got `(\w+)`")
_JAVA_TYPES = {"str": "String", "int": "Integer", "bytes": "Blob", "object": "Structure", "array": "List"}


class JsonExchange(Exchange, gc=False):
    """A request in JSON under way."""

    def answer(self, result: Shape | None = None) -> Response:
        body = b"{}" if result is None else _ENCODER.encode(result)
        return Response(200, _headers(self.request), body)


class SqsJson:
    """The dialect that AWS SDKs speak since 2023.

    Args:
        options: the same for all SQS dialects of a server.
    """

    def __init__(self, options: SqsOptions | None = None) -> None:
        self._edge = Edge(options or SqsOptions())
        self._peek = SqsPeek(options)

    def decode(self, request: Request) -> Step:
        if request.path.startswith(PEEK_PATH):
            return self._peek.decode(request)
        found = _DECODERS.get(request.headers.get(b"x-amz-target", b""))
        if found is None:
            raise SqsError("The action or operation requested is invalid.", kind=UNKNOWN_OPERATION)
        action, decoder = found
        request.action = action.name
        try:
            asked = decoder.decode(request.body or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SqsError(_complaint(str(error)), kind=SERIALIZATION) from None
        except RecursionError:
            raise SqsError("Too deeply nested.", kind=SERIALIZATION) from None
        return action.perform(asked, JsonExchange(request, self._edge, action.name))

    def refuse(self, request: Request, error: PenstockError) -> Response:
        told = translated(error, lambda: _queue_named(request))
        kind = told.kind
        query_error = f"{kind.code};{kind.fault}".encode()
        body = _ENCODER.encode({"__type": kind.shape, "message": str(told)})
        return Response(kind.status, (*_headers(request), (b"x-amzn-query-error", query_error)), body)


class _Named(Struct):
    """Where errors look for the queue they mention."""

    QueueUrl: Any = None


def _headers(request: Request) -> Headers:
    return (_CONTENT_TYPE, (b"x-amzn-requestid", request.request_id.encode()))


def _queue_named(request: Request) -> str:
    try:
        url = msgspec.json.decode(request.body or b"{}", type=_Named).QueueUrl
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return str(url or request.path).rstrip("/").rsplit("/", 1)[-1]


def _complaint(words: str) -> str:
    """Return what AWS says of JSON that is none, or holds a value of the wrong type."""
    match = _WRONG_TYPE.search(words)
    if match is None:
        return "The request could not be understood as JSON."
    expected, got = match.groups()
    if got == "array":
        return "Start of list found where not expected"
    if got == "object":
        return "Start of structure or map found where not expected."
    value = {"str": "STRING_VALUE", "bool": "BOOLEAN_VALUE", "null": "NULL_VALUE"}.get(got, "NUMBER_VALUE")
    return f"{value} can not be converted to {_JAVA_TYPES.get(expected, expected)}"
