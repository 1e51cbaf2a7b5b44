"""The dialect of AweQ: one queue behind four HTTP calls that a browser may make from anywhere."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from penstock.core.errors import PenstockError, error_from
from penstock.core.messages import Draft
from penstock.core.operations import (
    CreateQueue,
    DeleteMessages,
    DescribeQueue,
    QueueReply,
    Receive,
    ReceiveReply,
    Send,
    SendReply,
    Sent,
)
from penstock.core.queues import QueueChanges
from penstock.wire.http import Call, Headers, Request, Response, Step

KEPT_SECONDS = 10 * 366 * 86_400
"""AweQ forgets nothing that was not deleted; ten years come near to that."""

LARGEST_BATCH = 1000
RESCUE_INTERVAL = "2s"
"""AweQ looked for ended checkouts so often. Here they end by themselves; the statistics still name it."""

_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"Origin, X-Requested-With, Content-Type, Accept, Authorization"),
)
_JSON: Headers = (*_CORS, (b"content-type", b"application/json"))
_TEXT: Headers = (*_CORS, (b"content-type", b"text/plain; charset=utf-8"))
_CONTENT_REQUIRED = "Message content required."
_encode = msgspec.json.Encoder().encode


class CheckedOut(Struct, frozen=True):
    """A message as AweQ hands it out: ``timestamp`` is when it was sent, in ms since the epoch."""

    key: str
    timestamp: int
    retry_count: int
    message: str


class Aweq:
    """AweQ's interface on one queue.

    Args:
        prefix: the path it is mounted under.
        queue: the queue it works on.
        checkout_lifetime_seconds: how long a message that was received stays away.
    """

    def __init__(self, prefix: str = "", queue: str = "aweq", checkout_lifetime_seconds: float = 120) -> None:
        self._prefix = prefix
        self._queue = queue
        self._lifetime_seconds = checkout_lifetime_seconds
        self._handlers: dict[str, tuple[str, Callable[[Request, str], Step]]] = {
            "send-message": ("POST", self._send),
            "receive-message": ("GET", self._receive),
            "delete-message": ("DELETE", self._delete),
            "get-stats": ("GET", self._stats),
        }

    def queue_settings(self) -> CreateQueue:
        """Return how to create the queue."""
        settings = QueueChanges(
            visibility_timeout_seconds=self._lifetime_seconds,
            retention_seconds=KEPT_SECONDS,
            redelivery="last",
        )
        return CreateQueue(self._queue, settings)

    def decode(self, request: Request) -> Step:
        call, slash, rest = request.path.removeprefix(f"{self._prefix}/").partition("/")
        method, handler = self._handlers.get(call, ("", self._send))
        if not method or (slash and call != "delete-message"):
            return _text(404, "There is no such call.")
        if request.method == "OPTIONS":
            return Response(204, _CORS, b"")
        if request.method != method:
            return Response(405, (*_TEXT, (b"allow", f"{method}, OPTIONS".encode())), f"Use {method}.".encode())
        return handler(request, rest)

    def refuse(self, request: Request, error: PenstockError) -> Response:
        if error.fault == "server":
            return _text(500, "The queue cannot be reached.")
        statuses = {"message_too_large": 413, "not_authenticated": 401, "access_denied": 403}
        return _text(statuses.get(error.code, 400), error.problem.message)

    # -- calls -------------------------------------------------------------------------------------------------------

    def _send(self, request: Request, rest: str) -> Step:
        message = _message_in(request)
        if not message:
            return _text(400, _CONTENT_REQUIRED)

        def sent(reply: SendReply) -> Response:
            outcome = reply.outcomes[0]
            if not isinstance(outcome, Sent):
                return self.refuse(request, error_from(outcome.problem))
            return _okay(key=outcome.message_id)

        return Call(Send(self._queue, (Draft(message),)), sent)

    def _receive(self, request: Request, rest: str) -> Step:
        count = _count_in(request.query)
        if count is None:
            return _text(400, f"The count must be a whole number from 1 to {LARGEST_BATCH}.")

        def received(reply: ReceiveReply) -> Response:
            messages = [
                CheckedOut(each.message_id, each.sent_at, each.receive_count - 1, each.body)
                for each in reply.deliveries
            ]
            if not messages:
                summary = "No messages available in queue."
            elif len(messages) < count:
                summary = "Fewer messages available than requested."
            else:
                summary = "Requested batch-size available."
            return _okay(message=summary, messages=messages)

        return Call(Receive(self._queue, count, 0), received)

    def _delete(self, request: Request, key: str) -> Step:
        return Call(DeleteMessages((key,), queue=self._queue), lambda reply: _okay())

    def _stats(self, request: Request, rest: str) -> Step:
        def described(reply: QueueReply) -> Response:
            counts, settings = reply.queue.counts, reply.queue.settings
            stats = {
                "queue_length": counts.ready + counts.delayed,
                "checkouts_count": counts.in_flight,
                "checkout_lifetime": f"{settings.visibility_timeout_seconds:g}s",
                "rescue_interval": RESCUE_INTERVAL,
            }
            return _okay(stats=stats)

        return Call(DescribeQueue(self._queue), described)


def _message_in(request: Request) -> str | None:
    """Return the message that a JSON or form body carries; a JSON value that is no text as its JSON."""
    content_type = request.headers.get(b"content-type", b"").lower()
    try:
        if b"json" in content_type or (b"form" not in content_type and request.body.lstrip()[:1] == b"{"):
            message = msgspec.json.decode(request.body, type=dict[str, Any]).get("message")
            if message is None or isinstance(message, str):
                return message
            return _encode(message).decode()
        return parse_qs(request.body.decode(), errors="strict").get("message", [None])[-1]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _count_in(query: bytes) -> int | None:
    """Return how many messages are wanted, or ``None`` if that cannot be told."""
    try:
        texts = parse_qs(query.decode("ascii"), keep_blank_values=True).get("count", ["1"])
    except ValueError:
        return None
    text = texts[-1]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    count = int(text)
    return count if 1 <= count <= LARGEST_BATCH else None


def _okay(**more: object) -> Response:
    return Response(200, _JSON, _encode({"status": "okay", **more}))


def _text(status: int, text: str) -> Response:
    return Response(status, _TEXT, text.encode())
