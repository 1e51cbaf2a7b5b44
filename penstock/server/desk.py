"""Where people log in, and where keys and users are made, shown and changed by those who administer all queues: JSON
under ``/access/``."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from penstock.core.errors import AccessDenied, InvalidRequest, PenstockError
from penstock.core.rights import ROLES, Right
from penstock.server.auth import Gate
from penstock.server.browsers import Browsers
from penstock.server.directory.directory import Directory
from penstock.server.directory.roster import Roster
from penstock.server.directory.shapes import Grace, KeyWish
from penstock.server.directory.users import UserChange, Users, UserWish
from penstock.server.logins import Logins
from penstock.wire.http import Request, Response, Step
from penstock.wire.rest.problems import MethodNotAllowed, NotFound, refusal

MOUNT = "access"

_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_encode = msgspec.json.Encoder().encode


class _Login(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    secret: str


_Handle = Callable[[Request, str], Awaitable[Response]]


class Desk:
    """Answers what is asked below ``/access/``. A dialect only in how it refuses: nothing here is an operation.

    Args:
        directory: the keys of the store.
        users: the users of the store.
        roster: takes changes over at once.
        gate: knows whether anybody has to prove who they are.
        logins: knows who calls.
        browsers: keep pages of other sites away.
    """

    def __init__(
        self,
        directory: Directory,
        users: Users,
        roster: Roster,
        gate: Gate,
        logins: Logins,
        browsers: Browsers,
    ) -> None:
        self._directory = directory
        self._users = users
        self._logins = logins
        self._roster = roster
        self._gate = gate
        self._browsers = browsers
        self._routes: tuple[tuple[str, re.Pattern[str], _Handle], ...] = (
            ("GET", re.compile(r"me"), self._me),
            ("GET", re.compile(r"keys"), self._list_keys),
            ("POST", re.compile(r"keys"), self._create_key),
            ("POST", re.compile(r"keys/([^/]+)/rotate"), self._rotate_key),
            ("POST", re.compile(r"keys/([^/]+)/revoke"), self._revoke_key),
            ("GET", re.compile(r"users"), self._list_users),
            ("POST", re.compile(r"users"), self._create_user),
            ("PATCH", re.compile(r"users/([^/]+)"), self._change_user),
            ("DELETE", re.compile(r"users/([^/]+)"), self._delete_user),
        )

    async def answer(self, request: Request, headers: list[tuple[bytes, bytes]]) -> Response:
        """Return the answer to a request.

        Raises:
            PenstockError: what it asks cannot be had, or not by them.
        """
        if self._browsers.is_other_site(request):
            raise AccessDenied("A page of another site may not do this.", hint="Call from a program.")
        self._browsers.check_name(request)
        place = request.path.removeprefix(f"/{MOUNT}/")
        if request.method == "POST" and place in ("login", "logout"):
            return await (self._log_in(request) if place == "login" else self._log_out(request))
        matches = [(method, handle, found) for method, path, handle in self._routes if (found := path.fullmatch(place))]
        if not matches:
            raise NotFound(f"There is nothing at {request.path[:200]!r}.", hint="See docs/security.md.")
        for method, handle, found in matches:
            if method == request.method:
                await self._logins.identify(request, headers)
                return await handle(request, found[1] if found.re.groups else "")
        allowed = ", ".join(sorted(method for method, _, _ in matches))
        raise MethodNotAllowed(
            f"{request.method[:20]} is not understood here.", hint=f"Use {allowed}.", allowed=allowed
        )

    def decode(self, request: Request) -> Step:
        raise NotFound(f"There is nothing at {request.path[:200]!r}.", hint="See docs/security.md.")

    def refuse(self, request: Request, error: PenstockError) -> Response:
        return refusal(error)

    async def _me(self, request: Request, _: str) -> Response:
        return _answered(
            {
                "account": request.account,
                "user": request.user,
                "allow": [str(each) for each in request.rights.grants],
                "grants": [
                    {"rights": sorted(ROLES[each.role]), "pattern": each.pattern} for each in request.rights.grants
                ],
                "is_open": self._gate.is_open,
                "is_login": bool(request.session),
            }
        )

    # -- logins --------------------------------------------------------------------------------------------------------

    async def _log_in(self, request: Request) -> Response:
        asked = _read(request, _Login)
        cookie = await self._logins.begin(request, asked.name, asked.secret)
        return Response(204, (*_HEADERS[1:], (b"set-cookie", cookie)), b"")

    async def _log_out(self, request: Request) -> Response:
        cookie = await self._logins.end(request)
        return Response(204, (*_HEADERS[1:], (b"set-cookie", cookie)), b"")

    # -- keys ----------------------------------------------------------------------------------------------------------

    async def _list_keys(self, request: Request, _: str) -> Response:
        self._check_admin(request)
        return _answered({"keys": await self._directory.list_keys()})

    async def _create_key(self, request: Request, _: str) -> Response:
        self._check_admin(request)
        wish = _read(request, KeyWish)
        self._check_first(wish.allow)
        made = await self._directory.create_key(wish, _name(request))
        await self._roster.look()
        return _answered(made, 201)

    async def _rotate_key(self, request: Request, key_id: str) -> Response:
        self._check_admin(request)
        made = await self._directory.rotate_key(key_id, _read(request, Grace), _name(request))
        await self._roster.look()
        return _answered(made, 201)

    async def _revoke_key(self, request: Request, key_id: str) -> Response:
        self._check_admin(request)
        revoked = await self._directory.revoke_key(key_id, _name(request))
        await self._roster.look()
        return _answered(revoked)

    # -- users ---------------------------------------------------------------------------------------------------------

    async def _list_users(self, request: Request, _: str) -> Response:
        self._check_admin(request)
        return _answered({"users": await self._users.list_users()})

    async def _create_user(self, request: Request, _: str) -> Response:
        self._check_admin(request)
        wish = _read(request, UserWish)
        self._check_first(wish.allow)
        made = await self._users.create_user(wish, _name(request))
        await self._roster.look()
        return _answered(made, 201)

    async def _change_user(self, request: Request, name: str) -> Response:
        self._check_admin(request)
        changed = await self._users.change_user(name, _read(request, UserChange))
        await self._roster.look()
        return _answered(changed)

    async def _delete_user(self, request: Request, name: str) -> Response:
        self._check_admin(request)
        deleted = await self._users.delete_user(name)
        await self._roster.look()
        return _answered(deleted)

    def _check_first(self, allow: tuple[str, ...]) -> None:
        """Refuse to close the gate behind everybody who could open it again."""
        if self._gate.is_open and not {"admin", "admin:*"} & set(allow):
            raise InvalidRequest(
                "The first key or user makes this server ask for one, and this one could make no others.",
                hint="Make one with --allow admin first.",
                field="allow",
            )

    def _check_admin(self, request: Request) -> None:
        if request.account != self._gate.account and not self._gate.is_open:
            raise AccessDenied(
                f"Account {request.account} may not administer this server.",
                hint="Use a key of the server's own account.",
            )
        if not request.rights.allows(Right.ADMIN, ""):
            raise AccessDenied(
                f"{request.user} may not administer this server.", hint="It needs a key or login that is allowed admin."
            )


def _name(request: Request) -> str:
    return request.user or "anybody"


def _read(request: Request, kind: Any) -> Any:
    try:
        return msgspec.json.decode(request.body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{str(error).replace('`', '')}.", hint="See docs/security.md.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body is not JSON.", hint="Send one JSON object in UTF-8.") from None


def _answered(value: Any, status: int = 200) -> Response:
    return Response(status, _HEADERS, _encode(value) + b"\n")
