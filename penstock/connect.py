"""A broker by its URL: the store in this process, or the server at the other end."""

from urllib.parse import urlsplit

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.broker.sweeping import Sweeping
from penstock.core.clock import Clock
from penstock.store import open_blocking_store, open_store

SERVER_SCHEMES = ("http", "https")


async def open_broker(
    url: str, *, key: str | None = None, clock: Clock | None = None, is_kept_up: bool = True
) -> Broker:
    """Open a broker; it belongs to the running event loop.

    Args:
        url: of a server (``http://host:3000``) or of a store (see ``open_store``).
        key: ``<key id>:<secret>`` for a server that asks for one; may be in the URL before ``@`` instead.
        clock: tells the time; the machine's if not given.
        is_kept_up: whether a store is also swept from here, for as long as the broker is open.

    Raises:
        InvalidRequest: the URL names neither.
        StoreUnavailable, StoreDamaged, StoreTooNew: the store cannot be used.
    """
    if urlsplit(url).scheme in SERVER_SCHEMES:
        from penstock.client.http import HttpBroker

        return HttpBroker(url, token=key, clock=clock)
    store = await open_store(url)
    local = LocalBroker(store, clock)
    return Sweeping(local, store, clock) if is_kept_up else local


def open_blocking_broker(url: str, *, clock: Clock | None = None) -> Broker | None:
    """Open a broker for a thread that has no event loop; see ``open_blocking_store``, which says what is raised.

    Returns:
        ``None``: the URL names a server, or a store that has no such way.
    """
    store = open_blocking_store(url)
    return None if store is None else LocalBroker(store, clock)
