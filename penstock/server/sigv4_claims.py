"""What a signed request says of its signature, and its parts in the form in which they were signed."""

import re
from collections.abc import Callable, Mapping
from email.utils import mktime_tz, parsedate_tz
from operator import itemgetter
from time import gmtime, strftime
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from penstock.core.errors import NotAuthenticated
from penstock.wire.http import Request

ALGORITHM = b"AWS4-HMAC-SHA256"
LONGEST_EXPIRY_SECONDS = 7 * 86_400
INSTANT = re.compile(rb"([12]\d{3})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3])([0-5]\d)([0-5]\d)Z")

_AUTHORIZATION = re.compile(rb"AWS4-HMAC-SHA256 +Credential=([^,\s]+) *, *SignedHeaders=([^,\s]+) *, *")
_MOST_KNOWN = 1000
_PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
_PLAIN_QUERY = re.compile(rb"[A-Za-z0-9._~-]+=[A-Za-z0-9._~%-]*")
_ESCAPES = re.compile(rb"(?:[^%]|%[0-9A-F]{2})*")


class Scope(Struct, frozen=True):
    """What is the same in all signatures that a client makes on one day.

    Attributes:
        access_key_id: whose signature it is said to be.
        text: ``date/region/service/aws4_request``.
        date, region: parts of it.
        signed_headers: names, as listed.
        names: the same, one by one.
        pick: from headers by name to the values of the signed ones.
        template: the values' lines as they were signed.
    """

    access_key_id: str
    text: bytes
    date: bytes
    region: str
    signed_headers: bytes
    names: tuple[bytes, ...]
    pick: Callable[[Mapping[bytes, bytes]], tuple[bytes, ...]]
    template: bytes


class Claim(Struct, gc=False):
    """What a request says of its signature.

    Attributes:
        scope: by whom, for what, of which headers.
        signature: in hexadecimal digits.
        instant: when it was signed, ``20240131T120000Z``.
        expires_seconds: how long a presigned URL lasts; ``None`` for a header.
    """

    scope: Scope
    signature: bytes
    instant: bytes
    expires_seconds: int | None = None


def claim_in_header(request: Request, known: dict[bytes, Scope]) -> Claim:
    """Return what the ``Authorization`` header says.

    Args:
        request: whole.
        known: scopes by the header's text up to the signature; is added to.

    Raises:
        NotAuthenticated: it says too little, or what cannot be.
    """
    authorization = request.headers[b"authorization"]
    start, name, signature = authorization.rpartition(b"Signature=")
    scope = known.get(start)
    if scope is None:
        match = _AUTHORIZATION.fullmatch(start)
        if match is None or not name:
            raise _incomplete_header(authorization)
        scope = _scope(*match.groups())
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[start] = scope
    instant = request.headers.get(b"x-amz-date") or _instant_of_date(request.headers.get(b"date", b""))
    if not instant:
        raise incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
            f"Authorization={shown(authorization)}"
        )
    return _checked(request, Claim(scope, signature.rstrip(), instant))


def claim_in_query(request: Request) -> Claim:
    """Return what a presigned URL says. Raises NotAuthenticated where it says too little."""
    said = {}
    for part in request.query.split(b"&"):
        name, _, value = part.partition(b"=")
        if name.startswith(b"X-Amz-"):
            if name in said:
                raise incomplete(f"The query names '{name.decode(errors='replace')}' twice.")
            said[name] = unquote_to_bytes(value)
    missing = [name for name in _IN_QUERY if name not in said]
    if missing:
        raise incomplete(
            " ".join(f"AWS query-string parameters must include '{name.decode()}'." for name in missing)
            + " Re-examine the query-string parameters."
        )
    if said[b"X-Amz-Algorithm"] != ALGORITHM:
        raise incomplete("Unsupported AWS 'algorithm': " + shown(said[b"X-Amz-Algorithm"]))
    instant, expires = said[b"X-Amz-Date"], said[b"X-Amz-Expires"]
    if not expires.isdigit() or len(expires) > 6 or not 1 <= int(expires) <= LONGEST_EXPIRY_SECONDS:
        raise incomplete(f"X-Amz-Expires must be 1 to {LONGEST_EXPIRY_SECONDS} seconds.")
    scope = _scope(said[b"X-Amz-Credential"], said[b"X-Amz-SignedHeaders"])
    return _checked(request, Claim(scope, said[b"X-Amz-Signature"], instant, int(expires)))


_IN_QUERY = (
    b"X-Amz-Algorithm",
    b"X-Amz-Credential",
    b"X-Amz-Signature",
    b"X-Amz-SignedHeaders",
    b"X-Amz-Date",
    b"X-Amz-Expires",
)


