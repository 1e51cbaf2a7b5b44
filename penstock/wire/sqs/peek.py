"""``/_aws/sqs/messages``: look at all messages of a queue without receiving them, as other local SQS servers let one.

Source: LocalStack's documentation, "SQS, developer endpoints". Read only. GET or POST with ``QueueUrl``, or
``/_aws/sqs/messages/{region}/{account}/{queue}``; also as ``endpoint_url`` of an SDK, for ReceiveMessage alone.
"""

import re
from typing import Any

import msgspec
from msgspec import Struct, structs

from penstock.core.errors import PenstockError
from penstock.core.messages import Delivery, MessageView, State, size_of
from penstock.core.operations import MessagesReply, Peek
from penstock.wire.http import Call, Request, Response, Step
from penstock.wire.sqs.errors import (
    INVALID_PARAMETER_VALUE,
    SERIALIZATION,
    ErrorKind,
    SqsError,
    invalid_address,
    no_such_queue,
    translated,
)
from penstock.wire.sqs.exchange import Edge
from penstock.wire.sqs.form import MAP_NAMES, parameters_of
from penstock.wire.sqs.limits import SqsOptions
from penstock.wire.sqs.names import Address
from penstock.wire.sqs.receiving import message_of
from penstock.wire.sqs.results import Message, ReceiveMessageResult
from penstock.wire.sqs.xml_answers import xml_answer, xml_error

PEEK_PATH = "/_aws/sqs/messages"
MOST_SHOWN = 10_000
"""So many messages at most; REST pages through more."""

MOST_SHOWN_BYTES = 16 << 20
"""An answer ends with the page with which its bodies and attributes have so many bytes."""

_PAGE = 1000
_INVALID_REQUEST = ErrorKind("InvalidRequest", "com.amazonaws.sqs#InvalidRequest")
_ACTION = "ReceiveMessage"
_HANDLE = "SQS/BACKDOOR/ACCESS"
_PLACE = re.compile(rf"{PEEK_PATH}/([a-z0-9-]{{1,40}})/([0-9]{{12}})/([A-Za-z0-9_.-]{{1,80}})/?")


class _Asked(Struct):
    """Which queue, and which messages of it besides the visible ones."""

    queue: Address
    show_invisible: bool
    show_delayed: bool


class SqsPeek:
    """The dialect of the peek endpoint.

    Args:
        options: the same for all SQS dialects of a server.
    """

    def __init__(self, options: SqsOptions | None = None) -> None:
        self._edge = Edge(options or SqsOptions())

    def decode(self, request: Request) -> Step:
        asked = self._asked(request)
        return self._page(request, asked, [], 0)

    def refuse(self, request: Request, error: PenstockError) -> Response:
        told = translated(error, str)
        headers = (_content_type(request), (b"x-amzn-requestid", request.request_id.encode()))
        if _speaks_json(request):
            body = msgspec.json.encode({"__type": told.kind.shape, "message": str(told)})
            query_error = (b"x-amzn-query-error", f"{told.kind.code};{told.kind.fault}".encode())
            return Response(told.kind.status, (*headers, query_error), body)
        if not _wants_json(request):
            return Response(told.kind.status, headers, xml_error(told, request.request_id))
        words = {"Type": told.kind.fault, "Code": told.kind.code, "Message": str(told)}
        body = msgspec.json.encode({"ErrorResponse": {"Error": words, "RequestId": request.request_id}})
        return Response(told.kind.status, headers, body)

    def _asked(self, request: Request) -> _Asked:
        parameters = _parameters(request)
        action = parameters.get("Action", _ACTION)
        if action != _ACTION:
            raise SqsError(f"This endpoint only accepts {_ACTION} calls", kind=_INVALID_REQUEST)
        place = _PLACE.fullmatch(request.path)
        addresses = self._edge.addresses
        url = parameters.get("QueueUrl")
        if place is not None:
            queue = addresses.of_name(place[3], place[2], place[1])
        elif url:
            found = addresses.of_url(url, request.account, request.region)
            if found is None:
                raise invalid_address(url)
            queue = found
        else:
            raise no_such_queue()
        return _Asked(queue, _is_set(parameters, "ShowInvisible"), _is_set(parameters, "ShowDelayed"))

    def _page(self, request: Request, asked: _Asked, found: list[MessageView], after: int) -> Call:
        def got(reply: MessagesReply) -> Step:
            views = [*found, *reply.messages]
            size = sum(size_of(each.body, each.attributes) for each in views)
            if reply.next_after is not None and len(views) < MOST_SHOWN and size < MOST_SHOWN_BYTES:
                return self._page(request, asked, views, reply.next_after)
            return self._answer(request, asked, views)

        return Call(Peek(asked.queue.queue, after=after, limit=_PAGE), got)

    def _answer(self, request: Request, asked: _Asked, views: list[MessageView]) -> Response:
        messages = [self._message(view, asked) for view in _shown(views, asked)]
        result = ReceiveMessageResult(messages or None)
        headers = (_content_type(request), (b"x-amzn-requestid", request.request_id.encode()))
        if _speaks_json(request):
            return Response(200, headers, msgspec.json.encode(result))
        if not _wants_json(request):
            return Response(200, headers, xml_answer(_ACTION, result, request.request_id))
        inner = _folded({"Message": [_as_json(message) for message in messages]})
        metadata = {"RequestId": request.request_id}
        body = {f"{_ACTION}Response": {f"{_ACTION}Result": inner, "ResponseMetadata": metadata}}
        return Response(200, headers, msgspec.json.encode(body))

    def _message(self, view: MessageView, asked: _Asked) -> Message:
        delivery = Delivery(
            message_id=view.message_id,
            receipt_handle=_HANDLE,
            body=view.body,
            sent_at=view.sent_at,
            first_received_at=view.first_received_at or 0,
            visible_at=view.visible_at,
            sequence_number=view.sequence_number,
            receive_count=view.receive_count,
            attributes=view.attributes,
            system_attributes=view.system_attributes,
            sender_id=view.sender_id,
            group_id=view.group_id,
            deduplication_id=view.deduplication_id,
            dead_letter_source=view.dead_letter_source,
        )
        message = message_of(delivery, asked.queue, self._edge, None, ("All",))
        told = dict(message.attributes or {})
        if asked.show_invisible:
            told["IsVisible"] = "false" if view.state is State.IN_FLIGHT else "true"
        if asked.show_delayed:
            told["IsDelayed"] = "true" if view.state is State.DELAYED else "false"
        return structs.replace(message, attributes=told)


