"""Keys, users and the audit log from the command line: in a store directly, or by calling a server's ``/access/``."""

import http.client
import json
import ssl
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock.cli.target import DEFAULT_URL, Target
from penstock.core.errors import AccessDenied, InvalidRequest, PenstockError, StoreUnavailable
from penstock.server.directory.directory import Directory
from penstock.server.directory.users import Users
from penstock.wire.rest.problems import error_in

BY = "the command line"
"""Who is said to have made what was made in a store directly: there is no telling who may open it."""


def in_store(target: Target, work: Callable[[Directory], Coroutine[Any, Any, Any]]) -> Any:
    """Do some work on the directory of the store that a command names, and return what comes of it.

    The master key and the account are those of the configuration, so it is to be run where the servers run.
    """
    from penstock import config as configuration
    from penstock.broker.system import SystemClock
    from penstock.server.directory.masters import masters_of

    assert target.store is not None
    settings = configuration.load({"store": target.store})
    masters = masters_of(settings.master_keys, target.store)

    async def with_broker(broker: Any) -> Any:
        return await work(Directory(broker, masters, account=settings.account, now_ms=SystemClock().now_ms))

    return target.run(with_broker)


def users_in_store(target: Target, work: Callable[[Users], Coroutine[Any, Any, Any]]) -> Any:
    """Do some work on the users of the store that a command names, and return what comes of it."""
    from penstock import config as configuration
    from penstock.broker.system import SystemClock

    settings = configuration.load({"store": target.store})

    async def with_broker(broker: Any) -> Any:
        return await work(Users(broker, account=settings.account, now_ms=SystemClock().now_ms))

    return target.run(with_broker)


def call(target: Target, method: str, path: str, body: Any = None) -> bytes:
    """Ask a server and return the body of its answer.

    Args:
        target: names the server and the key.
        method, path: below ``/access/``.
        body: sent as JSON.

    Raises:
        PenstockError: what the server refuses, or that it cannot be reached.
    """
    url = target.url or DEFAULT_URL
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest(f"{url!r} is no address of a server.", hint="Write http://host:port.", field="url")
    headers = {"content-type": "application/json", "user-agent": "penstock"}
    key = target.key or (f"{parts.username}:{parts.password}" if parts.username else None)
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=30, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        sent = None if body is None else json.dumps(msgspec.to_builtins(body))
        connection.request(method, f"{parts.path.rstrip('/')}/access/{path}", sent, headers)
        answer = connection.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise StoreUnavailable(
            f"{parts.hostname}:{parts.port or ''} cannot be reached: {error or 'it does not answer'}.",
            hint="Is the server running? With --store the store is opened without one.",
        ) from None
    finally:
        connection.close()
    if answer.status >= 300:
        raise _refusal(answer.status, said)
    return said


def _refusal(status: int, said: bytes) -> PenstockError:
    error = error_in(status, said)
    if isinstance(error, AccessDenied) and not error.problem.hint:
        return AccessDenied(error.problem.message, hint="Give a key that may administer: --key ID:SECRET.")
    return error