def _scope(credential: bytes, signed_headers: bytes) -> Scope:
    parts = credential.split(b"/")
    if len(parts) != 5:
        raise incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got "
            f"'{shown(credential)}'"
        )
    access_key_id, date, region, service, term = parts
    if term != b"aws4_request":
        raise mismatch(f"Credential should be scoped with a valid terminator: 'aws4_request', not '{shown(term)}'.")
    if service != b"sqs":
        raise mismatch("Credential should be scoped to correct service: 'sqs'.")
    names = tuple(signed_headers.split(b";"))
    if b"host" not in names:
        raise mismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    return Scope(
        access_key_id.decode(errors="replace"),
        credential[len(access_key_id) + 1 :],
        date,
        region.decode(errors="replace"),
        signed_headers,
        names,
        itemgetter(*names) if len(names) > 1 else lambda headers: (headers[names[0]],),
        b"\n".join(name.replace(b"%", b"%%") + b":%s" for name in names),
    )


def _checked(request: Request, claim: Claim) -> Claim:
    scope = claim.scope
    if scope.date != claim.instant[:8]:
        raise mismatch(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{shown(scope.date)}' != '{claim.instant[:8].decode()}', from '{claim.instant.decode()}'."
        )
    if b"x-amz-target" in request.headers and b"x-amz-target" not in scope.names:
        # it names the action; a signature that left it out would be good for any
        raise mismatch("'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.")
    return claim


def header_lines(last_of_name: Mapping[bytes, bytes], headers: list[tuple[bytes, bytes]], scope: Scope) -> bytes:
    """Return the signed headers as they were signed, a line each. Raises NotAuthenticated where one is missing."""
    if len(last_of_name) != len(headers):
        gathered: dict[bytes, bytes] = {}
        for name, value in headers:
            gathered[name] = gathered[name] + b"," + value if name in gathered else value
        last_of_name = gathered
    try:
        values = scope.pick(last_of_name)
    except KeyError as missing:
        raise mismatch(f"The signed header '{shown(missing.args[0])}' is missing.") from None
    lines = scope.template % values
    if b" " in lines or b"\t" in lines:
        lines = scope.template % tuple(b" ".join(value.split()) for value in values)
    return lines


def path_as_signed(raw_path: bytes) -> bytes:
    """Return a path without dot segments, encoded once more (every service but S3 does so)."""
    if _PLAIN_PATH.fullmatch(raw_path):
        return raw_path or b"/"
    kept: list[bytes] = []
    for segment in raw_path.split(b"/"):
        if segment == b"..":
            kept = kept[:-1]
        elif segment not in (b"", b"."):
            kept.append(segment)
    path = b"/" + b"/".join(kept) + (b"/" if kept and raw_path.endswith(b"/") else b"")
    return quote(path, safe="/~").encode()


def query_as_signed(query: bytes) -> tuple[bytes, ...]:
    """Return a query in the forms in which it may have been signed: as sent, and in AWS's own encoding."""
    if not query:
        return (b"",)
    pairs = []
    is_plain = True
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if name != b"X-Amz-Signature":
            pairs.append((name, value))
            is_plain = is_plain and _PLAIN_QUERY.fullmatch(part) is not None
    as_sent = b"&".join(b"%s=%s" % pair for pair in sorted(pairs))
    if is_plain and _ESCAPES.fullmatch(as_sent):
        return (as_sent,)
    encoded = sorted((_encoded(name), _encoded(value)) for name, value in pairs if name or value)
    return as_sent, b"&".join(b"%s=%s" % pair for pair in encoded)


def mismatch(message: str) -> NotAuthenticated:
    """The error of a signature that is not that of the request."""
    return NotAuthenticated(
        message, hint="Check the secret key, and that no proxy changes the request.", field="signature"
    )


def _encoded(text: bytes) -> bytes:
    return quote(unquote_to_bytes(text.replace(b"+", b" ")), safe="-_.~").encode()


def _instant_of_date(date: bytes) -> bytes:
    """Return the instant in an HTTP date header, in the form of ``X-Amz-Date``; that too may stand there."""
    if INSTANT.fullmatch(date):
        return date
    parsed = parsedate_tz(date.decode(errors="replace"))
    try:
        return b"" if parsed is None else strftime("%Y%m%dT%H%M%SZ", gmtime(mktime_tz(parsed))).encode()
    except (ValueError, OverflowError, OSError):
        return b""


def _incomplete_header(authorization: bytes) -> NotAuthenticated:
    wanted = (b"Credential", b"Signature", b"SignedHeaders")
    missing = [name.decode() for name in wanted if name + b"=" not in authorization.replace(b"SignedHeaders=", b"", 0)]
    text = " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
    return incomplete(f"{text or 'The Authorization header is malformed.'} Authorization={shown(authorization)}")


def incomplete(message: str) -> NotAuthenticated:
    """The error of a signature that is not said completely."""
    return NotAuthenticated(message, hint="Sign it as AWS SDKs do.", field="signature_form")


def shown(text: bytes) -> str:
    """Return the start of what a caller sent, fit to be shown."""
    return text[:200].decode("ascii", "replace")
