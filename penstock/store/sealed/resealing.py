"""What is under which key, and bringing it under the one that seals, while everybody goes on.

Everything is read, and what is not under that key is written again, as it is, in its place. It may end anywhere and be
begun again: what was done needs only be read then. What moves on meanwhile is met in the next pass, so there is one
more until a pass finds nothing.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from msgspec import Struct, structs

from penstock.core.effects import Effects, Guard, Record
from penstock.core.errors import GuardFailed, PenstockError, QueueNotFound, StoreDamaged
from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView
from penstock.core.moves import Move, MoveStatus
from penstock.core.sealed import key_id_of
from penstock.store.contract import Store
from penstock.store.sealed.keys import CLEAR
from penstock.store.sealed.notice import NOTICE_KEY, keep_only, read_notice
from penstock.store.sealed.sealing import Unopenable
from penstock.store.sealed.store import SealedStore

_PAGE = 100
_MOST_PASSES = 10
_LATEST_MOVES = 10
_MOST_TOLD = 10
_KINDS = ("messages", "records", "moves", "reasons")


class Found(Struct, frozen=True):
    """What a pass has found.

    Attributes:
        messages: how many are under each key, by its id; ``clear``: under none. Blocked ones too.
        records: the same of records.
        moves: the same of what running move tasks look for.
        reasons: the same of reasons in the history, which nobody can write again.
        left: what is not under the key that seals and could not be brought under it, and why; some of it.
        left_count: how much that is.
    """

    messages: dict[str, int]
    records: dict[str, int]
    moves: dict[str, int]
    reasons: dict[str, int]
    left: tuple[str, ...] = ()
    left_count: int = 0


class StillSealing(PenstockError):
    """However often it is looked, there is something new under other keys."""

    code = "still_sealing"


class Resealing:
    """Looks through a store, and brings what it finds under the key that seals.

    Args:
        store: the sealed one.
        now_ms: tells the time.
        told: told how many messages and records have been looked at.
    """

    def __init__(
        self, store: SealedStore, now_ms: Callable[[], int], told: Callable[[int], None] = lambda count: None
    ) -> None:
        self._sealed = store
        self._store: Store = store.plain_store
        self._now_ms = now_ms
        self._told = told
        self._written_count = 0
        first = store.keys.first
        self._wanted = CLEAR if first is None else first.key_id

    async def look(self) -> Found:
        """Return what is under which key; nothing changes."""
        return await self._pass(rewrites=False)

    async def reseal(self) -> Found:
        """Bring everything under the key that seals, and say in the store that others are no longer needed; return what
        the last pass found.

        Raises:
            StillSealing: another process goes on with another key.
        """
        for _ in range(_MOST_PASSES):
            _, seen = await read_notice(self._store)
            found = await self._pass(rewrites=True)
            if not self._written_count:
                await self._note(found, seen)
                return found
        raise StillSealing(
            f"There is still something that is not under {self._named()}, after {_MOST_PASSES} passes.",
            hint="Give every server and worker that key first in its list, and start them again.",
        )

    def _named(self) -> str:
        return "no key" if self._wanted == CLEAR else f"key {self._wanted}"

    async def _note(self, found: Found, seen: bytes | None) -> None:
        needed = {key_id for kind in (found.messages, found.records, found.moves) for key_id in kind} | {self._wanted}
        await keep_only(self._store, sorted(needed - {CLEAR}), seen)

    # -- a pass ------------------------------------------------------------------------------------------------------

    async def _pass(self, *, rewrites: bool) -> Found:
        self._written_count = 0
        counts = {kind: Counter[str]() for kind in _KINDS}
        left: list[str] = []
        async for page in self._pages(counts["moves"], left):
            counts["messages"].update(_key_of(each.body) for each in page)
            if rewrites:
                await self._rewrite([each for each in page if _key_of(each.body) != self._wanted], left)
            self._told(counts["messages"].total() + counts["records"].total())
        async for records in self._records():
            counts["records"].update(_key_of(each.value) for each in records)
            if rewrites:
                await self._put([each for each in records if _key_of(each.value) != self._wanted], left)
            self._told(counts["messages"].total() + counts["records"].total())
        async for details in self._details():
            counts["reasons"].update(key_id for each in details if (key_id := key_id_of(each)) is not None)
        sorted_counts = {kind: dict(sorted(found.items())) for kind, found in counts.items()}
        return Found(**sorted_counts, left=tuple(left[:_MOST_TOLD]), left_count=len(left))

    async def _pages(self, moves: Counter[str], left: list[str]) -> AsyncIterator[Sequence[MessageView]]:
        async for queue in self._queues():
            try:
                moves.update(_keys_of_moves(await self._store.list_moves(queue, _LATEST_MOVES, self._now_ms())))
                after: int | None = 0
                while after is not None:
                    page, after = await self._store.peek(queue, MessageFilter(), after, _PAGE, self._now_ms())
                    yield page
            except QueueNotFound:
                continue  # it was deleted meanwhile
            except StoreDamaged as error:
                left.append(f"{error} What comes behind it in the queue was not looked at.")
        begin: str | None = ""
        while begin is not None:
            page, begin = await self._store.list_blocked(begin, _PAGE, self._now_ms())
            yield page

    async def _queues(self) -> AsyncIterator[str]:
        after, is_more = "", True
        while is_more:
            page = await self._store.list_queues("", after, _PAGE, None, self._now_ms())
            for queue in page:
                yield queue.name
            is_more = len(page) == _PAGE
            after = page[-1].name if page else ""

    async def _records(self) -> AsyncIterator[Sequence[Record]]:
        after, is_more = "", True
        while is_more:
            page = await self._store.find_records("", None, after, _PAGE, self._now_ms())
            yield [each for each in page if each.key != NOTICE_KEY]
            is_more = len(page) == _PAGE
            after = page[-1].key if page else ""

    async def _details(self) -> AsyncIterator[list[str]]:
        after, is_more = 0, True
        while is_more:
            page = await self._store.read_events(after, _PAGE)
            yield [each.detail for each in page if each.detail is not None]
            is_more = len(page) == _PAGE
            after = page[-1].event_id if page else 0

    # -- writing again -----------------------------------------------------------------------------------------------

    async def _rewrite(self, messages: Sequence[MessageView], left: list[str]) -> None:
        opened = []
        for message in messages:
            try:
                opened.append(self._sealed.contents.opened(message))
            except Unopenable as why:
                left.append(f"Message {message.message_id} of queue {message.queue!r} cannot be opened: {why}.")
        if opened:
            self._written_count += len(opened)
            await self._sealed.rewrite(opened, self._now_ms())

    async def _put(self, records: Sequence[Record], left: list[str]) -> None:
        """Put records again, all at once, so that one commit may keep them."""
        steps = []
        for record in records:
            try:
                again = self._sealed.guarding.sealed(self._sealed.guarding.opened(record))
            except StoreDamaged as error:
                left.append(str(error))
                continue
            steps.append(Effects(guards=(Guard(record.key, record.value),), records=(again,)))
        self._written_count += len(steps)
        await asyncio.gather(*map(self._apply, steps))

    async def _apply(self, effects: Effects) -> None:
        # where it fails, somebody has put another one meanwhile
        with contextlib.suppress(GuardFailed):
            await self._store.apply(effects, self._now_ms())


def _key_of(kept: str | bytes) -> str:
    return key_id_of(kept) or CLEAR


def _keys_of_moves(moves: Sequence[Move]) -> Iterator[str]:
    for move in moves:
        if move.status is MoveStatus.RUNNING and move.filter is not None:
            texts = [each for each in structs.astuple(move.filter) if isinstance(each, str)]
            yield from {key_id for each in texts if (key_id := key_id_of(each)) is not None}
