"""The dialect of WQ: one queue of JSON values behind three HTTP calls on one address."""

from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import PenstockError, error_from
from penstock.core.messages import Draft
from penstock.core.operations import (
    CreateQueue,
    DeleteMessages,
    IdOutcome,
    IdsReply,
    Receive,
    ReceiveReply,
    Send,
    SendReply,
    Sent,
)
from penstock.core.queues import QueueChanges
from penstock.wire.http import Call, Headers, Request, Response, Step

KEPT_SECONDS = 10 * 366 * 86_400
"""WQ forgets nothing that was not confirmed; ten years come near to that."""

DEFAULT_AMOUNT = 10
LARGEST_AMOUNT = 1000

_JSON: Headers = ((b"content-type", b"application/json"),)
_TEXT: Headers = ((b"content-type", b"text/plain; charset=utf-8"),)
_encode = msgspec.json.Encoder().encode
_parse = msgspec.json.Decoder(Any).decode


class Locked(Struct, frozen=True):
    """A message as WQ hands it out."""

    id: str
    body: Raw


class Wq:
    """WQ's interface on one queue.

    Args:
        prefix: the path it is mounted under.
        queue: the queue it works on.
        lock_seconds: how long a message that was received stays locked.
    """

    def __init__(self, prefix: str = "", queue: str = "wq", lock_seconds: float = 1) -> None:
        self._prefix = prefix
        self._queue = queue
        self._lock_seconds = lock_seconds

    def queue_settings(self) -> CreateQueue:
        """Return how to create the queue."""
        settings = QueueChanges(
            visibility_timeout_seconds=self._lock_seconds, retention_seconds=KEPT_SECONDS, redelivery="last"
        )
        return CreateQueue(self._queue, settings)

    def decode(self, request: Request) -> Step:
        rest = request.path.removeprefix(self._prefix).removeprefix("/")
        if rest:
            return self._confirm(rest) if request.method == "PATCH" else _wrong_method(b"PATCH")
        if request.method == "POST":
            return self._send(request)
        return self._receive(request) if request.method == "GET" else _wrong_method(b"GET, POST")

    def refuse(self, request: Request, error: PenstockError) -> Response:
        if error.fault == "server":
            return _text(500, "The queue cannot be reached.")
        statuses = {"message_too_large": 413, "not_authenticated": 401, "access_denied": 403}
        return _text(statuses.get(error.code, 400), error.problem.message)

    def _send(self, request: Request) -> Step:
        body = _json_text(request.body)
        if body is None:
            return _text(400, "The body must be JSON in UTF-8.")

        def sent(reply: SendReply) -> Response:
            outcome = reply.outcomes[0]
            if not isinstance(outcome, Sent):
                return self.refuse(request, error_from(outcome.problem))
            return Response(201, _JSON, _encode({"messageID": outcome.message_id}))

        return Call(Send(self._queue, (Draft(body),)), sent)

    def _receive(self, request: Request) -> Step:
        amount = _amount_in(request.query)
        if amount is None:
            return _text(400, f"The amount must be a whole number from 1 to {LARGEST_AMOUNT}.")
        return Call(Receive(self._queue, amount, 0), _received)

    def _confirm(self, message_id: str) -> Step:
        return Call(DeleteMessages((message_id,), only_in_flight=True, queue=self._queue), _confirmed)


def _received(reply: ReceiveReply) -> Response:
    messages = [Locked(each.message_id, _spliced(each.body)) for each in reply.deliveries]
    return Response(200, _JSON, _encode({"messages": messages}))


def _confirmed(reply: IdsReply) -> Response:
    return Response(204, (), b"") if reply.outcomes[0] is IdOutcome.DONE else _not_locked()


def _not_locked() -> Response:
    return _text(404, "No such message is locked.")


def _json_text(body: bytes) -> str | None:
    """Return a body as text if it is JSON, else ``None``."""
    try:
        _parse(body)
        return body.decode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _spliced(body: str) -> Raw:
    """Return a message's JSON; one that came through another dialect and is no JSON becomes a JSON text."""
    as_bytes = body.encode()
    return Raw(as_bytes if _json_text(as_bytes) is not None else _encode(body))


def _amount_in(query: bytes) -> int | None:
    """Return how many messages are wanted, or ``None`` if that cannot be told."""
    try:
        texts = parse_qs(query.decode("ascii"), keep_blank_values=True).get("amount", [str(DEFAULT_AMOUNT)])
    except ValueError:
        return None
    text = texts[-1]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    amount = int(text)
    return amount if 1 <= amount <= LARGEST_AMOUNT else None


def _wrong_method(allowed: bytes) -> Response:
    return Response(405, (*_TEXT, (b"allow", allowed)), b"Use " + allowed + b".")


def _text(status: int, text: str) -> Response:
    return Response(status, _TEXT, text.encode())
