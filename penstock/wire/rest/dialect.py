"""The REST dialect: JSON over plain HTTP, for people with curl and for HttpBroker, all of it from one route table."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import structs

from penstock.core.errors import InvalidRequest, PenstockError
from penstock.core.operations import CreateQueue, QueueReply
from penstock.wire.http import Call, Request, Response, Step
from penstock.wire.rest.problems import MethodNotAllowed, NotFound, refusal
from penstock.wire.rest.routes import ROUTES, Route, body_fields, path_fields
from penstock.wire.rest.shapes import body_shape, json_reader, query_reader

_encode = msgspec.json.Encoder().encode
_JSON = ((b"content-type", b"application/json"),)

_Handle = Callable[[list[str], Request], Step]


class _Node:
    """One place in the tree of paths."""

    __slots__ = ("handles", "literals", "named")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.named: _Node | None = None
        self.handles: dict[str, _Handle] = {}


class Rest:
    """Penstock's own HTTP interface.

    Args:
        prefix: the path it is mounted under.
    """

    def __init__(self, prefix: str = "/v1") -> None:
        self._prefix = prefix
        self._skip = prefix.count("/") + 1
        self._root = _Node()
        self._description: Response | None = None
        for route in ROUTES:
            self._add(route.path, route.method, _handle(route))
        self._add("/openapi.json", "GET", lambda _, request: self._describe())

    def decode(self, request: Request) -> Step:
        node, names = self._root, []
        for segment in _segments(request)[self._skip :]:
            found = node.literals.get(segment)
            if found is None:
                found = node.named
                if found is None:
                    raise self._not_found(request)
                names.append(segment)
            node = found
        handle = node.handles.get(request.method)
        if handle is None:
            raise self._no_such_method(request, node)
        return handle(names, request)

    def refuse(self, request: Request, error: PenstockError) -> Response:
        return refusal(error)

    def _add(self, path: str, method: str, handle: _Handle) -> None:
        node = self._root
        for part in path.split("/")[1:]:
            if part.startswith("{"):
                node.named = node.named or _Node()
                node = node.named
            else:
                node = node.literals.setdefault(part, _Node())
        assert method not in node.handles, path
        node.handles[method] = handle
        if method == "GET":
            node.handles["HEAD"] = handle  # the server leaves the body away

    def _not_found(self, request: Request) -> PenstockError:
        return NotFound(
            f"There is nothing at {request.path[:200]!r}.",
            hint=f"GET {self._prefix}/openapi.json describes every address; a slash in a name is written %2F.",
        )

    def _no_such_method(self, request: Request, node: _Node) -> PenstockError:
        if not node.handles:
            return self._not_found(request)
        allowed = ", ".join(sorted(node.handles))
        return MethodNotAllowed(
            f"{request.method[:20]} is no method of {request.path[:200]!r}.", hint=f"Use {allowed}.", allowed=allowed
        )

    def _describe(self) -> Response:
        if self._description is None:
            from penstock.wire.rest.openapi import document  # costs milliseconds that most servers never need

            self._description = Response(200, _JSON, _encode(document(self._prefix)) + b"\n")
        return self._description


def _segments(request: Request) -> list[str]:
    if b"%" not in request.raw_path:
        return request.path.split("/")
    try:
        return [unquote(part, errors="strict") for part in request.raw_path.decode("ascii").split("/")]
    except UnicodeError:
        raise InvalidRequest(
            "The path is not percent-encoded UTF-8.", hint="Encode names as UTF-8, then percent-encode them."
        ) from None


def _handle(route: Route) -> _Handle:
    """Return what makes a request of this route its call."""
    read, then = _reader(route), _answerer(route)
    if route.shortcut is None:
        return lambda names, request: Call(read(names, request), then)
    as_operation = route.shortcut.as_operation
    return lambda names, request: Call(as_operation(read(names, request)), then)


def _reader(route: Route) -> Callable[[list[str], Request], Any]:
    asked, names_in_path = route.asked, path_fields(route)
    assert asked.__struct_fields__[: len(names_in_path)] == names_in_path, "what is in the path comes first"
    read_query = query_reader(asked, route.query)
    in_body = body_fields(route)
    assert not (in_body and route.query), "a body or a query, not both"
    if not in_body:

        def from_query(names: list[str], request: Request) -> Any:
            if request.body:
                raise InvalidRequest("This call takes no body.", hint="Give query parameters, where there are any.")
            return asked(*names, **read_query(request.query))

        return from_query
    shape = body_shape(asked, in_body)
    read_body = json_reader(shape)

    def from_body(names: list[str], request: Request) -> Any:
        if request.query:
            read_query(request.query)
        body = read_body(request.body or b"{}")
        return asked(*names, *structs.astuple(body)) if names else body

    return from_body


def _answerer(route: Route) -> Callable[[Any], Response]:
    if route.asked is CreateQueue:
        return _created
    if route.shortcut is None:
        return _answered
    answer = route.shortcut.answer

    def then(reply: Any) -> Response:
        try:
            return _answered(answer(reply))
        except PenstockError as error:
            return refusal(error)

    return then


def _answered(reply: Any) -> Response:
    return Response(200, _JSON, _encode(reply) + b"\n")


def _created(reply: QueueReply) -> Response:
    return Response(201 if reply.was_created else 200, _JSON, _encode(reply) + b"\n")
