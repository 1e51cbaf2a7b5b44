"""Which server a URL names, and how it is used."""

import ssl
from typing import Literal
from urllib.parse import parse_qsl, unquote

from msgspec import Struct, structs

from penstock.core.errors import InvalidRequest
from penstock.store.redis.keys import DEFAULT_TAG

SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_PORTS = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_HINT = "Use redis://[user:password@]host[:port][/database] or one of the other forms in docs/redis.md."

MOST_SHARDS = 64

Kind = Literal["server", "sentinel", "cluster"]
Host = tuple[str, int]


class Address(Struct, frozen=True, kw_only=True):
    """One Redis server, or one hash tag on it.

    Attributes:
        kind: ``server``: the host is the server; ``sentinel``: the hosts know which server is the primary of
            ``service``; ``cluster``: the hosts are some nodes of a cluster, one of which holds the hash tag.
        hosts: names and ports.
        service: what the sentinels call the primary.
        username, password: ``None`` without.
        database: its number.
        tag: hash tag of every key; two Penstock systems may share a server under different ones.
        wait_replicas: an answered change has reached so many replicas (Redis ``WAIT``).
        patience_seconds: how long a call waits for a server that is away before it fails.
        functions: use Redis functions where the server has them (from 7 on); else scripts, which are slower.
        uses_tls: speak TLS; with ``ca`` only to servers that this file of certificates vouches for.
    """

    kind: Kind = "server"
    hosts: tuple[Host, ...]
    service: str = ""
    username: str | None = None
    password: str | None = None
    database: int = 0
    tag: str = DEFAULT_TAG
    wait_replicas: int = 0
    patience_seconds: float = 15
    functions: bool = True
    uses_tls: bool = False
    ca: str | None = None

    @property
    def name(self) -> str:
        """What error messages call it; never with the password."""
        return ", ".join(f"{host}:{port}" for host, port in self.hosts)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return how to speak TLS, or ``None``. Raises InvalidRequest when ``ca`` cannot be read."""
        if not self.uses_tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise InvalidRequest(
                f"The certificates in {self.ca!r} cannot be read: {error}.", hint="Check the option ca.", field="store"
            ) from error


def read_addresses(url: str) -> tuple[Address, ...]:
    """Return the shards that a URL names, in their order; its forms are in docs/redis.md.

    Each host of ``redis://`` is one, each name behind sentinels, and each of those once more under each of ``tags``.

    Raises:
        InvalidRequest: it is no such URL, or has an unknown option.
    """
    scheme, _, rest = url.partition("://")
    location, _, query = rest.partition("?")
    netloc, _, path = location.partition("/")
    user, _, hosts = netloc.rpartition("@")
    username, _, password = user.partition(":")
    options = dict(parse_qsl(query, keep_blank_values=True))
    tls, _, kind = scheme.partition("+")
    try:
        if scheme not in SCHEMES:
            raise ValueError("unknown form")
        found: Kind = kind or "server"  # type: ignore[assignment]
        tag, tags = options.pop("tag", DEFAULT_TAG), options.pop("tags", None)
        address = Address(
            kind=found,
            hosts=tuple(_host(each, _PORTS[found]) for each in hosts.split(",")),
            service=path if kind == "sentinel" else "",
            username=unquote(username) or None,
            password=unquote(password) or None,
            database=int(options.pop("database", 0) if kind else path or 0),
            tag=tag,
            wait_replicas=int(options.pop("wait_replicas", 0)),
            patience_seconds=float(options.pop("patience_seconds", 15)),
            functions=options.pop("functions", "yes") != "no",
            uses_tls=tls == "rediss",
            ca=options.pop("ca", None),
        )
        if options:
            raise ValueError(f"unknown option {', '.join(sorted(options))}")
        addresses = _tagged(_spread(address), (tag,) if tags is None else tuple(tags.split(",")))
        _check(addresses)
    except ValueError as error:
        raise InvalidRequest(f"{_shown(url)!r} is no store: {error}.", hint=_HINT, field="store") from error
    return addresses


def _spread(address: Address) -> list[Address]:
    if address.kind == "server":
        return [structs.replace(address, hosts=(host,)) for host in address.hosts]
    if address.kind == "sentinel":
        return [structs.replace(address, service=each) for each in address.service.split(",")]
    return [address]


def _tagged(addresses: list[Address], tags: tuple[str, ...]) -> tuple[Address, ...]:
    return tuple(structs.replace(address, tag=tag) for address in addresses for tag in tags)


def _check(addresses: tuple[Address, ...]) -> None:
    if any(not each.tag or set("{}") & set(each.tag) for each in addresses):
        raise ValueError("a tag has characters, but no braces")
    if any(each.kind == "sentinel" and not each.service for each in addresses):
        raise ValueError("the name of the primary is missing: redis+sentinel://host/name")
    if len({(each.hosts, each.service, each.tag) for each in addresses}) < len(addresses):
        raise ValueError("it names a shard twice")
    if len(addresses) > MOST_SHARDS:
        raise ValueError(f"a store has at most {MOST_SHARDS} shards")


def _host(text: str, default_port: int) -> Host:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default_port)
    return host.strip("[]") or "localhost", int(port)


def _shown(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
