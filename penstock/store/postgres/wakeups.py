"""How a process hears that others have made something receivable: LISTEN, or with a pooler in between by asking.

Wake-ups are hints. While the connection that listens is away, the store asks instead, so that none is late for long.
"""

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from penstock.store.contract import wakeup_name
from penstock.store.postgres.connecting import LOST, Connection, connect
from penstock.store.postgres.options import Options

_POLL_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_MOST_REMEMBERED = 10_000


class Wakeups:
    """The connection that listens, opened when somebody first waits.

    Args:
        options: of the store.
        channel: what is listened to.
        own_writers: the numbers under which this process writes; what they tell is known here already.
        find_told: asks under which of some names was told something since a receive came up empty there.
        on_wakeup: told names and instants, on the event loop.
    """

    def __init__(
        self,
        options: Options,
        channel: str,
        own_writers: set[str],
        find_told: Callable[[list[str]], Awaitable[list[str]]],
        on_wakeup: Callable[[dict[str, int]], None],
    ) -> None:
        self._options = options
        self._channel = channel
        self._own_writers = own_writers
        self._find_told = find_told
        self._on_wakeup = on_wakeup
        self._awaited: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def await_name(self, name: str) -> None:
        """A receive of this process came up empty: hear of what comes from now on."""
        self._awaited.pop(name, None)
        self._awaited[name] = None
        if len(self._awaited) > _MOST_REMEMBERED:
            del self._awaited[next(iter(self._awaited))]
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        pause = _POLL_SECONDS
        while True:
            if self._options.wakeups == "listen":
                with contextlib.suppress(asyncpg.PostgresError, *LOST):
                    await self._listen()
                    pause = _POLL_SECONDS
            await self._poll()
            await asyncio.sleep(pause)
            if self._options.wakeups == "listen":
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _listen(self) -> None:
        """Listen until the connection is lost."""
        connection = await connect(self._options)
        is_lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: is_lost.set())
            await connection.add_listener(self._channel, self._hear)
            # what was told before this began, or while it was away
            await self._poll()
            await is_lost.wait()
        finally:
            connection.terminate()

    async def _poll(self) -> None:
        if self._awaited:
            with contextlib.suppress(Exception):
                told = await self._find_told(list(self._awaited))
                for name in told:
                    self._awaited.pop(name, None)
                self._on_wakeup(dict.fromkeys(told, 0))

    def _hear(self, connection: Connection | Any, pid: int, channel: str, payload: object) -> None:
        writer, queue, *followed = str(payload).split(" ")
        if writer not in self._own_writers:
            # "g" and the group id, see functions/01_queues.sql
            name = wakeup_name(queue, b64decode(followed[0][1:]).decode()) if followed else queue
            self._on_wakeup({name: 0})
