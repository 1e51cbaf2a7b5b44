"""Entropy that counts: the same calls mint the same ids and tokens, so that replies of two stores can be compared."""

import itertools

from penstock.core.receipts import TOKEN_BYTES


class CountingEntropy:
    """Mints message ids and receipt tokens from two counters."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._tokens = itertools.count(1)

    def message_id(self, now: int, queue: str | None = None) -> str:
        return message_id(next(self._ids))

    def tokens(self, count: int) -> list[bytes]:
        return [next(self._tokens).to_bytes(TOKEN_BYTES, "big") for _ in range(count)]


def message_id(number: int) -> str:
    """Return the id that is minted as the ``number``-th, counted from 1."""
    return f"00000000-0000-7000-8000-{number:012x}"


def own_id(number: int) -> str:
    """Return a message id that is never minted, for callers that name a message themselves."""
    return f"ffffffff-0000-4000-8000-{number:012x}"
