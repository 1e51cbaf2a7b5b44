"""From responses to bytes: what goes over the connection, head and body in one piece."""

from http import HTTPStatus

from penstock.wire.http import Headers, Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_CLOSE = b"connection: close\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"


def whole(response: Response, date_line: bytes, *, is_head: bool, is_last: bool) -> bytes:
    """Return the bytes of a response.

    Args:
        response: one whose body is there.
        date_line: the header that tells the time, with its line end.
        is_head: the request asked for the head only, and gets that of the whole.
        is_last: the connection is closed behind it.

    Raises:
        ValueError: a header would end before it should.
    """
    body = response.body
    assert isinstance(body, bytes)
    more = _CLOSE if is_last else b""
    if response.status != 204:
        more = b"%scontent-length: %d\r\n" % (more, len(body))
    head = _head(response.status, response.headers, date_line, more)
    return head if is_head else head + body


def streamed_head(response: Response, date_line: bytes, *, is_chunked: bool, is_last: bool) -> bytes:
    """Return the head of a response whose body comes bit by bit: in chunks, or up to the end of the connection.

    Raises:
        ValueError: a header would end before it should.
    """
    more = (_CLOSE if is_last else b"") + (_CHUNKED if is_chunked else b"")
    return _head(response.status, response.headers, date_line, more)


def chunk(part: bytes) -> bytes:
    """Return a part of a body as a chunk; it must not be empty, which would mean the end."""
    return b"%x\r\n%b\r\n" % (len(part), part)


def _head(status: int, headers: Headers, date_line: bytes, more: bytes) -> bytes:
    parts = [_STATUS_LINES[status], date_line]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (more, b"\r\n")
    head = b"".join(parts)
    lines = 3 + len(headers) + more.count(b"\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise ValueError("a header has a line end in it")  # what a caller sent must not become headers of its own
    return head
