"""One connection to a Redis server for a thread that has no event loop, which waits for each answer itself."""

import contextlib
import socket
import struct
import sys
from typing import Any

import hiredis

from penstock.core.finishing import finished
from penstock.store.redis.address import Address, Host
from penstock.store.redis.connection import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    LOST,
    cannot_be_reached,
    check_let_in,
    introduction,
    pack,
)
from penstock.store.redis.locating import nobody_says, told_by

_MORE = object()
_READ_BYTES = 1 << 16
_TIMEVAL = struct.Struct("@ll")


class BlockingConnection:
    """One connection to a server, on which one question is asked at a time, and nothing has been said yet.

    Args:
        host: where it is.
        address: how to speak to it.

    Raises:
        OSError: nobody answers there.
    """

    def __init__(self, host: Host, address: Address) -> None:
        self.host = host[0]
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._socket = socket.create_connection(host, CONNECT_SECONDS)
        try:
            if (tls := address.tls_context()) is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=self.host)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.close()
            raise

    async def ask(self, *command: bytes | str | int) -> Any:
        """Send a command and return its answer: a value, a ``hiredis.ReplyError``, or ``LOST``."""
        return self.exchange(pack(command))

    def exchange(self, packed: bytes) -> Any:
        """Send a packed command and return its answer."""
        reader = self._reader
        try:
            self._socket.sendall(packed)
            while (answer := reader.gets()) is _MORE:
                data = self._socket.recv(_READ_BYTES)
                if not data:
                    return LOST
                reader.feed(data)
        except (OSError, hiredis.ProtocolError):
            return LOST
        return answer

    def leave_time_to_system(self) -> None:
        """From now on an answer has ``ANSWER_SECONDS``. A timeout of Python's own would cost two more calls of the
        system each time."""
        if sys.platform == "win32":
            self._socket.settimeout(ANSWER_SECONDS)
            return
        self._socket.settimeout(None)
        limit = _TIMEVAL.pack(int(ANSWER_SECONDS), int(ANSWER_SECONDS % 1 * 1_000_000))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, limit)

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


def connect(address: Address) -> BlockingConnection:
    """Connect to the server that takes the changes, and introduce ourselves. Raises StoreUnavailable."""
    host = _locate(address)
    name = f"{host[0]}:{host[1]}"
    try:
        connection = BlockingConnection(host, address)
    except OSError as error:
        raise cannot_be_reached(name, error) from error
    try:
        for command in introduction(address):
            check_let_in(connection.exchange(pack(command)), name)
        connection.leave_time_to_system()
    except OSError as error:
        connection.close()
        raise cannot_be_reached(name, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _locate(address: Address) -> Host:
    if address.kind == "server":
        return address.hosts[0]
    reasons = []
    for host in address.hosts:
        try:
            with contextlib.closing(BlockingConnection(host, address)) as connection:
                found = finished(told_by(connection, address))
            if found is not None:
                return found
            reasons.append(f"{host[0]}:{host[1]} does not know")
        except OSError as error:
            reasons.append(f"{host[0]}:{host[1]}: {error}")
    raise nobody_says(reasons)
