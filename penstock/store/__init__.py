"""How messages are kept: one contract, several stores, chosen by URL."""

from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from penstock.core.errors import InvalidRequest
from penstock.store.contract import Store

KINDS = ("sqlite", "memory", "postgresql")


async def open_store(url: str) -> Store:
    """Open the store a URL names; a store's code is imported only when it is asked for.

    Args:
        url: ``sqlite:///relative/path.db``, ``sqlite:////absolute/path.db``, with ``?durability=full`` (default) or
            ``os``; or ``memory://``.

    Raises:
        InvalidRequest: the URL is none of these.
        StoreUnavailable, StoreDamaged, StoreTooNew: the store cannot be used.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme == "memory":
        from penstock.store.memory import MemoryStore

        _no_more(url, options)
        return MemoryStore()
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        from penstock.store.sqlite import SqliteStore

        durability = options.pop("durability", "full")
        _no_more(url, options)
        return await SqliteStore.open(Path(unquote(parts.path[1:])), durability=cast(Any, durability))
    if parts.scheme in ("postgresql", "postgres"):
        try:
            from penstock.store.postgres import PostgresStore
        except ModuleNotFoundError as missing:
            raise InvalidRequest(
                f"The PostgreSQL store needs the package {missing.name}.",
                hint="Install penstock[postgres].",
                field="store",
            ) from missing
        return await PostgresStore.open(url)
    raise InvalidRequest(f"{url!r} is no store.", hint="Use sqlite:///path/to/file.db or memory://.", field="store")


def _no_more(url: str, options: dict[str, str]) -> None:
    if options:
        unknown = ", ".join(sorted(options))
        raise InvalidRequest(f"Unknown option {unknown} in {url!r}.", hint="Leave it out.", field="store")
