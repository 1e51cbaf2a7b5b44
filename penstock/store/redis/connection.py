"""One connection to a Redis server: commands go out in one write, answers come back in order, pushes in between.

A thin pipe over hiredis: what it costs is what a store can do (docs/decisions/0010-redis.md has the figures).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from penstock.core.errors import StoreUnavailable
from penstock.store.redis.address import Address, Host

OnAnswer = Callable[[Any], None]
"""Told the answer to a command: a value, a ``hiredis.ReplyError``, or ``LOST``."""

LOST = ConnectionResetError("the connection was closed")
"""The answer to what was asked when the connection was lost: it may have happened."""

_MORE = object()

CONNECT_SECONDS = 5
ANSWER_SECONDS = 10
"""How long a question may be unanswered before the connection counts as dead."""


def pack(command: Sequence[bytes | str | int]) -> bytes:
    """Return a command as it goes over the wire."""
    return cast(bytes, hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]


class Connection(asyncio.Protocol):
    """Made by ``connect``.

    Args:
        on_push: told messages that nobody asked for (RESP3 pushes).
        on_lost: told once that the connection is gone, after every open question was answered ``LOST``.
    """

    def __init__(self, on_push: Callable[[list[Any]], None], on_lost: "Callable[[Connection], None]") -> None:
        self._on_push, self._on_lost = on_push, on_lost
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._waiting: deque[OnAnswer] = deque()
        self._transport: asyncio.Transport | None = None
        self.is_open = False
        self.host = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _MORE:
                if type(answer) is hiredis.PushNotification:
                    self._on_push(answer)
                else:
                    self._waiting.popleft()(answer)
        except (hiredis.ProtocolError, IndexError):
            # not Redis, or no longer in step: nothing that follows can be understood
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_open:
            self.is_open = False
            self._end()

    def _end(self) -> None:
        while self._waiting:
            self._waiting.popleft()(LOST)
        self._on_lost(self)

    def send(self, packed: bytes, on_answer: OnAnswer) -> None:
        """Send one packed command."""
        assert self._transport is not None
        self._waiting.append(on_answer)
        self._transport.write(packed)

    async def ask(self, *command: bytes | str | int) -> Any:
        """Send a command and return its answer, which may be a ``hiredis.ReplyError``."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def on_answer(value: Any) -> None:
            if not answer.done():
                answer.set_result(value)

        self.send(pack(command), on_answer)
        return await answer

    def tell(self, *command: bytes | str | int) -> None:
        """Send a command that is answered by a push."""
        assert self._transport is not None
        self._transport.write(pack(command))

    def close(self) -> None:
        """Let go of the connection."""
        if self._transport is not None and self.is_open:
            self._transport.abort()
            self.is_open = False
            asyncio.get_running_loop().call_soon(self._end)


async def open_connection(
    host: Host, address: Address, on_push: Callable[[list[Any]], None], on_lost: Callable[[Connection], None]
) -> Connection:
    """Open a connection on which nothing has been said yet. Raises OSError."""
    connection = Connection(on_push, on_lost)
    connection.host = host[0]
    await asyncio.get_running_loop().create_connection(lambda: connection, *host, ssl=address.tls_context())
    return connection


async def connect(
    host: Host,
    address: Address,
    on_push: Callable[[list[Any]], None],
    on_lost: Callable[[Connection], None],
    channel: str,
) -> Connection:
    """Connect, introduce ourselves, choose the database and listen to a channel.

    Raises:
        StoreUnavailable: nobody answers there, or we are not let in.
    """
    name = f"{host[0]}:{host[1]}"
    connection: Connection | None = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await open_connection(host, address, on_push, on_lost)
            await _introduce(connection, address, name, channel)
    except (OSError, TimeoutError) as error:
        if connection is not None:
            connection.close()
        raise cannot_be_reached(name, error) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def introduction(address: Address) -> list[list[bytes | str | int]]:
    """Return the commands that a connection begins with."""
    hello: list[bytes | str | int] = ["HELLO", 3]
    if address.password is not None:
        hello += ["AUTH", address.username or "default", address.password]
    commands = [[*hello, "SETNAME", "penstock"]]
    if address.database:
        commands.append(["SELECT", address.database])
    return commands


def check_let_in(answer: Any, name: str) -> None:
    """Raise StoreUnavailable, or OSError, if a command of the introduction was not answered as it should be."""
    if isinstance(answer, OSError):
        raise answer
    if isinstance(answer, hiredis.ReplyError):
        raise StoreUnavailable(
            f"Redis at {name} does not let us in: {answer}.",
            hint="Penstock needs Redis 6.2 or newer, and the right user and password.",
        )


def cannot_be_reached(name: str, error: OSError) -> StoreUnavailable:
    """Return what callers are told of a server that nobody answers at."""
    return StoreUnavailable(
        f"Redis at {name} cannot be reached: {error or 'no answer'}.",
        hint="Is it running, and are host and port right?",
    )


async def _introduce(connection: Connection, address: Address, name: str, channel: str) -> None:
    for command in introduction(address):
        check_let_in(await connection.ask(*command), name)
    # SUBSCRIBE is answered by a push where it is allowed, and else by an error in the place of PONG
    connection.tell("SUBSCRIBE", channel)
    check_let_in(await connection.ask("PING"), name)
