"""Logging in: a name and a password, or a key, for a cookie; and whose request one is that brings such a cookie.

A cookie is sent by the browser whatever page asked, so a request that relies on one must come from a page of this
server, and one that changes something must carry a header that pages of other sites cannot set (cross-site request
forgery). Cookies count only where requests mean the same in every dialect: for the console, REST and ``/access/``.
"""

import re

from penstock.core.errors import AccessDenied, NotAuthenticated
from penstock.server.auth import Gate
from penstock.server.browsers import Browsers
from penstock.server.directory.masters import digest_of
from penstock.server.directory.roster import Roster
from penstock.server.directory.sessions import Session, Sessions
from penstock.server.directory.throttle import Throttle
from penstock.server.directory.users import Users
from penstock.wire.http import Request

HEADER = b"x-penstock-console"
"""Set by the console's pages on all they ask."""

_PLACES = ("/v1/", "/console/", "/access/", "/metrics")
_SAFE = ("GET", "HEAD")
_PORT = re.compile(rb":(\d{1,5})$")


class Logins:
    """Begins and ends sessions, and finds out whose requests are.

    Args:
        gate: knows keys, and everybody where it is open.
        roster: knows users.
        users: checks their passwords.
        sessions: keeps the logins.
        browsers: tell pages of other sites.
        throttle: makes those wait who guess.
    """

    def __init__(
        self,
        gate: Gate,
        roster: Roster,
        users: Users,
        sessions: Sessions,
        browsers: Browsers,
        throttle: Throttle,
    ) -> None:
        self._gate = gate
        self._roster = roster
        self._users = users
        self._sessions = sessions
        self._browsers = browsers
        self._throttle = throttle

    async def identify(self, request: Request, headers: list[tuple[bytes, bytes]]) -> None:
        """Write into a request on whose behalf it is, where it brings cookies.

        Raises:
            NotAuthenticated: the caller did not prove who they are, or no longer.
            AccessDenied: another site's page made the browser send it.
        """
        token = None if self._gate.is_open or b"authorization" in request.headers else _token_in(request)
        if token is None or not request.path.startswith(_PLACES):
            self._gate.identify(request, headers)
            return
        if self._browsers.is_other_site(request):
            raise AccessDenied("A page of another site may not do this.", hint="Use a key, or this server's console.")
        if request.method not in _SAFE and HEADER not in request.headers:
            raise AccessDenied(
                "A login is only for the console.", hint=f"Use a key, or send the header {HEADER.decode()}: 1."
            )
        digest = digest_of(token)
        session = await self._sessions.find(digest)
        if session is None or not self._stands(session, request):
            raise NotAuthenticated("You are no longer logged in.", hint="Log in again.", field="session")
        request.session = digest

    async def begin(self, request: Request, name: str, secret: str) -> bytes:
        """Return the cookie of a new session.

        Args:
            request: asks for it.
            name: of a user, or the id of a key.
            secret: their password, or the key's.

        Raises:
            NotAuthenticated: they do not belong together.
            TooManyFailures: they, or others from there, have tried too often.
        """
        self._throttle.check(request.source_ip, name)
        key = self._gate.key_of(name, secret)
        user = None if key is not None else self._roster.users.get(name)
        kept = None if user is None else user.password
        is_right = key is not None or await self._users.passwords.is_right(secret, kept)
        if not is_right:
            self._throttle.failed(request.source_ip, name)
            raise NotAuthenticated("Name or secret is wrong.", hint="Mind upper and lower case.", field="secret")
        self._throttle.succeeded(request.source_ip, name)
        stamp = 0 if user is None else user.password_at
        token = await self._sessions.begin("key" if user is None else "user", name, stamp)
        return _cookie(request, token, b"")

    async def end(self, request: Request) -> bytes:
        """End the session of a request, if it has one, and return the cookie that takes its cookie away."""
        token = _token_in(request)
        if token is not None:
            await self._sessions.end(digest_of(token))
        return _cookie(request, "", b"; Max-Age=0")

    def _stands(self, session: Session, request: Request) -> bool:
        """Return whether who logged in still may; write who that is into the request."""
        if session.kind == "key":
            key = self._gate.find_key(session.name)
            if key is None:
                return False
            request.account, request.user, request.rights = key.account, key.user, key.rights
            return True
        user = self._roster.users.get(session.name)
        if user is None or user.password_at != session.stamp:
            return False
        request.account, request.user = user.account, user.name
        request.rights = self._roster.rights_of_user(user.name)
        return True


def _cookie_name(request: Request) -> bytes:
    """Cookies of all ports of a host are one heap: each server's has a name of its own."""
    port = _PORT.search(request.host)
    name = b"penstock" + (b"-" + port[1] if port else b"")
    return b"__Host-" + name if request.scheme == "https" else name


def _token_in(request: Request) -> str | None:
    wanted = _cookie_name(request)
    for each in request.headers.get(b"cookie", b"").split(b";"):
        name, _, value = each.strip().partition(b"=")
        if name == wanted and value:
            return value.decode("ascii", "replace")[:100]
    return None


def _cookie(request: Request, token: str, more: bytes) -> bytes:
    secure = b"; Secure" if request.scheme == "https" else b""
    return b"%s=%s; Path=/; HttpOnly; SameSite=Strict%s%s" % (_cookie_name(request), token.encode(), secure, more)
