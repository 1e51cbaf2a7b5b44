"""From bytes to requests: what one connection sends is read request by request, with a limit on all of it.

Nothing here writes or waits. The parser is httptools (llhttp), as strict as it comes.
"""

import os
from urllib.parse import unquote

import httptools
from msgspec import Struct

from penstock.core.errors import MessageTooLarge, PenstockError
from penstock.server.proxies import Proxies
from penstock.wire.http import Request, Response

MAX_URL_BYTES = 64 << 10

MAX_HEADER_BYTES = 128 << 10
"""Request line and headers together, and whatever else comes without bringing a byte of the body."""

_OFFERS = frozenset({b"upgrade", b"http2-settings"})
_TEXT = ((b"content-type", b"text/plain"),)
_MALFORMED = Response(400, _TEXT, b"This is not HTTP/1.1.\n")
_TOO_LONG = Response(431, _TEXT, b"The headers are too long.\n")
_TOO_SLOW = Response(408, _TEXT, b"The request did not arrive in time.\n")


class Incoming(Struct, gc=False):
    """A request, and what the connection has to know of it.

    Attributes:
        request: whole, or without its body where ``error`` says why.
        headers: all of them, in order, with lower-case names.
        error: why it is refused unread.
        takes_chunks: whether the client knows of chunked bodies: it speaks HTTP/1.1.
    """

    request: Request
    headers: list[tuple[bytes, bytes]]
    error: PenstockError | None = None
    takes_chunks: bool = True


Arrival = Incoming | Response
"""What is to be answered next. A response is the last word on a connection that cannot be understood any further."""


class Intake:
    """What all requests to one server have in common.

    Args:
        account, region: on whose behalf requests are until the gate finds out.
        max_body_bytes: larger bodies are not taken.
        proxies: those that are believed.
    """

    def __init__(self, account: str, region: str, max_body_bytes: int, proxies: Proxies) -> None:
        self.proxies = proxies
        self.account = account
        self.region = region
        self.max_body_bytes = max_body_bytes
        digits = os.urandom(16).hex()
        self._id_start = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-"
        self._last_id = int(digits[20:], 16) >> 8

    def mint_id(self) -> str:
        """Return the next request id, in the form of a random UUID."""
        self._last_id += 1
        return f"{self._id_start}{self._last_id & 0xFFFFFFFFFFFF:012x}"

    def too_large(self) -> MessageTooLarge:
        """Return the error of a request whose body is."""
        return MessageTooLarge(
            f"The request has more than {self.max_body_bytes} bytes.",
            hint="Send less at once, or raise max_body_bytes in the server's configuration.",
        )


