"""What a signed request says of its signature, and its parts in the form in which they were signed."""

import re
from email.utils import mktime_tz, parsedate_tz
from time import gmtime, strftime
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from penstock.core.errors import NotAuthenticated
from penstock.wire.http import Request

ALGORITHM = b"AWS4-HMAC-SHA256"
LONGEST_EXPIRY_SECONDS = 7 * 86_400
INSTANT = re.compile(rb"(\d{4})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3])([0-5]\d)([0-5]\d)Z")

_AUTHORIZATION = re.compile(
    rb"AWS4-HMAC-SHA256 +Credential=([^,\s]+) *, *SignedHeaders=([^,\s]+) *, *Signature=([^,\s]+) *"
)
_PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
_PLAIN_QUERY = re.compile(rb"[A-Za-z0-9._~-]+=[A-Za-z0-9._~%-]*")
_ESCAPES = re.compile(rb"(?:[^%]|%[0-9A-F]{2})*")


class Claim(Struct, gc=False):
    """What a request says of its signature.

    Attributes:
        access_key_id: whose signature it is said to be.
        scope: ``date/region/service/aws4_request``.
        region: part of the scope.
        signed_headers: names, as listed.
        signature: in hexadecimal digits.
        instant: when it was signed, ``20240131T120000Z``.
        expires_seconds: how long a presigned URL lasts; ``None`` for a header.
    """

    access_key_id: str
    scope: bytes
    region: str
    signed_headers: bytes
    signature: bytes
    instant: bytes
    expires_seconds: int | None = None


def claim_in_header(request: Request) -> Claim:
    """Return what the ``Authorization`` header says. Raises NotAuthenticated where it says too little."""
    authorization = request.headers[b"authorization"]
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        raise _incomplete_header(authorization)
    credential, signed_headers, signature = match.groups()
    instant = request.headers.get(b"x-amz-date") or _instant_of_date(request.headers.get(b"date", b""))
    if not INSTANT.fullmatch(instant):
        raise _incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
            f"Authorization={_shown(authorization)}"
        )
    return _claim(request, credential, signed_headers, signature, instant, None)


def claim_in_query(request: Request) -> Claim:
    """Return what a presigned URL says. Raises NotAuthenticated where it says too little."""
    said = {}
    for part in request.query.split(b"&"):
        name, _, value = part.partition(b"=")
        if name.startswith(b"X-Amz-"):
            if name in said:
                raise _incomplete(f"The query names '{name.decode(errors='replace')}' twice.")
            said[name] = unquote_to_bytes(value)
    missing = [name for name in _IN_QUERY if name not in said]
    if missing:
        raise _incomplete(
            " ".join(f"AWS query-string parameters must include '{name.decode()}'." for name in missing)
            + " Re-examine the query-string parameters."
        )
    if said[b"X-Amz-Algorithm"] != ALGORITHM:
        raise _incomplete("Unsupported AWS 'algorithm': " + _shown(said[b"X-Amz-Algorithm"]))
    instant, expires = said[b"X-Amz-Date"], said[b"X-Amz-Expires"]
    if not INSTANT.fullmatch(instant):
        raise _incomplete("Date must be in ISO-8601 'basic format'. Got '" + _shown(instant) + "'.")
    if not expires.isdigit() or len(expires) > 6 or not 1 <= int(expires) <= LONGEST_EXPIRY_SECONDS:
        raise _incomplete(f"X-Amz-Expires must be 1 to {LONGEST_EXPIRY_SECONDS} seconds.")
    return _claim(
        request,
        said[b"X-Amz-Credential"],
        said[b"X-Amz-SignedHeaders"],
        said[b"X-Amz-Signature"],
        instant,
        int(expires),
    )


_IN_QUERY = (
    b"X-Amz-Algorithm",
    b"X-Amz-Credential",
    b"X-Amz-Signature",
    b"X-Amz-SignedHeaders",
    b"X-Amz-Date",
    b"X-Amz-Expires",
)


def _claim(
    request: Request,
    credential: bytes,
    signed_headers: bytes,
    signature: bytes,
    instant: bytes,
    expires_seconds: int | None,
) -> Claim:
    parts = credential.split(b"/")
    if len(parts) != 5:
        raise _incomplete(
            f"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got "
            f"'{_shown(credential)}'"
        )
    access_key_id, date, region, service, term = parts
    if term != b"aws4_request":
        raise mismatch(f"Credential should be scoped with a valid terminator: 'aws4_request', not '{_shown(term)}'.")
    if service != b"sqs":
        raise mismatch("Credential should be scoped to correct service: 'sqs'.")
    if date != instant[:8]:
        raise mismatch(
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{_shown(date)}' != '{instant[:8].decode()}', from '{instant.decode()}'."
        )
    names = signed_headers.split(b";")
    if b"host" not in names:
        raise mismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    if b"x-amz-target" in request.headers and b"x-amz-target" not in names:
        # it names the action; a signature that left it out would be good for any
        raise mismatch("'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.")
    return Claim(
        access_key_id.decode(errors="replace"),
        credential[len(access_key_id) + 1 :],
        region.decode(errors="replace"),
        signed_headers,
        signature,
        instant,
        expires_seconds,
    )


def header_values(request: Request, headers: list[tuple[bytes, bytes]], claim: Claim) -> bytes:
    """Return the signed headers as they were signed, a line each. Raises NotAuthenticated where one is missing."""
    values = request.headers
    if len(values) != len(headers):
        gathered: dict[bytes, bytes] = {}
        for name, value in headers:
            gathered[name] = gathered[name] + b"," + value if name in gathered else value
        values = gathered
    lines = []
    for name in claim.signed_headers.split(b";"):
        found = values.get(name)
        if found is None:
            raise mismatch(f"The signed header '{_shown(name)}' is missing.")
        lines.append(b"%s:%s" % (name, b" ".join(found.split()) if b"  " in found else found.strip()))
    return b"\n".join(lines)


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
    return quote(unquote_to_bytes(text), safe="-_.~").encode()


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
    return _incomplete(f"{text or 'The Authorization header is malformed.'} Authorization={_shown(authorization)}")


def _incomplete(message: str) -> NotAuthenticated:
    return NotAuthenticated(message, hint="Sign it as AWS SDKs do.", field="signature_form")


def _shown(text: bytes) -> str:
    return text[:200].decode("ascii", "replace")
