"""Letting the event loop work until something holds. Bounded by real time; nothing sleeps for a fixed while."""

import asyncio
import time
from collections.abc import Callable

PATIENCE_SECONDS = 10
_TURNS_IN_A_ROW = 3


async def until(holds: Callable[[], bool], what: str) -> None:
    """Return when ``holds`` has been true for some turns of the loop in a row."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    in_a_row = turns = 0
    while in_a_row < _TURNS_IN_A_ROW:
        turns += 1
        # a store may work in a thread and a server behind a socket: after a busy start leave them the processor
        await asyncio.sleep(0 if turns < 20 else 0.001)
        in_a_row = in_a_row + 1 if holds() else 0
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain: {what}")
