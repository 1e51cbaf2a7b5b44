"""What a server serves beside its own dialects: pages and a dialect of somebody else's, under a name of their own."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from penstock.wire.http import Dialect, Request, Response

Page = Callable[[Request], Awaitable[Response]]
"""Answers for itself, not for the queues."""


class Mount(Struct, frozen=True):
    """Something to serve.

    Attributes:
        name: the first part of its paths.
        dialect: answers there, to those who may call.
        pages: by whole path, for everybody.
        home: where browsers are sent that open the server's address; ``None``: nowhere.
    """

    name: str
    dialect: Dialect
    pages: Mapping[str, Page]
    home: str | None = None
