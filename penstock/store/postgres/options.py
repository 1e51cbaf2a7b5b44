"""What a store's URL says: which database and schema, how durable, how many connections, what stands in between."""

import re
from collections.abc import Mapping
from typing import Literal, get_args
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from msgspec import Struct

from penstock.core.errors import InvalidRequest

Durability = Literal["full", "local", "off", "server"]
"""What an answer promises. ``full``: flushed to disk, and by the standbys PostgreSQL waits for (synchronous_commit on).
``local``: flushed to disk here. ``off``: not yet flushed; when PostgreSQL or its machine goes down the last moments are
lost, and nothing is torn. ``server``: what the database or the role is set to."""

Wakeups = Literal["listen", "poll"]
"""How a process hears that others have sent something: LISTEN on a connection of its own, or by asking."""

SYNCHRONOUS_COMMIT: Mapping[str, str | None] = {"full": "on", "local": "local", "off": "off", "server": None}
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_OWN = ("schema", "durability", "connections", "wakeups", "pgbouncer", "statement_timeout", "connect_timeout")


class Options(Struct, frozen=True):
    """How to use a database.

    Attributes:
        dsn: what the driver is told: where, who, and its own parameters (``sslmode``, ``target_session_attrs``, ...).
        schema: of all tables and functions.
        durability: what an answer promises.
        connections: at most so many at once, besides the one that listens.
        wakeups: how a process hears of what others send.
        is_pooled: a pooler in transaction mode stands in between: no prepared statements, no settings of a session.
        statement_timeout_ms: PostgreSQL ends a statement that takes longer; ``None`` never.
        connect_timeout_seconds: how long to wait for a connection.
    """

    dsn: str
    schema: str = "penstock"
    durability: Durability = "full"
    connections: int = 4
    wakeups: Wakeups = "listen"
    is_pooled: bool = False
    statement_timeout_ms: int | None = 60_000
    connect_timeout_seconds: float = 10

    @property
    def synchronous_commit(self) -> str | None:
        """What each transaction sets; ``None`` leaves what the server has."""
        return SYNCHRONOUS_COMMIT[self.durability]

    @property
    def place(self) -> str:
        """Where the database is, without passwords, for messages."""
        parts = urlsplit(self.dsn)
        return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"


def options_from(url: str) -> Options:
    """Read a URL. Raises InvalidRequest for what it may not say."""
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    own = {name: given.pop(name) for name in _OWN if name in given}
    query = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in given.items())
    options = Options(dsn=urlunsplit(("postgresql", parts.netloc, parts.path, query, "")))
    changes: dict[str, object] = {}
    if "schema" in own:
        changes["schema"] = own["schema"]
        if not _SCHEMA_NAME.fullmatch(own["schema"]):
            raise _wrong("schema", own["schema"], "Use small letters, digits and underscores.")
    if "durability" in own:
        changes["durability"] = _one_of("durability", own["durability"], get_args(Durability))
    is_pooled = _one_of("pgbouncer", own.get("pgbouncer", "no"), ("no", "yes")) == "yes"
    changes["is_pooled"] = is_pooled
    # a notification needs a session of its own, which a pooler in transaction mode does not keep
    changes["wakeups"] = _one_of("wakeups", own.get("wakeups", "poll" if is_pooled else "listen"), get_args(Wakeups))
    if "connections" in own:
        changes["connections"] = _whole("connections", own["connections"], at_least=2)
    if "statement_timeout" in own:
        seconds = _whole("statement_timeout", own["statement_timeout"], at_least=0)
        changes["statement_timeout_ms"] = seconds * 1000 or None
    if "connect_timeout" in own:
        changes["connect_timeout_seconds"] = float(_whole("connect_timeout", own["connect_timeout"], at_least=1))
    if not unquote(parts.path).strip("/") and "dbname" not in given and "service" not in given:
        raise InvalidRequest(
            "The store's URL names no database.", hint="postgresql://user:password@host:5432/database", field="store"
        )
    return Options(**{**{name: getattr(options, name) for name in options.__struct_fields__}, **changes})


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise _wrong(name, value, f"Choose one of {', '.join(allowed)}.")
    return value


def _whole(name: str, value: str, *, at_least: int) -> int:
    if not value.isdecimal() or int(value) < at_least:
        raise _wrong(name, value, f"Use a whole number from {at_least} on.")
    return int(value)


def _wrong(name: str, value: str, hint: str) -> InvalidRequest:
    return InvalidRequest(f"The store's URL has {name}={value!r}.", hint=hint, field="store")
