"""The only clock and the only randomness. Everything below is told the instant, the ids and the tokens."""

import asyncio
import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from penstock.core.placement import slot_of
from penstock.core.receipts import TOKEN_BYTES

_STOCK_BYTES = 4096
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


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

    def message_id(self, now: int, queue: str | None = None) -> str:
        """Return a new UUID in text form; it carries the slot of the queue it is for (``core.placement``)."""
        ...

    def tokens(self, count: int) -> list[bytes]:
        """Return new receipt tokens."""
        ...


@lru_cache(1024)
def _slot_digits(queue: str) -> str:
    """Return what the id of a message says of its queue; the same for every message of it."""
    return f"{slot_of(queue):03x}"


class SystemEntropy:
    """Mints from the operating system's random numbers, which are asked for many at a time."""

    def __init__(self) -> None:
        self._stock: bytes = b""
        self._used = 0
        self._minted_at = -1
        self._id_start = ""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def message_id(self, now: int, queue: str | None = None) -> str:
        # UUID version 7 (RFC 9562): ids of one time lie together, which keeps a store's index of them small and warm
        if now != self._minted_at:
            digits = now.to_bytes(6, "big").hex()
            self._minted_at, self._id_start = now, f"{digits[:8]}-{digits[8:]}-7"
        tail = self._random(10).hex()
        if queue is not None:
            tail = _slot_digits(queue) + tail[3:]
        return f"{self._id_start}{tail[:3]}-{_VARIANT[tail[3]]}{tail[4:7]}-{tail[7:19]}"

    def tokens(self, count: int) -> list[bytes]:
        return [self._random(TOKEN_BYTES) for _ in range(count)]

    def _random(self, count: int) -> bytes:
        at = self._used
        if at + count > len(self._stock):
            self._stock, at = os.urandom(_STOCK_BYTES), 0
        self._used = at + count
        return self._stock[at : at + count]

    def _forget(self) -> None:
        """Have nothing in stock: what a process has must not be used by its child too."""
        self._stock, self._used = b"", 0
