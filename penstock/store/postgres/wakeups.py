"""How a process hears that others have made something receivable: LISTEN, or with a pooler in between by asking.

Wake-ups are hints. While the connection that listens is away, the store asks instead, so that none is late for long.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

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
        find_told: asks which of some queues were told of since a receive came up empty there.
        on_wakeup: told queues and instants, on the event loop.
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

    def await_queue(self, queue: str) -> None:
        """A receive of this process came up empty: hear of what comes from now on."""
        self._awaited.pop(queue, None)
        self._awaited[queue] = None
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
                for queue in told:
                    self._awaited.pop(queue, None)
                self._on_wakeup(dict.fromkeys(told, 0))

    def _hear(self, connection: Connection | Any, pid: int, channel: str, payload: object) -> None:
        writer, _, queue = str(payload).partition(" ")
        if writer not in self._own_writers:
            self._on_wakeup({queue: 0})
