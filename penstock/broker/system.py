"""The only clock and the only randomness. Everything below is told the instant, the ids and the tokens."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Protocol

from penstock.core.receipts import TOKEN_BYTES


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def call_at(self, at: int, callback: Callable[[], None]) -> Callable[[], None]:
        # half a millisecond late rather than early: a timer that fires early would look and find nothing
        delay_seconds = max(0.0, (at - self.now_ms()) / 1000 + 0.0005)
        return asyncio.get_running_loop().call_later(delay_seconds, callback).cancel


class Entropy(Protocol):
    """Mints what must be unique."""

    def message_id(self, now: int) -> str:
        """Return a new UUID in text form."""
        ...

    def tokens(self, count: int) -> list[bytes]:
        """Return new receipt tokens."""
        ...


class SystemEntropy:
    """Mints from the operating system's random numbers."""

    def message_id(self, now: int) -> str:
        # UUID version 7 (RFC 9562): ids of one time lie together, which keeps a store's index of them small and warm
        digits = now.to_bytes(6, "big").hex()
        tail = os.urandom(10).hex()
        return f"{digits[:8]}-{digits[8:]}-7{tail[:3]}-{'89ab'[int(tail[3], 16) & 3]}{tail[4:7]}-{tail[7:19]}"

    def tokens(self, count: int) -> list[bytes]:
        if count == 1:
            return [os.urandom(TOKEN_BYTES)]
        many = os.urandom(TOKEN_BYTES * count)
        return [many[at : at + TOKEN_BYTES] for at in range(0, len(many), TOKEN_BYTES)]
