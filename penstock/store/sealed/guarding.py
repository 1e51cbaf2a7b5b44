"""Effects as they are kept. Guards compare what is kept with what the caller saw in the clear.

Records are sealed so that equal ones stay equal, so a guard is sealed like its record and compared as it is. One that
is kept in the clear or under another key is read when a guard did not hold: if it says the same, the guard is put for
what is kept.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec import structs

from penstock.core.effects import NO_EFFECTS, Effects, FollowUp, Guard, Record
from penstock.core.errors import GuardFailed, QueueNotFound, StoreDamaged
from penstock.core.refusals import guard_failed
from penstock.store.contract import Store
from penstock.store.sealed.contents import Contents
from penstock.store.sealed.queues import Queues
from penstock.store.sealed.sealing import Sealing, Unopenable

T = TypeVar("T")

_TRIES = 3


class Guarding:
    """Seals records and effects, and opens records.

    Args:
        store: where they are kept.
        sealing: with which keys.
        contents: seals what messages say.
        queues: what is known of them.
    """

    def __init__(self, store: Store, sealing: Sealing, contents: Contents, queues: Queues) -> None:
        self._store = store
        self._sealing = sealing
        self._contents = contents
        self._queues = queues

    def sealed(self, record: Record) -> Record:
        """Return a record as it is kept."""
        return structs.replace(record, value=self._sealing.seal_record(record.key, record.value))

    def opened(self, record: Record) -> Record:
        """Return a record as it was put. Raises StoreDamaged."""
        try:
            value = self._sealing.open_record(record.key, record.value)
        except Unopenable as why:
            raise StoreDamaged(
                f"The record {record.key[:200]!r} cannot be opened: {why}.",
                hint="Give this process the key that it was sealed with, or restore a backup.",
            ) from why
        return record if value is record.value else structs.replace(record, value=value)

    async def sealed_effects(self, effects: Effects, now: int) -> Effects:
        """Return effects as they happen in the store below."""
        if effects == NO_EFFECTS:
            return effects
        seal = self._sealing.seal_record
        return structs.replace(
            effects,
            guards=tuple(
                [each if each.value is None else Guard(each.key, seal(each.key, each.value)) for each in effects.guards]
            ),
            sends=tuple([await self._follow_up(each, now) for each in effects.sends]),
            records=tuple(map(self.sealed, effects.records)),
            joins=tuple(
                [structs.replace(each, follow_up=await self._follow_up(each.follow_up, now)) for each in effects.joins]
            ),
        )

    async def _follow_up(self, follow_up: FollowUp, now: int) -> FollowUp:
        draft = follow_up.message
        try:
            is_told = draft.deduplication_id is None and await self._queues.are_told_by_body(follow_up.queue, now)
        except QueueNotFound:
            is_told = False  # the store says so, in its turn
        return FollowUp(follow_up.queue, self._contents.sealed(draft, is_told_by_body=is_told))

    async def guarded(
        self, sealed: Effects, guards: Sequence[Guard], attempt: Callable[[Effects], Awaitable[T]], now: int
    ) -> T:
        """Return what an attempt returns at effects whose guards hold for what is kept.

        Args:
            sealed: the effects, as tried before.
            guards: theirs, in the clear.
            attempt: tries them; raises GuardFailed.
            now: ms since the epoch.

        Raises:
            GuardFailed: one does not hold.
        """
        for left in reversed(range(_TRIES)):
            kept = await self._as_kept(guards, now)
            try:
                return await attempt(structs.replace(sealed, guards=kept))
            except GuardFailed:
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def _as_kept(self, guards: Sequence[Guard], now: int) -> tuple[Guard, ...]:
        kept = []
        records = await self._store.get_records([each.key for each in guards], now)
        for guard, record in zip(guards, records, strict=True):
            try:
                value = None if record is None else self._sealing.open_record(record.key, record.value)
            except Unopenable:
                raise guard_failed(guard.key) from None
            if value != guard.value:
                raise guard_failed(guard.key)
            kept.append(Guard(guard.key, None if record is None else record.value))
        return tuple(kept)
