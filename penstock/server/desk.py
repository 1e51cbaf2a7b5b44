"""Where keys are made, shown, rotated and revoked: JSON under ``/access/``, for those who administer all queues."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from penstock.core.errors import AccessDenied, InvalidRequest, PenstockError
from penstock.core.rights import Right
from penstock.server.auth import Gate
from penstock.server.browsers import Browsers
from penstock.server.directory.directory import Directory
from penstock.server.directory.roster import Roster
from penstock.server.directory.shapes import Grace, KeyWish
from penstock.wire.http import Request, Response, Step
from penstock.wire.rest.problems import MethodNotAllowed, NotFound, refusal

MOUNT = "access"

_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_encode = msgspec.json.Encoder().encode

_Handle = Callable[[Request, str], Awaitable[Response]]


class Desk:
    """Answers what is asked below ``/access/``. A dialect only in how it refuses: nothing here is an operation.

    Args:
        directory: the keys of the store.
        roster: takes changes over at once.
        gate: knows who calls.
        browsers: keep pages of other sites away.
    """

    def __init__(self, directory: Directory, roster: Roster, gate: Gate, browsers: Browsers) -> None:
        self._directory = directory
        self._roster = roster
        self._gate = gate
        self._browsers = browsers
        self._routes: tuple[tuple[str, re.Pattern[str], _Handle], ...] = (
            ("GET", re.compile(r"me"), self._me),
            ("GET", re.compile(r"keys"), self._list_keys),
            ("POST", re.compile(r"keys"), self._create_key),
            ("POST", re.compile(r"keys/([^/]+)/rotate"), self._rotate_key),
            ("POST", re.compile(r"keys/([^/]+)/revoke"), self._revoke_key),
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
        matches = [(method, handle, found) for method, path, handle in self._routes if (found := path.fullmatch(place))]
        if not matches:
            raise NotFound(f"There is nothing at {request.path[:200]!r}.", hint="See docs/security.md.")
        for method, handle, found in matches:
            if method == request.method:
                self._gate.identify(request, headers)
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
                "is_open": self._gate.is_open,
            }
        )

    # -- keys ----------------------------------------------------------------------------------------------------------

    async def _list_keys(self, request: Request, _: str) -> Response:
        self._check_admin(request)
        return _answered({"keys": await self._directory.list_keys()})

    async def _create_key(self, request: Request, _: str) -> Response:
        self._check_admin(request)
        wish = _read(request, KeyWish)
        if self._gate.is_open and not {"admin", "admin:*"} & set(wish.allow):
            raise InvalidRequest(
                "The first key makes this server ask for keys, and this one could make no others.",
                hint="Make one with --allow admin first.",
                field="allow",
            )
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
