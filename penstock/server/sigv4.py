"""AWS Signature Version 4, verified: of a header or of a presigned URL.

Source: IAM user guide, "Create a signed AWS API request"; the words of refusals as AWS has them.
"""

import hmac
from calendar import timegm
from collections.abc import Callable, Mapping
from hashlib import sha256
from time import gmtime, strftime

from penstock.core.errors import NotAuthenticated
from penstock.server.options import Key
from penstock.server.sigv4_claims import (
    ALGORITHM,
    INSTANT,
    Claim,
    claim_in_header,
    claim_in_query,
    header_values,
    mismatch,
    path_as_signed,
    query_as_signed,
)
from penstock.wire.http import Request

SKEW_SECONDS = 15 * 60
"""How far the caller's clock may be off (IAM user guide)."""

_EMPTY_HASH = sha256(b"").hexdigest().encode()
_MOST_CACHED = 1000


class SigV4:
    """Verifies signatures.

    Args:
        keys: by access key id.
        now: the time in seconds since the epoch.
    """

    def __init__(self, keys: Mapping[str, Key], now: Callable[[], float]) -> None:
        self._keys = keys
        self._now = now
        self._signing_keys: dict[tuple[str, bytes], bytes] = {}
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
        claim = claim_in_header(request) if is_in_header else claim_in_query(request)
        key = self._keys.get(claim.access_key_id)
        if key is None:
            raise invalid_access_key()
        self._check_date(claim)
        signing_key = self._signing_key(key, claim)
        for query in query_as_signed(request.query):
            expected = hmac.digest(signing_key, _string_to_sign(request, headers, claim, query), "sha256").hex()
            if hmac.compare_digest(expected.encode(), claim.signature):
                return key, claim.region
        raise mismatch(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )

    def _check_date(self, claim: Claim) -> None:
        now = self._now()
        signed_at = self._seconds(claim.instant)
        latest = signed_at + (SKEW_SECONDS if claim.expires_seconds is None else claim.expires_seconds)
        if now > latest:
            raise NotAuthenticated(
                f"Signature expired: {claim.instant.decode()} is now earlier than "
                f"{_instant(now - latest + signed_at)} ({_instant(now)} - {(latest - signed_at) // 60} min.)",
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
            assert match is not None
            self._last_instant = (instant, timegm(tuple(map(int, match.groups()))))
        return self._last_instant[1]

    def _signing_key(self, key: Key, claim: Claim) -> bytes:
        found = self._signing_keys.get((key.access_key_id, claim.scope))
        if found is None:
            found = b"AWS4" + key.secret.encode()
            for part in claim.scope.split(b"/"):
                found = hmac.digest(found, part, "sha256")
            if len(self._signing_keys) >= _MOST_CACHED:
                self._signing_keys.clear()
            self._signing_keys[key.access_key_id, claim.scope] = found
        return found


def invalid_access_key() -> NotAuthenticated:
    """The error of a key nobody has, or of a pair that does not belong together."""
    return NotAuthenticated(
        "The security token included in the request is invalid.",
        hint="Use an access key of the server's configuration.",
        field="access_key",
    )


def _string_to_sign(request: Request, headers: list[tuple[bytes, bytes]], claim: Claim, query: bytes) -> bytes:
    canonical = b"%s\n%s\n%s\n%s\n\n%s\n%s" % (
        request.method.encode(),
        path_as_signed(request.raw_path),
        query,
        header_values(request, headers, claim),
        claim.signed_headers,
        sha256(request.body).hexdigest().encode() if request.body else _EMPTY_HASH,
    )
    return b"AWS4-HMAC-SHA256\n%s\n%s\n%s" % (claim.instant, claim.scope, sha256(canonical).hexdigest().encode())


def _instant(seconds: float) -> str:
    return strftime("%Y%m%dT%H%M%SZ", gmtime(seconds))
