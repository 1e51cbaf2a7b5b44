"""What a dialect reads and writes: a request, a response, and the operations to perform between the two."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from penstock.core.errors import PenstockError
from penstock.core.operations import Operation
from penstock.core.rights import FULL, Rights

Headers = tuple[tuple[bytes, bytes], ...]


class Request(Struct, gc=False):
    """An HTTP request, whole.

    Attributes:
        method: upper case.
        path: percent-decoded, without the query.
        query: as it came, not decoded.
        headers: by lower-case name; the last of a name.
        body: at most as large as the server lets through.
        scheme: ``http`` or ``https``.
        account, region: on whose behalf, as the server's authentication found; twelve digits and an AWS region name.
        request_id: names this request in the answer and in the log.
        raw_path: the path as it came, percent-encoded: it tells a slash in a name from one between names.
            Empty: the same as ``path``.
        user: which of the account's keys proved itself, by its name; empty where nobody had to.
        source_ip: address of the client, as far as a proxy that is trusted tells it; else of the connection.
        is_secure: it came over TLS to this server, or to a proxy that is trusted.
        action: what SQS calls it; set by the dialects that know.
        rights: what the caller may do with the queues of the account.
        forwarded_host: how the client calls the server, where a proxy that is trusted tells it.
        session: names the login that proved who calls; empty where a key did, or nothing had to.
    """

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    scheme: str
    account: str
    region: str
    request_id: str
    raw_path: bytes = b""
    user: str = ""
    source_ip: str = ""
    is_secure: bool = False
    action: str = ""
    rights: Rights = FULL
    session: str = ""
    forwarded_host: bytes = b""

    @property
    def host(self) -> bytes:
        """How the client calls the server; empty where it does not say."""
        return self.forwarded_host or self.headers.get(b"host", b"")


Body = bytes | AsyncGenerator[bytes, None]


class Response(Struct, frozen=True, gc=False):
    """An HTTP response; what tells the length of the body is added by the server.

    Attributes:
        status: such as 200.
        headers: with lower-case names.
        body: whole, or its parts as they come. A generator is closed when the client goes and when the server stops.
    """

    status: int
    headers: Headers
    body: Body


class Call(Struct, frozen=True, gc=False):
    """An operation to perform, and what its reply leads to: the response, or the next call."""

    operation: Operation[Any]
    then: Callable[[Any], "Step"]


Step = Response | Call


class Dialect(Protocol):
    """One wire language."""

    def decode(self, request: Request) -> Step:
        """Return what a request asks for. Raises PenstockError for one that cannot be understood."""
        ...

    def refuse(self, request: Request, error: PenstockError) -> Response:
        """Return an error in this dialect's words."""
        ...
