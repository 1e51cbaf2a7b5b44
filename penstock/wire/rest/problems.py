"""How REST says no: RFC 9457 problem details, and the one table from error code to HTTP status."""

import msgspec
from msgspec import Struct

from penstock.core.errors import (
    AccessDenied,
    InvalidRequest,
    MessageTooLarge,
    NotAuthenticated,
    PenstockError,
    Problem,
    StoreUnavailable,
    error_from,
    error_types,
)
from penstock.wire.http import Headers, Response


class NotFound(PenstockError):
    """There is nothing at that address."""

    code = "not_found"
    fault = "caller"


class MethodNotAllowed(PenstockError):
    """That address does not know that method."""

    code = "method_not_allowed"
    fault = "caller"

    def __init__(self, message: str, *, hint: str | None = None, field: str | None = None, allowed: str = "") -> None:
        super().__init__(message, hint=hint, field=field)
        self.allowed = allowed


STATUS_OF = {
    "invalid_request": 400,
    "group_required": 400,
    "deduplication_id_required": 400,
    "receipt_handle_invalid": 400,
    "lease_too_long": 400,
    "not_authenticated": 401,
    "access_denied": 403,
    "not_found": 404,
    "queue_not_found": 404,
    "move_not_found": 404,
    "key_not_found": 404,
    "user_not_found": 404,
    "method_not_allowed": 405,
    "queue_conflict": 409,
    "queue_deleted_recently": 409,
    "purge_in_progress": 409,
    "move_conflict": 409,
    "lease_lost": 409,
    "guard_failed": 409,
    "message_too_large": 413,
    "too_many_failures": 429,
    "internal_error": 500,
    "store_damaged": 500,
    "store_too_new": 500,
    "store_unavailable": 503,
}
"""HTTP status of each error code; a code that is not here is 400 by the caller's fault and 500 by the server's."""

_MORE_HEADERS: dict[int, Headers] = {
    401: ((b"www-authenticate", b'Bearer realm="penstock"'),),
    429: ((b"retry-after", b"60"),),
    503: ((b"retry-after", b"1"),),
}
_PROBLEM_JSON = (b"content-type", b"application/problem+json")


class ProblemDetails(Struct, frozen=True, omit_defaults=True):
    """An error as RFC 9457 has it.

    Attributes:
        type: a URN that ends in the code.
        title: what kind of problem it is, the same for every one of its code.
        status: the HTTP status.
        detail: what went wrong this time.
        code: stable name of the kind of problem; programs go by this.
        hint: what to do about it.
        field: the offending input.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str | None = None
    field: str | None = None


def status_of(error: PenstockError) -> int:
    """Return the HTTP status of an error."""
    return STATUS_OF.get(error.code, 400 if error.fault == "caller" else 500)


def refusal(error: PenstockError) -> Response:
    """Return an error as a response."""
    status, problem = status_of(error), error.problem
    details = ProblemDetails(
        type=f"urn:penstock:problem:{problem.code}",
        title=_title(type(error)),
        status=status,
        detail=problem.message,
        code=problem.code,
        hint=problem.hint,
        field=problem.field,
    )
    headers: Headers = (_PROBLEM_JSON, *_MORE_HEADERS.get(status, ()))
    if isinstance(error, MethodNotAllowed) and error.allowed:
        headers += ((b"allow", error.allowed.encode()),)
    return Response(status, headers, _encode(details) + b"\n")


def error_in(status: int, body: bytes) -> PenstockError:
    """Return the error that a response tells of. One that is no problem of ours is told by its status."""
    try:
        details = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        details = ProblemDetails("", "", status, f"The answer was {status} and none of Penstock's.", "", hint=_MISLED)
    if details.code in error_types():
        return error_from(Problem(details.code, details.detail, details.hint, details.field))
    kind = _KIND_OF_STATUS.get(status, StoreUnavailable)
    return kind(details.detail, hint=details.hint, field=details.field)


_MISLED = "Is that the address of a Penstock server? Something between may also be out of order."
_KIND_OF_STATUS: dict[int, type[PenstockError]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    403: AccessDenied,
    413: MessageTooLarge,
    422: InvalidRequest,
}


def _title(kind: type[PenstockError]) -> str:
    return (kind.__doc__ or kind.__name__).strip().splitlines()[0].rstrip(".")


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(ProblemDetails)
