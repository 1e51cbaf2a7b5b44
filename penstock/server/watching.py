"""Sees every request and its answer from outside, for the access log and for traces. Not there unless asked for."""

import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter
from typing import Protocol

from penstock.core.errors import PenstockError
from penstock.server.connections import Answerer
from penstock.server.long_polls import Client, ClientGone
from penstock.wire.http import Request, Response

log = logging.getLogger("penstock.access")

GONE = 499
"""Stands for the status of a request whose client went before there was an answer."""

LONGEST_PATH = 200
_HANDLE = re.compile(r"(/deliveries/)[^/]+")


class Answered:
    """What became of a request. ``status`` is filled in when there is one."""

    __slots__ = ("status",)

    def __init__(self) -> None:
        self.status = 500


class Watcher(Protocol):
    """Is there around a request."""

    def around(self, request: Request) -> AbstractContextManager[Answered]:
        """Begin before a request is answered, and end after."""
        ...


class Watching:
    """Answers requests through another answerer, with a watcher around each.

    Args:
        answerer: answers.
        watchers: the outermost first.
    """

    def __init__(self, answerer: Answerer, *watchers: Watcher) -> None:
        self._answerer = answerer
        self._watchers = watchers

    async def answer(self, request: Request, headers: list[tuple[bytes, bytes]], client: Client) -> Response:
        return await self._answer(request, headers, client, 0)

    def refuse(self, request: Request, error: PenstockError) -> Response:
        response = self._answerer.refuse(request, error)
        for each in self._watchers:
            with each.around(request) as answered:
                answered.status = response.status
        return response

    async def _answer(self, request: Request, headers: list[tuple[bytes, bytes]], client: Client, at: int) -> Response:
        if at == len(self._watchers):
            return await self._answerer.answer(request, headers, client)
        with self._watchers[at].around(request) as answered:
            try:
                response = await self._answer(request, headers, client, at + 1)
            except ClientGone:
                answered.status = GONE
                raise
            answered.status = response.status
            return response


class AccessLog:
    """Writes a line for each request. Neither headers nor the query are in it: that is where secrets are."""

    @contextmanager
    def around(self, request: Request) -> Iterator[Answered]:
        answered = Answered()
        started = perf_counter()
        try:
            yield answered
        finally:
            milliseconds = round((perf_counter() - started) * 1000, 2)
            fields = {
                "request_id": request.request_id,
                "method": request.method[:20],
                "path": shown(request.path),
                "action": request.action,
                "status": answered.status,
                "milliseconds": milliseconds,
                "body_bytes": len(request.body),
                "account": request.account,
                "user": request.user,
                "source_ip": request.source_ip,
            }
            fields = {name: value for name, value in fields.items() if value != ""}
            log.info(
                "%s %s %s %s ms",
                request.method[:20],
                f"{fields['path']} {request.action}".rstrip(),
                answered.status,
                milliseconds,
                extra={"fields": fields},
            )


def shown(path: str) -> str:
    """Return a path as it may be shown: a receipt handle is what entitles to a delivery."""
    return _HANDLE.sub(r"\1...", path)[:LONGEST_PATH]
