"""The other side of REST: an operation as an HTTP request, and a response as its reply."""

from collections.abc import Callable
from enum import Enum
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct, structs

from penstock.core.errors import InvalidRequest
from penstock.core.operations import Operation
from penstock.wire.rest.routes import ROUTES, Route, body_fields, path_fields, reply_type
from penstock.wire.rest.shapes import body_shape

_encode = msgspec.json.Encoder().encode


class Ask(Struct, frozen=True, gc=False):
    """What to send: the method, the target below the mount point (path and query), and the JSON body."""

    method: str
    target: str
    body: bytes


class Asking(Struct, frozen=True, gc=False):
    """How one operation is asked and answered over REST."""

    ask: Callable[[Any], Ask]
    reply: Callable[[bytes], Any]


def asking(operation: Operation[Any]) -> Asking:
    """Return how to ask for an operation of this type."""
    return _ASKINGS[type(operation)]


def ask(operation: Operation[Any]) -> Ask:
    """Return the HTTP request that asks for an operation.

    Raises:
        InvalidRequest: a text in it is not Unicode (it has a lone surrogate), so that no request can carry it.
    """
    try:
        return _ASKINGS[type(operation)].ask(operation)
    except UnicodeEncodeError:
        raise InvalidRequest("A text is not valid Unicode.", hint="Remove the lone surrogates.") from None


def _asking(route: Route) -> Asking:
    write_path = _path_writer(route)
    write_query = _query_writer(route)
    write_body = _body_writer(route)

    def asked(operation: Any) -> Ask:
        return Ask(route.method, write_path(operation) + write_query(operation), write_body(operation))

    return Asking(asked, msgspec.json.Decoder(reply_type(route.asked)).decode)


def _path_writer(route: Route) -> Callable[[Any], str]:
    names = path_fields(route)
    if not names:
        return lambda operation: route.path
    pieces = route.path.replace("{", "\0").replace("}", "\0").split("\0")
    if len(names) == 1:
        (name,), (before, _, after) = names, pieces
        return lambda operation: f"{before}{quote(getattr(operation, name), safe='')}{after}"
    return lambda operation: "".join(
        quote(getattr(operation, piece), safe="") if at % 2 else piece for at, piece in enumerate(pieces)
    )


def _query_writer(route: Route) -> Callable[[Any], str]:
    fields = [field for field in structs.fields(route.asked) if field.name in route.query]
    if not fields:
        return lambda operation: ""

    def writer(operation: Any) -> str:
        pairs = []
        for field in fields:
            value = getattr(operation, field.name)
            if value != field.default:
                pairs.append((field.name, _query_text(value)))
        return f"?{urlencode(pairs)}" if pairs else ""

    return writer


def _query_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.value if isinstance(value, Enum) else value)


def _body_writer(route: Route) -> Callable[[Any], bytes]:
    names = body_fields(route)
    if not names:
        return lambda operation: b""
    shape = body_shape(route.asked, names)
    if shape is route.asked:
        return _encode
    start = len(path_fields(route))
    return lambda operation: _encode(shape(*structs.astuple(operation)[start:]))


_ASKINGS = {route.asked: _asking(route) for route in ROUTES if route.shortcut is None}
