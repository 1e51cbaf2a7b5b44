"""AWS Signature Version 4, verified: of a header or of a presigned URL.

Source: IAM user guide, "Create a signed AWS API request"; the words of refusals as AWS has them.
"""

from calendar import timegm
from collections.abc import Callable, Mapping
from hashlib import sha256
from hmac import compare_digest, digest
from time import gmtime, strftime
from typing import Any

from penstock.core.errors import NotAuthenticated
from penstock.server.options import Key
from penstock.server.sigv4_claims import (
    ALGORITHM,
    INSTANT,
    Claim,
    Scope,
    claim_in_header,
    claim_in_query,
    header_lines,
    incomplete,
    mismatch,
    path_as_signed,
    query_as_signed,
    shown,
)
from penstock.wire.http import Request

SKEW_SECONDS = 15 * 60
"""How far the caller's clock may be off (IAM user guide)."""

_EMPTY_HASH = sha256(b"").hexdigest().encode()
_MOST_CACHED = 1000
_BLOCK_BYTES = 64


class SigV4:
    """Verifies signatures.

    Args:
        keys: by access key id.
        now: the time in seconds since the epoch.
    """

    def __init__(self, keys: Mapping[str, Key], now: Callable[[], float]) -> None:
        self._keys = keys
        self._now = now
        self._scopes: dict[bytes, Scope] = {}
        self._signers: dict[tuple[str, bytes], Signer] = {}
        self._last_instant = (b"", 0)

    def verify(self, request: Request, headers: list[tuple[bytes, bytes]]) -> tuple[Key, str]:
        """Return whose request it is and for which region.

        Args:
            request: whole.
            headers: all of the request's, in order.

        Raises:
            NotAuthenticated: with ``field`` saying what is wrong.
        """
        is_in_header = request.headers.get(b"authorization", b"").startswith(ALGORITHM)
        claim = claim_in_header(request, self._scopes) if is_in_header else claim_in_query(request)
        scope = claim.scope
        key = self._keys.get(scope.access_key_id)
        if key is None:
            raise invalid_access_key()
        self._check_date(claim)
        signer = self._signers.get((scope.access_key_id, scope.text)) or self._new_signer(key, scope)
        for query in query_as_signed(request.query):
            if compare_digest(signer.sign(_string_to_sign(request, headers, claim, query)), claim.signature):
                return key, scope.region
        raise mismatch(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )

    def _check_date(self, claim: Claim) -> None:
        now = self._now()
        signed_at = self._seconds(claim.instant)
        lasts_seconds = SKEW_SECONDS if claim.expires_seconds is None else claim.expires_seconds
        if now > signed_at + lasts_seconds:
            raise NotAuthenticated(
                f"Signature expired: {claim.instant.decode()} is now earlier than {_instant(now - lasts_seconds)} "
                f"({_instant(now)} - {lasts_seconds // 60} min.)",
                hint="Sign it anew; check this machine's and the server's clock.",
                field="date",
            )
        if signed_at > now + SKEW_SECONDS:
            raise NotAuthenticated(
                f"Signature not yet current: {claim.instant.decode()} is still later than "
                f"{_instant(now + SKEW_SECONDS)} ({_instant(now)} + {SKEW_SECONDS // 60} min.)",
                hint="Check this machine's and the server's clock.",
                field="date",
            )

    def _seconds(self, instant: bytes) -> int:
        """Return an instant in seconds since the epoch; requests of one client mostly name the one before again."""
        if instant != self._last_instant[0]:
            match = INSTANT.fullmatch(instant)
            if match is None:
                raise incomplete(f"Date must be in ISO-8601 'basic format'. Got '{shown(instant)}'.")
            self._last_instant = (instant, timegm(tuple(map(int, match.groups()))))
        return self._last_instant[1]

    def _new_signer(self, key: Key, scope: Scope) -> "Signer":
        signing_key = b"AWS4" + key.secret.encode()
        for part in scope.text.split(b"/"):
            signing_key = digest(signing_key, part, "sha256")
        if len(self._signers) >= _MOST_CACHED:
            self._signers.clear()
        signer = self._signers[key.access_key_id, scope.text] = Signer(signing_key)
        return signer


class Signer:
    """HMAC-SHA-256 (RFC 2104) under one key, whose two hash states are kept: it halves the cost of ``hmac.digest``."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        assert len(key) <= _BLOCK_BYTES
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner: Any = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer: Any = sha256(bytes(byte ^ 0x5C for byte in block))

    def sign(self, text: bytes) -> bytes:
        """Return the code of a text in hexadecimal digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        code: str = outer.hexdigest()
        return code.encode()


def invalid_access_key() -> NotAuthenticated:
    """The error of a key nobody has, or of a pair that does not belong together."""
    return NotAuthenticated(
        "The security token included in the request is invalid.",
        hint="Use an access key of the server's configuration.",
        field="access_key",
    )


def _string_to_sign(request: Request, headers: list[tuple[bytes, bytes]], claim: Claim, query: bytes) -> bytes:
    body = request.body
    canonical = b"%s\n%s\n%s\n%s\n\n%s\n%s" % (
        request.method.encode(),
        path_as_signed(request.raw_path),
        query,
        header_lines(request.headers, headers, claim.scope),
        claim.scope.signed_headers,
        sha256(body).hexdigest().encode() if body else _EMPTY_HASH,
    )
    return b"AWS4-HMAC-SHA256\n%s\n%s\n%s" % (claim.instant, claim.scope.text, sha256(canonical).hexdigest().encode())


def _instant(seconds: float) -> str:
    return strftime("%Y%m%dT%H%M%SZ", gmtime(seconds))
