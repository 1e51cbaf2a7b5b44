"""What runs attempts, and the way from one thread to another."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from penstock.worker.engine.calling import Attempt
from penstock.worker.outcomes import Outcome


class Runner(Protocol):
    """Runs attempts somewhere. Used from the worker's own loop only."""

    async def run(self, attempt: Attempt) -> Outcome:
        """Run an attempt and return how it ended. Raises nothing but CancelledError."""
        ...

    def stop(self, attempt: Attempt) -> None:
        """Make an attempt that runs end soon, as far as that is possible here; its context says why."""
        ...

    async def aclose(self) -> None:
        """End; attempts that still run are left alone or ended, as is possible."""
        ...


class Mailbox:
    """Hands things to a loop from other threads; many at once cost one wake-up.

    Args:
        loop: where ``take`` is called.
        take: takes one thing.
        sender: the loop that everything is posted from, if it is one: what that posts in one turn goes together. A
            wake-up in the middle of it would have two threads struggle for the interpreter.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[..., None],
        sender: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._loop = loop
        self._take = take
        self._sender = sender
        self._letters: deque[tuple[Any, ...]] = deque()
        self._is_announced = False

    def post(self, *letter: Any) -> None:
        """Hand over; from any thread, unless there is a ``sender``."""
        self._letters.append(letter)
        if not self._is_announced:
            self._is_announced = True
            if self._sender is None:
                self._announce()
            else:
                self._sender.call_soon(self._announce)

    def _announce(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there to take it
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_announced = False
        while self._letters:
            self._take(*self._letters.popleft())