def _shown(views: list[MessageView], asked: _Asked) -> list[MessageView]:
    """Return what to show; without ``ShowInvisible`` a FIFO group that is in flight is hidden as a whole."""
    hidden_groups: set[str | None] = set()
    if asked.queue.is_fifo and not asked.show_invisible:
        hidden_groups = {view.group_id for view in views if view.state is State.IN_FLIGHT}
    return [
        view
        for view in views
        if (view.state is not State.IN_FLIGHT or asked.show_invisible)
        and (view.state is not State.DELAYED or asked.show_delayed)
        and (view.group_id is None or view.group_id not in hidden_groups)
    ]


def _parameters(request: Request) -> dict[str, str]:
    if not _speaks_json(request):
        return parameters_of(request)
    try:
        given = msgspec.json.decode(request.body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise SqsError("The request could not be understood as JSON.", kind=SERIALIZATION) from None
    target = request.headers[b"x-amz-target"].decode("latin-1")
    return {"Action": target.rpartition(".")[2], "QueueUrl": str(given.get("QueueUrl") or "")}


def _is_set(parameters: dict[str, str], name: str) -> bool:
    text = parameters.get(name, "").lower()
    if text not in ("", "0", "1", "false", "true"):
        raise SqsError(f"{name} must be true or false.", kind=INVALID_PARAMETER_VALUE)
    return text in ("1", "true")


def _as_json(message: Message) -> dict[str, Any]:
    """Return a message as XML would have it, with members that repeat as lists of name and value."""
    told: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(message).items():
        if name in MAP_NAMES:
            entry, key_name, value_name = MAP_NAMES[name]
            told[entry] = [{key_name: key, value_name: item} for key, item in value.items()]
        else:
            told[name] = value
    return _folded(told)


def _folded(members: dict[str, Any]) -> dict[str, Any]:
    """Fold a list of one into its item, and leave out an empty one, as other servers do that make JSON of XML."""
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in members.items()
        if value != []
    }


def _speaks_json(request: Request) -> bool:
    return b"x-amz-target" in request.headers


def _wants_json(request: Request) -> bool:
    return b"json" in request.headers.get(b"accept", b"")


def _content_type(request: Request) -> tuple[bytes, bytes]:
    if _speaks_json(request):
        return (b"content-type", b"application/x-amz-json-1.0")
    return (b"content-type", b"application/json" if _wants_json(request) else b"text/xml")
