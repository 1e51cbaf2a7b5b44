"""Who answers a request, and the walk from request over operations to response.

The one place where errors of every kind become answers: a caller never sees a stack trace.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.errors import PenstockError, QueueNotFound
from penstock.core.messages import Delivery
from penstock.core.operations import Receive, Settle
from penstock.core.settlements import GiveBack, Settlement
from penstock.server.access import Access
from penstock.server.browsers import Browsers
from penstock.server.dialects import Dialects
from penstock.server.entrance import Entrance
from penstock.server.long_polls import Client, ClientGone, LongPolls
from penstock.server.mounts import Page
from penstock.server.reserved import TOUCHES_RECORDS, check_records, without_reserved
from penstock.server.watching import shown
from penstock.wire.http import Call, Dialect, Request, Response

log = logging.getLogger("penstock.server")

_QUIET_SECONDS = 10
_SPEECHLESS = Response(500, ((b"content-type", b"text/plain"),), b"Something went wrong inside the server.\n")
_ALLOWED = Response(204, ((b"allow", b"GET, HEAD, POST, OPTIONS"),), b"")


class Dispatch:
    """Answers requests.

    Args:
        broker: performs the operations.
        dialects: what requests may be written in.
        entrance: finds out who is calling, and what they may do.
        open_pages: by path, for everybody.
        closed_pages: by path, for those who may call.
    """

    def __init__(
        self,
        broker: Broker,
        dialects: Dialects,
        entrance: Entrance,
        *,
        open_pages: Mapping[str, Page],
        closed_pages: Mapping[str, Page],
    ) -> None:
        self.account = entrance.gate.account
        self.region = entrance.gate.region
        self.long_polls = LongPolls(broker)
        self._perform = broker.perform
        self._dialects = dialects
        self._gate = entrance.gate
        self._access = entrance.access
        self._browsers = entrance.browsers
        self._logins = entrance.logins
        self._desk = entrance.desk
        self._pages = {**open_pages, **closed_pages}
        self._open_paths = frozenset(open_pages)
        self._quiet_until: dict[str, float] = {}

    async def answer(
        self,
        request: Request,
        headers: list[tuple[bytes, bytes]],
        client: Client,
    ) -> Response:
        """Return the answer to a request, whatever happens.

        Args:
            request: whole.
            headers: all of the request's, in order.
            client: who waits for it.

        Raises:
            ClientGone: the client went before there was an answer.
        """
        if request.path in self._pages and b"x-amz-target" not in request.headers:
            return await self._show(request, headers)
        dialect = self._dialects.of(request)
        try:
            if request.method == "OPTIONS":
                return self._options(dialect, request)
            if dialect is self._desk:
                return await self._desk.answer(request, headers)
            if b"cookie" in request.headers:
                await self._logins.identify(request, headers)
            else:
                self._gate.identify(request, headers)
            try:
                return await self._walk(dialect, request, client)
            except QueueNotFound:
                home = self._dialects.home_queue(dialect)
                if home is None:
                    raise
                await self._perform(home)
                return await self._walk(dialect, request, client)
        except PenstockError as error:
            if error.fault == "server":
                self._note(request, error)
            return self._refusal(dialect, request, error)
        except ClientGone:
            raise
        except Exception:
            return self._failure(dialect, request)

    def refuse(self, request: Request, error: PenstockError) -> Response:
        """Return an error in the words of the dialect a request is in."""
        return self._refusal(self._dialects.of(request), request, error)

    def _options(self, dialect: Dialect, request: Request) -> Response:
        """Answer what browsers ask before they send anything, and so without proof of who they are."""
        if dialect is self._dialects.sqs_json or dialect is self._dialects.sqs_query:
            return _ALLOWED
        step = dialect.decode(request)
        return step if isinstance(step, Response) else _ALLOWED

    async def _walk(
        self,
        dialect: Dialect,
        request: Request,
        client: Client,
    ) -> Response:
        access: Access | None = self._access
        browsers: Browsers | None = None
        if self._gate.is_open:
            access, browsers = None, self._watched(dialect, request)
        step = dialect.decode(request)
        taken: tuple[Delivery, ...] = ()
        while isinstance(step, Call):
            operation = step.operation
            if access is not None and not access.is_plain(request, operation):
                await access.check(request, operation)
            elif browsers is not None:
                browsers.check(operation)
            touches_records = type(operation) in TOUCHES_RECORDS
            if touches_records:
                check_records(operation)
            reply: Any
            if type(operation) is Receive:
                if operation.wait_seconds == 0:
                    reply = await self._perform(operation)
                else:
                    reply = await self.long_polls.perform(operation, client)
                if reply.deliveries:
                    taken = (*taken, *reply.deliveries)
                    if client.has_gone:
                        await self._give_back(operation.queue, taken)
                        raise ClientGone
            else:
                reply = await self._perform(operation)
            if access is not None:
                access.performed(operation)
                reply = access.seen(request, operation, reply)
            if touches_records:
                reply = without_reserved(operation, reply)
            step = step.then(reply)
        return step

    def _watched(self, dialect: Dialect, request: Request) -> Browsers | None:
        """Return who has to look at the operations of a request, if anybody has to."""
        if self._dialects.is_open_to_pages(dialect):
            return None
        self._browsers.check_name(request)
        return self._browsers if self._browsers.is_other_site(request) else None

    async def _give_back(self, queue: str, deliveries: tuple[Delivery, ...]) -> None:
        """Nobody is there to take them."""
        await self._perform(Settle(tuple(Settlement(queue, each.receipt_handle, GiveBack()) for each in deliveries)))

    async def _show(self, request: Request, headers: list[tuple[bytes, bytes]]) -> Response:
        try:
            if request.path not in self._open_paths:
                if self._gate.is_open:
                    self._browsers.check_name(request)
                await self._logins.identify(request, headers)
                self._access.check_page(request)
            if request.method not in ("GET", "HEAD"):
                return Response(405, ((b"allow", b"GET, HEAD"), (b"content-type", b"text/plain")), b"Use GET.\n")
            return await self._pages[request.path](request)
        except PenstockError as error:
            return self._dialects.rest.refuse(request, error)
        except Exception:
            return self._failure(self._dialects.rest, request)

    def _failure(self, dialect: Dialect, request: Request) -> Response:
        which = {"request_id": request.request_id}
        log.exception(
            "request %s failed: %s %s", request.request_id, request.method[:20], shown(request.path), extra=which
        )
        error = PenstockError(
            "Something went wrong inside the server; nothing is known to have changed.",
            hint=f"Its log tells more under {request.request_id}.",
        )
        response = self._refusal(dialect, request, error)
        return response if response.status >= 500 else structs.replace(response, status=500)

    def _refusal(self, dialect: Dialect, request: Request, error: PenstockError) -> Response:
        try:
            return dialect.refuse(request, error)
        except Exception:
            which = {"request_id": request.request_id}
            log.exception("request %s cannot be refused: %s", request.request_id, error.code, extra=which)
            return _SPEECHLESS

    def _note(self, request: Request, error: PenstockError) -> None:
        """Log a failure of the server, but not one of the same kind for every request while it lasts."""
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until.get(error.code, 0):
            self._quiet_until[error.code] = now + _QUIET_SECONDS
            which = {"request_id": request.request_id}
            log.error("request %s failed: %s: %s", request.request_id, error.code, error, extra=which)
