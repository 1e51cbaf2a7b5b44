"""Keeps web pages of other sites away from a server that asks nobody for keys.

A browser sends what any page tells it to, also to this machine's own ports. Two rules: a page of another site changes
nothing (cross-site request forgery), and a server on a loopback address is called by a name that it knows (DNS
rebinding). Sources: "Fetch Metadata Request Headers" (W3C); client libraries send none of these headers.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from penstock.core.errors import AccessDenied
from penstock.core.operations import (
    DescribeQueue,
    Find,
    FindRecords,
    GetRecords,
    ListGroups,
    ListMoves,
    ListQueues,
    Operation,
    Peek,
    ReadEvents,
    ReadHistory,
)
from penstock.server.options import ServerOptions, is_loopback
from penstock.wire.http import Request

_LOOKS = frozenset(
    {
        DescribeQueue,
        Find,
        FindRecords,
        GetRecords,
        ListGroups,
        ListMoves,
        ListQueues,
        Peek,
        ReadEvents,
        ReadHistory,
    }
)
"""Operations that change nothing. What they tell, a browser hides from pages of other sites."""

_MOST_HOSTS = 1000
_OWN_SITE = (b"same-origin", b"none")


class Browsers:
    """Looks at what a browser says of a request.

    Args:
        options: where the server listens, and what it is called.
    """

    def __init__(self, options: ServerOptions) -> None:
        public = urlsplit(options.public_url or "")
        self._public_host = public.netloc.encode()
        self._names = {options.host.lower(), public.hostname}
        self._guards_name = is_loopback(options.host)
        self._known_hosts: set[bytes] = set()

    def check_name(self, request: Request) -> None:
        """Refuse a browser that calls a server on a loopback address by a name of somebody's choice.

        Raises:
            AccessDenied: it does.
        """
        host = request.host
        if self._guards_name and host not in self._known_hosts:
            if self._is_own_name(host):
                if len(self._known_hosts) < _MOST_HOSTS:
                    self._known_hosts.add(host)
            elif _is_browser(request.headers):
                raise AccessDenied(
                    f"This server is not known by the name {host.decode('latin-1')[:200]!r}.",
                    hint="Open it as localhost, or set public_url to the address that browsers are to use.",
                )

    def is_other_site(self, request: Request) -> bool:
        """Return whether a page of another site made a browser send a request.

        Another port of this machine is another site too: browsers call it ``same-site``, but who serves a page there is
        as much a stranger.
        """
        site = request.headers.get(b"sec-fetch-site")
        if site is not None:
            return site not in _OWN_SITE
        origin = request.headers.get(b"origin")
        if origin is None:
            return False
        where = origin.partition(b"://")[2]  # of "null", a page without an origin, there is nothing
        return not where or where not in (request.host, self._public_host)

    def check(self, operation: Operation[Any]) -> None:
        """Refuse what another site must not do.

        Raises:
            AccessDenied: the operation changes something.
        """
        if type(operation) not in _LOOKS:
            raise AccessDenied(
                "A page of another site may not do this.",
                hint="Call from a program, or have keys asked for and send one.",
            )

    def _is_own_name(self, host: bytes) -> bool:
        text = host.decode("latin-1").lower()
        name = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0].removesuffix(".")
        return not name or is_loopback(name) or name.endswith(".localhost") or name in self._names


def _is_browser(headers: Mapping[bytes, bytes]) -> bool:
    """Browsers leave out the first two over plain HTTP from a name that is not this machine's."""
    return b"sec-fetch-site" in headers or b"origin" in headers or headers.get(b"user-agent", b"")[:8] == b"Mozilla/"
