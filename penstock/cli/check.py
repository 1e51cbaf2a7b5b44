"""``penstock check``: could the server run as it is configured? Each finding says what to do about it."""

import asyncio
import errno
import http.client
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from penstock import config as configuration
from penstock.cli.output import print_findings, print_json
from penstock.config import KeySettings, Settings
from penstock.core.errors import PenstockError
from penstock.server.options import is_loopback
from penstock.store.examination import Examination

if TYPE_CHECKING:
    from penstock.store.sealed.opening import Encryption

Verdict = Literal["ok", "warning", "failed"]

LITTLE_SPACE_BYTES = 1 << 30
NO_SPACE_BYTES = 64 << 20
SHORT_SECRET = 20
MANY_OPEN_FILES = 4096


class Finding(Struct, frozen=True, omit_defaults=True):
    """What was looked at, and what was found."""

    what: str
    verdict: Verdict
    found: str
    hint: str | None = None


def check(flags: Mapping[str, Any], file: Path | None, *, as_json: bool) -> bool:
    """Look at everything, print what was found, and return whether the server could run."""
    try:
        settings = configuration.load(flags, file=file)
    except PenstockError as error:
        findings = [_failed("configuration", error)]
    else:
        findings = list(_findings(settings))
    if as_json:
        print_json(findings)
    else:
        print_findings([(each.verdict, each.what, each.found, each.hint) for each in findings])
    return all(each.verdict != "failed" for each in findings)


def _findings(settings: Settings) -> Iterator[Finding]:
    yield Finding("configuration", "ok", "is understood")
    yield _exposure(settings)
    for key in settings.keys:
        yield _strength(key)
    yield from _store(settings)
    if urlsplit(settings.store_url).scheme == "sqlite":
        yield _space(settings)
    if settings.tls_certificate is not None:
        yield _tls(settings)
    yield _address(settings)
    yield _open_files()


def _exposure(settings: Settings) -> Finding:
    has_kept_keys = _has_kept_keys(settings)
    try:
        configuration.check_exposure(settings, has_kept_keys=has_kept_keys)
    except PenstockError as error:
        return _failed("access", error)
    if settings.auth != "none" and has_kept_keys:
        return Finding("access", "ok", f"{len(settings.keys)} keys and those of the store may call on {settings.host}")
    if settings.needs_keys:
        return Finding("access", "ok", f"{len(settings.keys)} keys may call on {settings.host}")
    if settings.auth == "none" and not is_loopback(settings.host):
        return Finding(
            "access",
            "warning",
            f"everybody who reaches {settings.host} may do everything",
            "Set keys unless the network keeps strangers away.",
        )
    return Finding("access", "ok", "everybody on this machine may call, nobody else")


def _has_kept_keys(settings: Settings) -> bool:
    """Return whether the store has keys; one that is not there yet, or cannot be read, has none."""
    from penstock.broker.local import LocalBroker
    from penstock.server.directory.directory import has_kept_keys
    from penstock.store import open_store

    async def look() -> bool:
        store = await open_store(settings.store_url)
        try:
            return await has_kept_keys(LocalBroker(store))
        finally:
            await store.aclose()

    parts = urlsplit(settings.store_url)
    if parts.scheme == "memory" or (parts.scheme == "sqlite" and not Path(unquote(parts.path[1:])).exists()):
        return False
    try:
        return asyncio.run(look())
    except PenstockError:
        return False  # it is told of below


def _strength(key: KeySettings) -> Finding:
    what = f"key {key.access_key_id}"
    if len(key.secret) < SHORT_SECRET or len(set(key.secret)) < SHORT_SECRET // 2:
        return Finding(what, "warning", "its secret is easily guessed", "Make one with `openssl rand -base64 30`.")
    return Finding(what, "ok", "has a strong secret")


