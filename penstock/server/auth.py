"""Who is calling: the gate every request goes through, and the keys that open it.

Where keys are asked for, a request proves itself by AWS Signature Version 4, or with ``Authorization: Bearer
<key id>:<secret>``, or by HTTP Basic with the same pair. Elsewhere everybody may call, on behalf of the account and
region that the request claims. ``field`` of the NotAuthenticated raised tells what is wrong: ``authorization`` (none
given), ``signature_form``, ``access_key``, ``signature`` or ``date``.
"""

import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from time import time

from penstock.core.errors import NotAuthenticated
from penstock.server.directory.throttle import Throttle
from penstock.server.options import Key
from penstock.server.sigv4 import SigV4, invalid_access_key
from penstock.server.sigv4_claims import ALGORITHM
from penstock.wire.http import Request

_GUESSES = ("access_key", "signature")
"""Kinds of NotAuthenticated that somebody gets who tries secrets."""

MOST_WRONG = 100
"""So many wrong secrets for a key from an address within five minutes make it wait: no guessing, and no flood of it."""

_ACCOUNT = re.compile(rb"\d{12}")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_CLAIM = re.compile(rb"Credential=([^/,\s&]{1,128})/\d{8}/([a-z0-9-]{1,40})/")
_CLAIM_IN_QUERY = re.compile(
    rb"X-Amz-Credential=([^/&%]{1,128})(?:/|%2[Ff])\d{8}(?:/|%2[Ff])([a-z0-9-]{1,40})(?:/|%2[Ff])"
)


class Gate:
    """Finds out who is calling.

    Args:
        keys: who may call in any case; none: everybody, unless the gate is closed.
        account, region: on whose behalf requests are that do not say.
        is_closed: whether keys are asked for though there are none yet.
        throttle: makes those wait who guess; one of its own if not given.
        now: the time in seconds since the epoch, against which signatures are checked.

    Attributes:
        is_open: everybody may call.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        *,
        account: str,
        region: str,
        is_closed: bool = False,
        throttle: Throttle | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        self.account = account
        self.region = region
        self._own = {key.access_key_id: key for key in keys}
        self._keys = dict(self._own)
        self._sigv4 = SigV4(self._keys, now)
        self._throttle = throttle or Throttle(MOST_WRONG, 10 * MOST_WRONG)
        self.is_open = not (self._keys or is_closed)

    @property
    def key_count(self) -> int:
        """How many keys open it."""
        return len(self._keys)

    def admit(self, keys: Mapping[str, Key], *, closes: bool) -> None:
        """Let the holders of these keys call too, and no longer those of the ones before.

        Args:
            keys: by id; the gate's own count for more.
            closes: keys are asked for from now on. There is no way back, so that revoking the last key opens nothing.
        """
        self._keys.clear()
        self._keys.update(keys)
        self._keys.update(self._own)
        self.is_open = self.is_open and not closes

    def identify(self, request: Request, headers: list[tuple[bytes, bytes]]) -> None:
        """Write into a request on whose behalf it is.

        Args:
            request: whole.
            headers: all of the request's, in order.

        Raises:
            NotAuthenticated: keys are needed, and the caller did not prove to have one.
            TooManyFailures: they, or others from there, have tried too often.
        """
        authorization = request.headers.get(b"authorization", b"")
        if self.is_open:
            self._believe(request, authorization)
            return
        if self._throttle.is_watching:
            self._throttle.check(request.source_ip, _claimed(request, authorization))
        try:
            self._prove(request, headers, authorization)
        except NotAuthenticated as error:
            if error.problem.field in _GUESSES:
                self._throttle.failed(request.source_ip, _claimed(request, authorization))
            raise
        if self._throttle.is_watching:
            self._throttle.succeeded(request.source_ip, _claimed(request, authorization))

    def find_key(self, access_key_id: str) -> Key | None:
        """Return a key that may call, by its id."""
        return self._keys.get(access_key_id)

    def key_of(self, access_key_id: str, secret: str) -> Key | None:
        """Return the key that a pair is of, if it is right; it takes as long if not."""
        key = self._keys.get(access_key_id)
        is_right = hmac.compare_digest(secret.encode(errors="replace"), b"" if key is None else key.secret.encode())
        return key if is_right else None

    def _prove(self, request: Request, headers: list[tuple[bytes, bytes]], authorization: bytes) -> None:
        if authorization.startswith(ALGORITHM) or b"X-Amz-Signature=" in request.query:
            key, region = self._sigv4.verify(request, headers)
            request.account, request.user, request.rights = key.account, key.user, key.rights
            request.region = region if _REGION.fullmatch(region) else self.region
        elif authorization:
            key = self._key_of_pair(authorization)
            request.account, request.user, request.rights = key.account, key.user, key.rights
        else:
            raise NotAuthenticated(
                "Request is missing Authentication Token",
                hint="Sign it as AWS SDKs do, or send 'Authorization: Bearer <key id>:<secret>'.",
                field="authorization",
            )

    def _believe(self, request: Request, authorization: bytes) -> None:
        if authorization:
            claim = _CLAIM.search(authorization)
        elif b"X-Amz-Credential=" in request.query:
            claim = _CLAIM_IN_QUERY.search(request.query)
        else:
            return
        if claim is not None:
            access_key_id, region = claim.groups()
            if _ACCOUNT.fullmatch(access_key_id):
                request.account = access_key_id.decode()
            request.region = region.decode()

    def _key_of_pair(self, authorization: bytes) -> Key:
        access_key_id, secret = _pair_in(authorization)
        key = self.key_of(access_key_id, secret)
        if key is None:
            raise invalid_access_key()
        return key


def _pair_in(authorization: bytes) -> tuple[str, str]:
    """Return the halves of a key that a header brings as they are; empty where it brings none."""
    scheme, _, pair = authorization.partition(b" ")
    pair = pair.strip()
    if scheme.lower() == b"basic":
        try:
            pair = binascii.a2b_base64(pair, strict_mode=True)
        except ValueError:
            pair = b""
    elif scheme.lower() != b"bearer":
        pair = b""
    access_key_id, _, secret = pair.partition(b":")
    return access_key_id.decode(errors="replace"), secret.decode(errors="replace")


def _claimed(request: Request, authorization: bytes) -> str:
    """Return whom a request claims to be from."""
    claim = _CLAIM.search(authorization) if authorization else _CLAIM_IN_QUERY.search(request.query)
    return claim[1].decode("ascii", "replace") if claim is not None else _pair_in(authorization)[0]
