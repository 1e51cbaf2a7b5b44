"""A store that is followed when it moves house: what is asked of it afterwards is asked of the one it has moved to.

A store says that it has moved before it has done anything, so what was asked may be asked again there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from penstock.core.errors import PenstockError
from penstock.core.filters import Matcher, matches
from penstock.store.contract import EVERY_GROUP, VERBS, Store, WakeupListener, wakeup_name

log = logging.getLogger("penstock.store")

_ALL = 1 << 30


class StoreMoved(PenstockError):
    """Everything is in another store now; nothing was done here.

    Attributes:
        url: of that store.
    """

    code = "store_moved"

    def __init__(self, url: str, shown: str) -> None:
        super().__init__(f"The store has moved to {shown}.", hint="Name that one in the configuration.")
        self.url = url


class FollowingStore:
    """Asks a store, and the one it has moved to.

    Args:
        store: where everything is so far.
        open_next: opens a store by its URL.
    """

    def __init__(self, store: Store, open_next: Callable[[str], Awaitable[Store]]) -> None:
        self.store = store
        self._open_next = open_next
        self._before: list[Store] = []
        self._listeners: list[WakeupListener] = []
        self._matcher: Matcher = matches
        self._following = asyncio.Lock()
        for verb in VERBS:
            setattr(self, verb, partial(self._ask, verb))

    async def _ask(self, verb: str, *arguments: Any, **more: Any) -> Any:
        while True:
            store = self.store
            try:
                return await getattr(store, verb)(*arguments, **more)
            except StoreMoved as moved:
                await self._follow(store, moved)

    async def _follow(self, left: Store, moved: StoreMoved) -> None:
        async with self._following:
            if self.store is not left:
                return
            log.warning("%s %s", moved, moved.problem.hint)
            store = await self._open_next(moved.url)
            store.match_by(self._matcher)
            for listener in self._listeners:
                store.listen(listener)
            self._before.append(left)
            self.store = store
            # who waits has been told by the old one, which says nothing any more
            for queue in await store.list_queues("", "", _ALL, None, 0):
                for listener in self._listeners:
                    listener(queue.name, 0)
                    listener(wakeup_name(queue.name, EVERY_GROUP), 0)

    def listen(self, listener: WakeupListener) -> None:
        self._listeners.append(listener)
        self.store.listen(listener)

    def match_by(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self.store.match_by(matcher)

    async def aclose(self) -> None:
        for store in (*self._before, self.store):
            await store.aclose()
