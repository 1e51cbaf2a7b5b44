"""The way to a server for a thread that has no event loop: it asks, and waits for the answer itself.

What is awaited of it is there already, so a coroutine that awaits nothing else runs to its end in one step
(``core.finished``). It takes no wake-ups: nothing can be waited for here.
"""

import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Generator, Sequence
from time import monotonic, sleep
from typing import Any

import hiredis

from penstock.core.errors import StoreUnavailable
from penstock.core.finishing import finished
from penstock.store.redis.address import Address, Host
from penstock.store.redis.batch import Batch, Call, waiting_for
from penstock.store.redis.calls import ANSWER_SECONDS, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from penstock.store.redis.connection import (
    CONNECT_SECONDS,
    LOST,
    cannot_be_reached,
    check_let_in,
    introduction,
    pack,
)
from penstock.store.redis.locating import nobody_says, told_by
from penstock.store.redis.refusals import Remedy, refused, too_few_replicas
from penstock.store.redis.scripts import FUNCTIONS, SCRIPTS
from penstock.store.shard import MapChanged

_MORE = object()
_READ_BYTES = 1 << 16
_TIMEVAL = struct.Struct("@ll")


class Answer:
    """What was answered, to be awaited."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, None, Any]:
        return self._value
        yield  # never: this makes it a generator


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
        self._socket.settimeout(None)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(ANSWER_SECONDS, 0))

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


class BlockingCalls:
    """The way to one server, for one thread at a time; as ``Calls``, but that each call goes out alone.

    Args:
        address: which server.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client = os.urandom(9).hex()
        self._form = FUNCTIONS if address.functions else SCRIPTS
        self._numbers = itertools.count(1)
        self._connection: BlockingConnection | None = None

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable."""
        self._connected()

    def submit(self, verb: str, now: int, *arguments: bytes | str | int) -> Answer:
        """Return a verb's outcome. Raises StoreUnavailable."""
        return self.submit_by("", verb, now, arguments)

    def submit_by(self, epoch: int | str, verb: str, now: int, arguments: Sequence[bytes | str | int]) -> Answer:
        """Return a verb's outcome, asked by the map of an epoch. Raises StoreUnavailable, MapChanged."""
        outcomes, _ = self._perform(Batch([Call(verb, (now, *arguments), epoch)], self._numbers))
        if not outcomes:
            raise MapChanged(f"The shard at {self.address.name} knows another map.")
        return Answer(outcomes[0])

    async def ask(self, *command: bytes | str | int) -> Any:
        """Send a command of Redis itself; the answer may be a ``hiredis.ReplyError``."""
        answer = self._exchange(pack(command))
        if answer is LOST:
            raise StoreUnavailable(f"Redis at {self.address.name} closed the connection.")
        return answer

    async def aclose(self) -> None:
        """Let go of the connection."""
        self._drop()

    def _connected(self) -> BlockingConnection:
        if self._connection is None:
            self._connection = connect(self.address)
        return self._connection

    def _exchange(self, packed: bytes) -> Any:
        try:
            answer = self._connected().exchange(packed)
        except BaseException:
            # interrupted: what comes next on it answers something else
            self._drop()
            raise
        if answer is LOST:
            self._drop()
        return answer

    def _perform(self, batch: Batch) -> Any:
        """Ask until there is an answer that is no error; a server that is away gets its time."""
        until, pause_seconds = 0.0, 0.0
        while True:
            try:
                answer = self._exchange(batch.packed(self._form, self.address.tag, self._client))
                count = self._replicas_of(batch, answer)
            except StoreUnavailable as away:
                remedy, problem = Remedy.RECONNECT, away
            else:
                answer = count if isinstance(count, Exception) else answer
                if not isinstance(answer, Exception):
                    if count < self.address.wait_replicas:
                        raise too_few_replicas(count, self.address.wait_replicas)
                    return answer
                remedy, problem = batch.remedy(answer), refused(answer, self.address.name)
            if remedy is Remedy.LOAD:
                with contextlib.suppress(StoreUnavailable):
                    self._exchange(pack(self._form.load))
            elif remedy is Remedy.SCRIPTS:
                self._form = SCRIPTS
            elif remedy is Remedy.RECONNECT:
                until = until or monotonic() + self.address.patience_seconds
                if monotonic() >= until:
                    raise problem
                self._drop()
                sleep(pause_seconds)
                pause_seconds = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * pause_seconds))
            else:
                raise problem

    def _replicas_of(self, batch: Batch, answer: Any) -> Any:
        """Return how many replicas have what a batch changed, as far as anybody wants to know."""
        wanted = self.address.wait_replicas
        if not wanted or batch.number == "" or isinstance(answer, Exception):
            return wanted
        return self._exchange(waiting_for(wanted))

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