class Reader:
    """Reads the requests of one connection.

    Args:
        intake: of the server.
        source_ip: address of the client.
        is_secure: whether it speaks TLS.

    Attributes:
        is_under_way: a request has begun and is not whole.
        is_over: no request is taken any more; what comes is thrown away.
        is_cut_short: so because one was refused before it was whole; the client may still be sending it.
        expects_continue: the client sends a body when it is told to go on.
        begun_count: how many requests have begun.
    """

    __slots__ = (
        "_arrived",
        "_body",
        "_dry_bytes",
        "_had_body",
        "_headers",
        "_incoming",
        "_intake",
        "_is_proxied",
        "_is_secure",
        "_parser",
        "_scheme",
        "_source_ip",
        "_stops_after_this",
        "_url",
        "begun_count",
        "expects_continue",
        "is_cut_short",
        "is_over",
        "is_under_way",
    )

    def __init__(self, intake: Intake, source_ip: str, is_secure: bool) -> None:
        self._intake = intake
        self._source_ip = source_ip
        self._is_secure = is_secure
        self._scheme = "https" if is_secure else "http"
        self._is_proxied = intake.proxies.are_trusted(source_ip)
        self._parser = httptools.HttpRequestParser(self)
        self._arrived: list[Arrival] = []
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._incoming: Incoming | None = None
        self._body: bytes | bytearray = b""
        self._had_body = False
        self._dry_bytes = 0
        self._stops_after_this = False
        self.is_under_way = False
        self.is_over = False
        self.is_cut_short = False
        self.expects_continue = False
        self.begun_count = 0

    def feed(self, data: bytes) -> list[Arrival]:
        """Read on and return what has arrived with these bytes."""
        if self.is_over and not self.is_under_way:
            return []
        arrived: list[Arrival] = []
        self._arrived = arrived
        self._had_body = False
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._end_with(_MALFORMED)
        if self.is_under_way:
            self._dry_bytes = 0 if self._had_body else self._dry_bytes + len(data)
            if self._dry_bytes > MAX_HEADER_BYTES:
                self._end_with(_TOO_LONG)
        return arrived

    def time_out(self) -> list[Arrival]:
        """Wait no longer for the rest of a request; return what arrives instead."""
        self._arrived = []
        self._end_with(_TOO_SLOW)
        return self._arrived

    def finish(self) -> None:
        """Take no further request, but the body of one whose headers are there."""
        if self._incoming is None:
            self.is_over = True
            self.is_under_way = False
        self._stops_after_this = True

    def let_go(self) -> None:
        """Free the parser, which refers back to this."""
        self.is_over = True
        self.is_under_way = False
        del self._parser

    # -- what the parser calls: nothing raised here gets out, all of it means that the request is malformed ----------

    def on_message_begin(self) -> None:
        if self.is_over:
            raise ValueError("nothing is taken any more")
        self.is_under_way = True
        self.begun_count += 1
        self._url = b""
        self._headers = []
        self._incoming = None
        self._body = b""
        self._dry_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._incoming is None:  # else it stands behind the body
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._parser.should_upgrade():
            return
        url, header_list, intake = self._url, self._headers, self._intake
        if len(url) > MAX_URL_BYTES:
            raise ValueError("the URL is too long")
        if url[:1] == b"/" and b"#" not in url:
            raw_path, _, query = url.partition(b"?")
        else:
            parsed = httptools.parse_url(url)
            raw_path, query = parsed.path or b"/", parsed.query or b""
        path = raw_path.decode("ascii")
        headers = dict(header_list)
        self._check_host(headers)
        request = Request(
            self._parser.get_method().decode(),
            path if "%" not in path else unquote(path),
            query,
            headers,
            b"",
            self._scheme,
            intake.account,
            intake.region,
            intake.mint_id(),
            raw_path,
            "",
            self._source_ip,
            self._is_secure,
        )
        if self._is_proxied:
            origin = intake.proxies.origin(self._source_ip, self._scheme, header_list)
            request.source_ip, request.scheme, request.forwarded_host = origin.source_ip, origin.scheme, origin.host
            request.is_secure = origin.scheme == "https"
        self._incoming = Incoming(request, header_list)
        if b"expect" in headers:
            self.expects_continue = headers[b"expect"].lower() == b"100-continue"
        length = headers.get(b"content-length")
        if length is not None and int(length) > intake.max_body_bytes:
            self._refuse_body()

    def on_body(self, part: bytes) -> None:
        self._had_body = True
        if self.is_over:
            return
        if not self._body:
            self._body = part
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += part
        if len(self._body) > self._intake.max_body_bytes:
            self._refuse_body()

    def on_message_complete(self) -> None:
        incoming = self._incoming
        if incoming is None:
            return  # an offer of another protocol; it is read again without
        self._incoming = None
        self.is_under_way = self.expects_continue = False
        if self.is_over:
            return
        request = incoming.request
        request.body = self._body if type(self._body) is bytes else bytes(self._body)
        self._body = b""
        self._arrived.append(incoming)
        keeps_open = self._parser.should_keep_alive()
        if not keeps_open or b"connection" in request.headers:
            # only one of the two makes it worth asking for the version
            incoming.takes_chunks = self._parser.get_http_version() == "1.1"
            keeps_open = keeps_open and incoming.takes_chunks
        if not keeps_open or self._stops_after_this:
            self.is_over = True

    # -- how it is done ------------------------------------------------------------------------------------------------

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        """Refuse HTTP/1.1 without a host, and whatever has two, as others may believe the other one (RFC 9112, 3.2)."""
        if b"host" not in headers:
            if self._parser.get_http_version() == "1.1":
                raise ValueError("no host")
        elif len(headers) < len(self._headers) and sum(name == b"host" for name, _ in self._headers) > 1:
            raise ValueError("several hosts")

    def _refuse_body(self) -> None:
        """Let the request be answered now, and throw the rest of it away as it comes."""
        assert self._incoming is not None
        self._incoming.error = self._intake.too_large()
        self._arrived.append(self._incoming)
        self._body = b""
        self.is_over = self.is_cut_short = True
        if self.expects_continue:  # it waits to be told, and so sends nothing
            self.is_under_way = self.expects_continue = False

    def _end_with(self, response: Response) -> None:
        if not self.is_over:
            self._arrived.append(response)
        self.is_over = self.is_cut_short = True
        self.is_under_way = self.expects_continue = False
        self._incoming = None
        self._body = b""

    def _parse(self, data: bytes | memoryview) -> None:
        """Parse all of it, requests that offer HTTP/2 or WebSocket as what they are without the offer.

        The parser takes their bodies for the new protocol's, which they are not; Java's HttpClient offers h2c with
        every POST. RFC 9110, 7.8: an offer is declined by answering in HTTP/1.1.

        Raises:
            HttpParserError: it is malformed.
        """
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = memoryview(data)[upgrade.args[0] :]
                method = self._parser.get_method()
                if method == b"CONNECT":
                    raise httptools.HttpParserError("no tunnels here") from None
                lines = [b"%s %s HTTP/1.1" % (method, self._url)]
                lines += [b"%s: %s" % pair for pair in self._headers if pair[0] not in _OFFERS]
                self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n")
            else:
                return
