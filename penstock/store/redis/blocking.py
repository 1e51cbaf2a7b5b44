"""The way to a server for a thread that has no event loop: it asks, and waits for the answer itself.

What is awaited of it is there already, so a coroutine that awaits nothing else runs to its end in one step
(``core.finished``). It takes no wake-ups: nothing can be waited for here.
"""

import itertools
import os
import socket
import struct
from collections.abc import Generator, Sequence
from time import monotonic, sleep
from typing import Any

import hiredis

from penstock.core.errors import StoreUnavailable
from penstock.store.redis.address import Address
from penstock.store.redis.batch import Batch, Call
from penstock.store.redis.calls import ANSWER_SECONDS, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from penstock.store.redis.connection import (
    CONNECT_SECONDS,
    LOST,
    cannot_be_reached,
    check_let_in,
    introduction,
    pack,
)
from penstock.store.redis.refusals import Remedy, refused
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
    """One connection to a server, on which one question is asked at a time.

    Raises:
        StoreUnavailable: nobody answers there, or we are not let in.
    """

    def __init__(self, address: Address) -> None:
        (host,) = address.hosts
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        try:
            self._socket = socket.create_connection(host, CONNECT_SECONDS)
        except OSError as error:
            raise cannot_be_reached(address.name, error) from error
        try:
            self._begin(address, host[0])
        except OSError as error:
            self.close()
            raise cannot_be_reached(address.name, error) from error
        except BaseException:
            self.close()
            raise

    def _begin(self, address: Address, server_name: str) -> None:
        if (tls := address.tls_context()) is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname=server_name)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for command in introduction(address):
            check_let_in(self.ask(pack(command)), address.name)
        # the system keeps the time: a timeout of Python's own costs another call of it each time
        self._socket.settimeout(None)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(ANSWER_SECONDS, 0))

    def ask(self, packed: bytes) -> Any:
        """Send a packed command and return its answer: a value, a ``hiredis.ReplyError``, or ``LOST``."""
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

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


class BlockingCalls:
    """The way to one server, for one thread at a time; as ``Calls``, but that each call goes out alone.

    Args:
        address: of the kind ``server``.
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
        answer = self._ask(pack(command))
        if answer is LOST:
            raise StoreUnavailable(f"Redis at {self.address.name} closed the connection.")
        return answer

    async def aclose(self) -> None:
        """Let go of the connection."""
        self._drop()

    def _connected(self) -> BlockingConnection:
        if self._connection is None:
            self._connection = BlockingConnection(self.address)
        return self._connection

    def _ask(self, packed: bytes) -> Any:
        try:
            answer = self._connected().ask(packed)
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
                answer = self._ask(batch.packed(self._form, self.address.tag, self._client))
                if not isinstance(answer, Exception):
                    return answer
                remedy, problem = batch.remedy(answer), refused(answer, self.address.name)
                if remedy is Remedy.LOAD:
                    self._ask(pack(self._form.load))
            except StoreUnavailable as away:
                remedy, problem = Remedy.RECONNECT, away
            if remedy is Remedy.SCRIPTS:
                self._form = SCRIPTS
            elif remedy is Remedy.RECONNECT:
                until = until or monotonic() + self.address.patience_seconds
                if monotonic() >= until:
                    raise problem
                self._drop()
                sleep(pause_seconds)
                pause_seconds = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * pause_seconds))
            elif remedy is not Remedy.LOAD:
                raise problem

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
