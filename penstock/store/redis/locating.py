"""Where to connect: to the server itself, to the primary that sentinels name, or to the node that holds the hash tag.

Asked anew at each connection, so that a failover is followed by connecting again.
"""

import asyncio
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import hiredis

from penstock.core.errors import StoreUnavailable
from penstock.store.redis.address import Address, Host
from penstock.store.redis.connection import CONNECT_SECONDS, Connection, connect, open_connection

_SLOTS = 16_384


class Informant(Protocol):
    """A connection to somebody who may know."""

    host: str

    async def ask(self, *command: bytes | str | int) -> Any:
        """Send a command and return its answer, which may be a ``hiredis.ReplyError``."""
        ...


async def connect_to(
    address: Address, on_push: Callable[[list[Any]], None], on_lost: Callable[[Connection], None], channel: str
) -> Connection:
    """Connect to the server that takes the changes, and listen to a channel. Raises StoreUnavailable."""
    return await connect(await _locate(address), address, on_push, on_lost, channel)


async def _locate(address: Address) -> Host:
    if address.kind == "server":
        return address.hosts[0]
    reasons = []
    for host in address.hosts:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await open_connection(host, address, _ignore, _ignore)
                found = await told_by(connection, address)
            if found is not None:
                return found
            reasons.append(f"{host[0]}:{host[1]} does not know")
        except (OSError, TimeoutError) as error:
            reasons.append(f"{host[0]}:{host[1]}: {error or 'no answer'}")
        finally:
            if connection is not None:
                connection.close()
    raise nobody_says(reasons)


async def told_by(informant: Informant, address: Address) -> Host | None:
    """Return where a sentinel, or a node of a cluster, says that the server is; ``None``: it does not know."""
    return await (_primary if address.kind == "sentinel" else _holder)(informant, address)


def nobody_says(reasons: Sequence[str]) -> StoreUnavailable:
    """Return what callers are told where none of the hosts knows."""
    return StoreUnavailable(
        f"Nobody says where to connect: {'; '.join(reasons)}.",
        hint="Are the sentinels or nodes running, and is the primary's name right?",
    )


async def _primary(informant: Informant, address: Address) -> Host | None:
    answer = await informant.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
    if not answer or isinstance(answer, Exception):
        return None
    return answer[0].decode(), int(answer[1])


async def _holder(informant: Informant, address: Address) -> Host | None:
    if address.password is not None:
        await informant.ask("AUTH", address.username or "default", address.password)
    slot = binascii.crc_hqx(address.tag.encode(), 0) % _SLOTS
    answer = await informant.ask("CLUSTER", "SLOTS")
    if isinstance(answer, hiredis.ReplyError | OSError):
        return None
    for first, last, (host, port, *_), *_ in answer:
        if first <= slot <= last:
            # a node that does not know its own name is the one that was asked
            return (host.decode() or informant.host), port
    return None


def _ignore(_: Any) -> None:
    """Nobody waits for this."""
