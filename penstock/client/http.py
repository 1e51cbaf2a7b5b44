"""The broker at the other end of HTTP: the same contract as in-process, spoken over REST."""

import asyncio
import math
import ssl
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote, urlsplit

import msgspec

from penstock.broker.system import Entropy, SystemClock, SystemEntropy
from penstock.broker.validation import validate
from penstock.client.connection import Answer, ConnectionLost, Pool
from penstock.client.propagation import trace_headers
from penstock.client.repeating import as_if_once, may_repeat, named
from penstock.core.clock import Clock
from penstock.core.errors import InvalidRequest, StoreUnavailable
from penstock.core.operations import Operation, Receive
from penstock.wire.rest import Ask, ask, asking, error_in

Reply = TypeVar("Reply")

_FRESH_SECONDS = 1.0
"""A connection idle for longer may just be being closed by the server: what must not be asked twice avoids it."""


class HttpBroker:
    """Performs operations on a Penstock server.

    Belongs to the event loop it is first used on. Each call under way has a connection of its own; cancelling a call
    closes its connection, so that the server notices. A message that was sent without an id gets one here: when the
    connection breaks before the answer, the send is repeated once and the store knows it again. So are all operations
    that do the same once and twice; the others raise, and may or may not have happened.

    Args:
        base_url: where the server is, ``http://host:port`` or ``https://...``, and the path it is mounted under.
        token: proves who we are, ``<key id>:<secret>``; keep to https with it.
        tls: how to check the server's certificate; the system's way if not given.
        connect_seconds: how long connecting may take.
        answer_seconds: how long an answer may take, beyond the time a receive waits.
        clock, entropy: where message ids come from.

    Raises:
        InvalidRequest: ``base_url`` or ``token`` cannot be meant.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        connect_seconds: float = 5,
        answer_seconds: float = 30,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        parts, port = _address(base_url)
        if token is not None and not (token.isascii() and token.isprintable()):
            raise InvalidRequest("The token has characters that no header may have.", field="token")
        self._base_url = base_url
        self._path = quote(parts.path.rstrip("/"), safe="/%") + "/v1"
        self._pool = Pool(
            parts.hostname or "",
            port,
            (tls or ssl.create_default_context()) if parts.scheme == "https" else None,
            connect_seconds=connect_seconds,
        )
        host = parts.netloc.rpartition("@")[2]
        authorization = f"authorization: Bearer {token}\r\n" if token else ""
        self._headers = f" HTTP/1.1\r\nhost: {host}\r\n{authorization}"
        self._answer_seconds = answer_seconds
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()

    async def perform(self, operation: Operation[Reply]) -> Reply:
        validate(operation)  # JSON has no infinity: it would arrive as null
        sent = named(operation, self._mint)
        request = self._request(ask(sent))
        limit = self._limit(operation)
        is_repeatable = may_repeat(sent)
        try:
            answer = await self._exchange(request, limit, math.inf if is_repeatable else _FRESH_SECONDS)
        except ConnectionLost:
            if not is_repeatable:
                raise self._lost() from None
            try:
                answer = await self._exchange(request, limit, 0)
            except ConnectionLost:
                raise self._lost() from None
            return as_if_once(operation, sent, self._reply(operation, answer))
        return self._reply(operation, answer)

    async def aclose(self) -> None:
        self._pool.close()

    def _mint(self, queue: str) -> str:
        return self._entropy.message_id(self._clock.now_ms(), queue)

    def _request(self, asked: Ask) -> bytes:
        body = asked.body
        about_body = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
        return (
            f"{asked.method} {self._path}{asked.target}{self._headers}{trace_headers()}{about_body}\r\n".encode("ascii")
            + body
        )

    def _limit(self, operation: Operation[Any]) -> float | None:
        """Return how long to wait for an answer; not limited where the queue's own setting says how long it takes."""
        if not isinstance(operation, Receive):
            return self._answer_seconds
        return None if operation.wait_seconds is None else self._answer_seconds + operation.wait_seconds

    async def _exchange(self, request: bytes, limit: float | None, max_idle_seconds: float) -> Answer:
        try:
            connection = await self._pool.take(max_idle_seconds)
        except (OSError, TimeoutError) as error:
            raise StoreUnavailable(
                f"{self._base_url} cannot be reached: {error or 'it does not answer'}.",
                hint="Is the server running, and is this its address?",
            ) from error
        try:
            async with asyncio.timeout(limit):
                answer = await connection.ask(request)
        except TimeoutError:
            connection.close()
            raise StoreUnavailable(
                f"{self._base_url} did not answer within {limit:g} seconds.",
                hint="Whether it happened is not known. Look before you ask again.",
            ) from None
        except BaseException:
            connection.close()
            raise
        self._pool.give_back(connection)
        return answer

    def _reply(self, operation: Operation[Reply], answer: Answer) -> Reply:
        if answer.status >= 300:
            raise error_in(answer.status, answer.body)
        try:
            reply: Reply = asking(operation).reply(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise StoreUnavailable(
                f"{self._base_url} did not answer as Penstock does.", hint="Is this the address of a Penstock server?"
            ) from None
        return reply

    def _lost(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"The connection to {self._base_url} broke before the answer came.",
            hint="Whether it happened is not known. Look before you ask again.",
        )


def _address(base_url: str) -> tuple[SplitResult, int]:
    """Return the parts of a server's address, and its port. Raises InvalidRequest."""
    try:
        parts = urlsplit(base_url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        if parts.hostname and base_url.isascii() and base_url.isprintable():
            return parts, port
    except (ValueError, KeyError):
        pass
    raise InvalidRequest(f"{base_url!r} is no address of a server.", hint="Write http://host:port.", field="base_url")
