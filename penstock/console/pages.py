"""The files of the console as a browser gets them: one page that is asked for each time, and files that never change.

The files live under an address made from their content, so a browser keeps them for ever and never has old ones. The
page allows itself nothing but them: no inline script or style, no frame around it, no other host, no HTML from text.
"""

import gzip
import hashlib
import mimetypes
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

from penstock.wire.http import Headers, Request, Response

Page = Callable[[Request], Awaitable[Response]]

MOUNT = "/console/"
INDEX = "index.html"
FIRST = "app.js"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
GUARDS: Headers = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_UNREAD = re.compile(rb"^[ \t]*//.*\n|^[ \t]+", re.MULTILINE)
"""Indentation and lines of comment: for people who read the sources. No literal spans lines, a test sees to that."""
_IMPORTED = re.compile(r'from "(\.[^"]+)"')
_FOR_EVER = b"public, max-age=31536000, immutable"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}


def assets() -> dict[str, bytes]:
    """Return the console's files by their path below ``static``, as browsers get them: without comments."""
    found: dict[str, bytes] = {}

    def gather(folder: Traversable, prefix: str) -> None:
        for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if each.is_dir():
                gather(each, f"{prefix}{each.name}/")
            else:
                found[prefix + each.name] = _UNREAD.sub(b"", each.read_bytes())

    gather(files("penstock.console") / "static", "")
    return found


def pages() -> dict[str, Page]:
    """Return what answers for each path of the console."""
    content = assets()
    version = _digest(b"".join(name.encode() + b"\0" + data for name, data in content.items()))
    folder = f"static/{version}/"
    preloads = "\n".join(f'<link rel="modulepreload" href="{folder}{name}">' for name in needed(content))
    index = content.pop(INDEX).decode().replace("{folder}", folder).replace("{preloads}", preloads).encode()
    found = {
        MOUNT: _page(INDEX, index, b"no-cache"),
        MOUNT.rstrip("/"): _elsewhere,
    }
    for name, data in content.items():
        found[f"{MOUNT}{folder}{name}"] = _page(name, data, _FOR_EVER)
    return found


def needed(content: Mapping[str, bytes]) -> list[str]:
    """Return the modules that are there before the page does anything, of the files that there are."""
    found = [FIRST]
    for name in found:
        for target in _IMPORTED.findall(content[name].decode()):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            if path not in found:
                found.append(path)
    return found


def _page(name: str, data: bytes, caching: bytes) -> Page:
    kind = _TYPES.get(name[name.rfind(".") :]) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    etag = f'"{_digest(data)}"'.encode()
    kept: Headers = (*GUARDS, (b"etag", etag), (b"cache-control", caching), (b"vary", b"accept-encoding"))
    headers: Headers = (*kept, (b"content-type", kind.encode()))
    packed = gzip.compress(data, mtime=0)
    plain = Response(200, headers, data)
    small = Response(200, (*headers, (b"content-encoding", b"gzip")), packed)
    known = Response(304, kept, b"")

    async def answer(request: Request) -> Response:
        if _has(request.headers, b"if-none-match", etag):
            return known
        return small if _has(request.headers, b"accept-encoding", b"gzip") else plain

    return answer


def _has(headers: Mapping[bytes, bytes], name: bytes, value: bytes) -> bool:
    return value in (each.strip() for each in headers.get(name, b"").split(b","))


async def _elsewhere(request: Request) -> Response:
    return Response(308, ((b"location", MOUNT.encode()),), b"")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
