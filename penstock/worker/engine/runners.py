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
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[..., None]) -> None:
        self._loop = loop
        self._take = take
        self._letters: deque[tuple[Any, ...]] = deque()
        self._is_announced = False

    def post(self, *letter: Any) -> None:
        """Hand over; from any thread."""
        self._letters.append(letter)
        if not self._is_announced:
            self._is_announced = True
            with suppress(RuntimeError):  # the loop is closed: nobody is there to take it
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_announced = False
        while self._letters:
            self._take(*self._letters.popleft())
