"""What a browser sees that opens the server's address: what this is, and where to go on."""

from penstock.core.errors import PenstockError
from penstock.wire.http import Dialect, Request, Response, Step

_PAGE = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Penstock</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}
code,pre{font-family:ui-monospace,monospace}pre{overflow:auto;padding:.75rem;border:1px solid #8886}</style>
<h1>Penstock</h1>
<p>This is a Penstock server: a durable queue that any AWS SDK can talk to. Point your client's
<code>endpoint_url</code> here, or use curl:</p>
<pre>curl -X POST {url}/v1/queues -d '{"queue": "orders"}'
curl -X POST {url}/v1/queues/orders/messages -d '{"messages": [{"body": "hello"}]}'
curl -X POST {url}/v1/queues/orders/receive -d '{}'</pre>
<ul>
<li><a href="/v1/openapi.json">REST API, described in OpenAPI</a></li>
<li><a href="/health/ready">Health</a></li>
<li><a href="/metrics">Metrics</a></li>
</ul>
</html>
"""
_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
)


class Welcome:
    """A dialect of one page.

    Args:
        neighbour: words for refusals.
        home: where to go on; ``None``: here is all there is.
    """

    def __init__(self, neighbour: Dialect, home: str | None = None) -> None:
        self._neighbour = neighbour
        self._home = home

    def decode(self, request: Request) -> Step:
        if self._home is not None:
            return Response(303, ((b"location", self._home.encode()),), b"")
        host = bytes(byte for byte in request.host or b"localhost" if chr(byte) in _HOST_CHARACTERS)
        return Response(200, _HEADERS, _PAGE.replace(b"{url}", request.scheme.encode() + b"://" + host))

    def refuse(self, request: Request, error: PenstockError) -> Response:
        return self._neighbour.refuse(request, error)


_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]")
