"""A store that tells how long each of its calls took, whatever store it is."""

import inspect
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, cast

from penstock.store.contract import Store

Told = Callable[[str], Callable[[float], None]]
"""Returns by the name of a call what is told its seconds when one has ended, however it did; must be quick."""

CALLS = tuple(
    name for name, each in vars(Store).items() if inspect.iscoroutinefunction(each) and not name.startswith("_")
)


def timed(store: Store, told: Told) -> Store:
    """Return a store that does the same and tells how long it took."""
    return cast(Store, _Timed(store, told))


class _Timed:
    def __init__(self, store: Store, told: Told) -> None:
        self._store = store
        for name in CALLS:
            setattr(self, name, _watched(getattr(store, name), told(name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _watched(call: Callable[..., Awaitable[Any]], told: Callable[[float], None]) -> Callable[..., Awaitable[Any]]:
    async def watched(*args: Any, **named: Any) -> Any:
        started = perf_counter()
        try:
            return await call(*args, **named)
        finally:
            told(perf_counter() - started)

    return watched