def _store(settings: Settings) -> Iterator[Finding]:
    from penstock.store import examine, open_store, without_password
    from penstock.store.sealed.opening import encryption_of

    async def open_and_write() -> "tuple[Examination, Encryption | None]":
        store = await open_store(settings.store_url)
        try:
            await store.check()
            return await examine(store, settings.store_url), await encryption_of(store)
        finally:
            await store.aclose()

    if settings.store is None and not Path(settings.data_directory).exists():
        yield _makeable(Path(settings.data_directory))
        return
    try:
        examination, encryption = asyncio.run(open_and_write())
    except PenstockError as error:
        yield _failed("store", error)
        return
    yield Finding("store", "ok", f"{without_password(settings.store_url)} can be read and written")
    for concern in examination.concerns:
        yield Finding("durability", "warning", concern.found, concern.hint)
    yield _encryption(encryption)


def _encryption(found: "Encryption | None") -> Finding:
    if found is None:
        return Finding("encryption", "ok", "off: content is kept as it is sent")
    seals = "new content is kept in the clear" if found.seals is None else f"content is sealed with key {found.seals}"
    if found.missing:
        ids = ", ".join(found.missing)
        return Finding(
            "encryption",
            "warning",
            f"{seals}; some may be sealed with {ids}, which is not given here and will not be opened",
            "Give that key too, or see with `penstock encryption status` how much there is.",
        )
    return Finding("encryption", "ok", f"{seals}; keys given: {', '.join(found.opens)}")


def _makeable(directory: Path) -> Finding:
    import os

    nearest = _existing(directory)
    if os.access(nearest, os.W_OK | os.X_OK):
        return Finding("store", "ok", f"{directory} will be made when the server starts")
    return Finding(
        "store", "failed", f"{directory} cannot be made", f"Make it, or allow writing in {nearest.resolve()}."
    )


def _space(settings: Settings) -> Finding:
    directory = _existing(Path(unquote(urlsplit(settings.store_url).path[1:])).parent)
    free = shutil.disk_usage(directory).free
    found = f"{free / (1 << 30):.1f} GiB free at {directory.resolve()}"
    if free < LITTLE_SPACE_BYTES:
        verdict: Verdict = "failed" if free < NO_SPACE_BYTES else "warning"
        return Finding("disk", verdict, found, "Make room, or choose another data_directory.")
    return Finding("disk", "ok", found)


def _existing(directory: Path) -> Path:
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return directory


def _tls(settings: Settings) -> Finding:
    from penstock.server.listener import tls_context

    try:
        tls_context(settings.server_options())
    except OSError as error:
        return Finding("tls", "failed", f"the files cannot be used: {error}", "Check tls_certificate and tls_key.")
    return Finding("tls", "ok", "certificate and key belong together")


def _address(settings: Settings) -> Finding:
    address = f"{settings.host}:{settings.port}"
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            if _is_penstock(settings):
                return Finding("address", "ok", f"a Penstock server serves {address} already")
            return Finding(
                "address", "failed", f"{address} is taken by another process", "Stop it, or choose another port."
            )
        return Finding("address", "failed", f"{address} cannot be had: {error}", "Choose another host or port.")
    return Finding("address", "ok", f"{address} is free")


def _is_penstock(settings: Settings) -> bool:
    kind = http.client.HTTPConnection if settings.tls_certificate is None else http.client.HTTPSConnection
    connection = kind(settings.host, settings.port, timeout=2)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().read().startswith(b'{"status":"live"')
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _open_files() -> Finding:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < MANY_OPEN_FILES:
        return Finding(
            "connections",
            "warning",
            f"the system allows {hard} open files, and about as many connections",
            "Raise the limit: `ulimit -Hn`, LimitNOFILE= in systemd, --ulimit nofile= in Docker.",
        )
    return Finding("connections", "ok", f"about {hard} at a time")


def _failed(what: str, error: PenstockError) -> Finding:
    return Finding(what, "failed", error.problem.message, error.problem.hint)
