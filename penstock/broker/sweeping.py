"""Upkeep: one loop that lets the store forget what has expired, and takes running moves on.

It sleeps until there is something to do: longer and longer while nothing expires, and not at all between the steps of a
move that may go on at once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from penstock.broker.contract import Broker
from penstock.broker.system import Entropy, SystemClock, SystemEntropy
from penstock.core.clock import Clock
from penstock.core.errors import PenstockError
from penstock.core.operations import Operation, StartMove
from penstock.store.contract import Store

Reply = TypeVar("Reply")

log = logging.getLogger("penstock.upkeep")

SWEEP_LIMIT = 1000
"""How much one sweep forgets, so that nothing else waits long for the store."""

SOON_MS = 20
SHORTEST_PAUSE_MS = 1000
LONGEST_PAUSE_MS = 10_000
"""Also how long the moves of a process that died wait for another one."""

MOVE_STEP = 100
"""How many messages one step of a move takes along."""


class Sweeping:
    """A broker whose store is kept up while it is open.

    Args:
        broker: performs the operations; closed with this one.
        store: what to keep up.
        clock: tells the time and rings the alarms.
        entropy: mints the ids of moved messages.
    """

    def __init__(
        self, broker: Broker, store: Store, clock: Clock | None = None, entropy: Entropy | None = None
    ) -> None:
        self._broker = broker
        self._perform = broker.perform
        self._store = store
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._is_kicked = asyncio.Event()
        self._sweep_at = 0
        self._move_at: int | None = 0
        self._pause_ms = SHORTEST_PAUSE_MS
        self._loop = asyncio.get_running_loop().create_task(self._run())

    def perform(self, operation: Operation[Reply]) -> Coroutine[Any, Any, Reply]:
        # not a coroutine of its own: this is on the path of every message
        kind: type = type(operation)
        return self._start_move(operation) if kind is StartMove else self._perform(operation)

    async def aclose(self) -> None:
        await self.stop_sweeping()
        await self._broker.aclose()

    async def stop_sweeping(self) -> None:
        """End the upkeep; operations are performed as before."""
        self._loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._loop

    async def _start_move(self, operation: Operation[Reply]) -> Reply:
        reply = await self._perform(operation)
        self._move_at = 0
        self._is_kicked.set()
        return reply

    async def _run(self) -> None:
        while True:
            try:
                await self._work()
            except PenstockError as error:
                log.warning("upkeep failed and is tried again: %s: %s", error.code, error)
                self._put_off()
            except Exception:
                log.exception("upkeep failed and is tried again")
                self._put_off()
            await self._rest()

    async def _work(self) -> None:
        now = self._clock.now_ms()
        if now >= self._sweep_at:
            forgotten = await self._store.sweep(SWEEP_LIMIT, now)
            if forgotten:
                self._pause_ms = SHORTEST_PAUSE_MS
            self._sweep_at = now + (SOON_MS if forgotten >= SWEEP_LIMIT else self._pause_ms)
            self._pause_ms = min(2 * self._pause_ms, LONGEST_PAUSE_MS)
            self._move_at = 0
        if self._move_at is not None and now >= self._move_at:
            ids = [self._entropy.message_id(now) for _ in range(MOVE_STEP)]
            self._move_at = None
            next_at = await self._store.step_moves(ids, now)
            if self._move_at is None:  # else a move was started meanwhile
                self._move_at = next_at

    def _put_off(self) -> None:
        self._sweep_at = self._clock.now_ms() + self._pause_ms
        self._move_at = None
        self._pause_ms = min(2 * self._pause_ms, LONGEST_PAUSE_MS)

    async def _rest(self) -> None:
        """Sleep until something is due, or until a move is started."""
        wake_at = self._sweep_at if self._move_at is None else min(self._sweep_at, self._move_at)
        if wake_at <= self._clock.now_ms():
            await asyncio.sleep(0)
            return
        cancel_alarm = self._clock.call_at(wake_at, self._is_kicked.set)
        try:
            await self._is_kicked.wait()
        finally:
            cancel_alarm()
            self._is_kicked.clear()
