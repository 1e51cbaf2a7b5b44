"""Moving house: everything a store keeps is carried to another one, in pages that are noted where they are put.

A migration that was killed goes on where it was, from the note in the target. What is carried twice is there once.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from penstock.core.belongings import KINDS, Belonging, Gone, KeptMessage, KeptQueue, KeptRecord
from penstock.core.effects import Record
from penstock.core.errors import PenstockError
from penstock.core.queues import QueueDescription
from penstock.store.house import House, Leaving

Progress = Callable[[int, int], None]
"""Told how many messages of how many were carried."""

NOTE = "penstock.moving-house"
"""Key of the record in the target that says how far it is."""

_PAGE = 1_000
_MOST_ROUNDS = 10_000
_ALL = 1 << 30


class CannotMove(PenstockError):
    """The stores cannot be moved so; nothing was changed."""

    code = "cannot_move"
    fault = "caller"


class SourceChanged(PenstockError):
    """Somebody used the store while it was carried away."""

    code = "source_changed"


class Note(Struct, frozen=True):
    """How far a migration is.

    Attributes:
        source: where things come from.
        kind: place in ``KINDS`` of what is carried now; behind all of them when everything was.
        after: the place within.
        carried: how many messages were.
        before: what the source told of its queues when it began.
    """

    source: str
    kind: int = 0
    after: list[Any] | None = None
    carried: int = 0
    before: dict[str, tuple[int, int, int, int]] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Note).decode


class Migration:
    """One store's way into another.

    Args:
        source: stays as it is.
        target: nobody else may use it until all is done.
        source_name: what the source is called in the note.
        progress: is told how far it is.
    """

    def __init__(self, source: House, target: House, source_name: str, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._name = source_name
        self._progress = progress
        self._known: set[str] = set()
        self.note = Note(source_name)

    async def begin(self, now: int, *, begins_again: bool = False) -> bool:
        """Look whether the target may be used; return whether a migration that was begun before goes on.

        Raises:
            CannotMove: the target has something else in it.
        """
        await self._source.gather(now)
        (record,) = await self._target.store.get_records([NOTE], now)
        if record is not None:
            self.note = _decode(record.value)
            if self.note.source != self._name:
                raise CannotMove(
                    f"The target is half filled from {self.note.source}.",
                    hint="Finish that migration, or name an empty target.",
                )
            if not begins_again:
                self._known = {queue.name for queue in await descriptions(self._target, now)}
                return True
            self._known.clear()
            await self._target.clear()
        elif await self._has_something(now):
            raise CannotMove("The target is not empty.", hint="Name an empty one: what is there would be mixed up.")
        self.note = Note(self._name, before=totals(await descriptions(self._source, now)))
        await self._put_note()
        return False

    async def carry(self, now: int) -> None:
        """Carry what is there, page after page."""
        total = sum(sum(_counts(queue)) for queue in await descriptions(self._source, now))
        while self.note.kind < len(KINDS):
            kind = KINDS[self.note.kind]
            after = None if self.note.after is None else tuple(self.note.after)
            things, place = await self._source.page(kind, after, _PAGE)
            things = [each for each in things if not is_note(each)]
            self.note = Note(
                self._name,
                self.note.kind if place is not None else self.note.kind + 1,
                None if place is None else list(place),
                self.note.carried + (len(things) if kind is KeptMessage else 0),
                self.note.before,
            )
            await self.take_in([*things, self._note_as_record()])
            self._progress(self.note.carried, max(total, self.note.carried))

    async def take_in(self, things: list[Belonging | Gone]) -> None:
        """Keep things in the target, their queues before them."""
        ordered: list[Belonging | Gone] = []
        for thing in things:
            queue = thing.name if isinstance(thing, KeptQueue) else getattr(thing, "queue", "")
            if isinstance(thing, KeptQueue):
                self._known.add(queue)
            elif isinstance(thing, Gone):
                if thing.kind == "queue":
                    self._known.discard(queue)
            elif queue and queue not in self._known:
                found = await self._queue_called(queue)
                if found is None:
                    continue  # it is gone meanwhile, with all that belongs to it
                ordered.append(found)
                self._known.add(queue)
            ordered.append(thing)
        await self._target.take_in(ordered)

    async def settle_in(self, now: int) -> None:
        """Put everything in its order, and compare what both stores tell of their queues.

        Raises:
            SourceChanged: they differ.
        """
        await self._target.settle_in(now)
        there, here = await descriptions(self._source, now), await descriptions(self._target, now)
        if there != here:
            told = {queue.name: queue for queue in here}
            differing = [queue.name for queue in there if told.pop(queue.name, None) != queue] + [*told]
            raise SourceChanged(
                f"The stores differ in {', '.join(differing[:5])}.",
                hint="Stop what uses the source, and begin again: penstock migrate --again.",
            )

    async def verify_source(self, now: int) -> None:
        """Raise SourceChanged if somebody used the source since this began."""
        changed = [
            name
            for name, before in totals(await descriptions(self._source, now)).items()
            if self.note.before.get(name) != before
        ]
        if changed:
            raise SourceChanged(
                f"The source was used meanwhile: {', '.join(changed[:5])}.",
                hint="Stop what uses it, and begin again: penstock migrate --again.",
            )

    async def give_up(self, now: int) -> None:
        """Forget what was carried, and note nothing in the source any more.

        Raises:
            CannotMove: the target is not half filled from this source.
        """
        (record,) = await self._target.store.get_records([NOTE], now)
        if record is None or _decode(record.value).source != self._name:
            raise CannotMove("The target is not half filled from this source.", hint="Check --from and --to.")
        leaving = self._source.leaving()
        if leaving is not None:
            await leaving.stay()
        await self._target.clear()

    async def end(self) -> None:
        """Take the note away: the target is a store like any other now."""
        await self._target.take_in([Gone("record", key=NOTE)])

    async def _queue_called(self, name: str) -> Belonging | None:
        after = None
        while True:
            page, after = await self._source.page(KeptQueue, after, _PAGE)
            for each in page:
                if isinstance(each, KeptQueue) and each.name == name:
                    return each
            if after is None:
                return None

    async def _has_something(self, now: int) -> bool:
        for kind in KINDS:
            things, _ = await self._target.page(kind, None, 1)
            if things:
                return True
        return False

    async def _put_note(self) -> None:
        await self._target.take_in([self._note_as_record()])

    def _note_as_record(self) -> KeptRecord:
        return KeptRecord(Record(NOTE, _encode(self.note)))


async def move_house(
    migration: Migration, source: House, target_url: str, shown: str, now_ms: Callable[[], int]
) -> None:
    """Carry everything, from where it was begun, and settle in.

    Out of a SQLite file while it is used: at the end those who use it wait for a moment, and then find everything in
    the target. Nobody may use a source of another kind meanwhile.

    Args:
        migration: that was begun.
        source: of it.
        target_url: where those who use the file find everything afterwards.
        shown: the same, as it may be shown.
        now_ms: tells the time.

    Raises:
        SourceChanged: somebody used it all the same, or the stores differ in the end; the source is what it was.
    """
    leaving = source.leaving()
    if leaving is None:
        await migration.carry(now_ms())
        await migration.verify_source(now_ms())
        await migration.settle_in(now_ms())
    else:
        await leaving.begin()
        await migration.carry(now_ms())
        for _ in range(_MOST_ROUNDS):
            if await _carry_noted(migration, leaving) < _PAGE:
                break
        await leaving.stop_others()
        try:
            while await _carry_noted(migration, leaving):
                pass
            queues = [queue.name for queue in await descriptions(source, now_ms())]
            await migration.settle_in(now_ms())
            await leaving.leave(target_url, shown)
        finally:
            await leaving.let_others()
        leaving.tell_others(queues)
    await migration.end()


async def _carry_noted(migration: Migration, leaving: Leaving) -> int:
    """Carry what changed since it was carried; return how much."""
    noted = await leaving.noted(_PAGE)
    await migration.take_in([thing for _, thing in noted if thing is not None and not is_note(thing)])
    await leaving.forget([number for number, _ in noted])
    return len(noted)


async def descriptions(house: House, now: int) -> list[QueueDescription]:
    """Return what a store tells of all its queues."""
    return list(await house.store.list_queues("", "", _ALL, None, now))


def totals(queues: list[QueueDescription]) -> dict[str, tuple[int, int, int, int]]:
    """Return what changes whenever somebody uses a queue."""
    return {
        queue.name: (queue.sent_total, queue.received_total, queue.deleted_total, sum(_counts(queue)))
        for queue in queues
    }


def _counts(queue: QueueDescription) -> tuple[int, int, int]:
    return queue.counts.ready, queue.counts.delayed, queue.counts.in_flight


def is_note(thing: Belonging | Gone) -> bool:
    """Return whether something is the note of a migration, which stays where it is."""
    return isinstance(thing, KeptRecord) and thing.record.key == NOTE
