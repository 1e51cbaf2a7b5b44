"""The outbox: what a step on one shard wants done on others.

It is a queue on each shard. The step puts an entry there, in the same atomic step; then the entry's effects are applied
where they belong, once by a mark that is kept there in the same step, and the entry is forgotten. Any process may do
that for an entry it finds, and end anywhere.
"""

import asyncio
import itertools
import os
from collections import defaultdict
from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from penstock.core.effects import Effects, FollowUp, Guard, Join, Record
from penstock.core.errors import GuardFailed, PenstockError, QueueNotFound, StoreUnavailable
from penstock.core.filters import MessageFilter
from penstock.core.lifecycle import refusal
from penstock.core.messages import Draft, MessageView
from penstock.core.operations import ApplyReply, SendOutcome
from penstock.core.queues import QueueChanges
from penstock.store.shard import MapChanged, Shard
from penstock.store.sharded.shards import AWAY_SECONDS, JOINED, OUTBOX, RESERVED, Shards
from penstock.store.sharded.splitting import split
from penstock.store.sharded.waiting import slots_in
from penstock.store.sharded.wrapping import unwrapped

MARKS_KEPT_MS = 7 * 86_400_000
"""How long a mark is kept at most: while a shard is away, its outbox may hold an entry that was applied."""

MARKS_KEPT_AFTER_MS = 600_000
"""How long it is kept after its entry was forgotten: longer than a process may stand still with the entry in hand."""

RELAYED_AFTER_MS = 1_000
"""A sweep leaves entries alone that are younger: who made them relays them."""

_AT_ONCE = 100
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Effects).decode
_SETTINGS = QueueChanges(max_message_bytes=1 << 40, retention_seconds=3_153_600_000)


class Entry(Struct, frozen=True):
    """Something to do on another shard.

    Attributes:
        entry_id: unique; the id of its message in the outbox.
        source: the shard whose outbox holds it.
        target: the shard that its effects belong to.
        effects: without guards.
        now: the instant of the step that wanted it.
    """

    entry_id: str
    source: int
    target: int
    effects: Effects
    now: int

    def follow_up(self) -> FollowUp:
        """Return the message that puts it into the outbox."""
        return FollowUp(OUTBOX, Draft(_encode(self.effects).decode(), message_id=self.entry_id))


async def make_outbox(shard: Shard) -> None:
    """Make the queues a shard needs for itself, where they are not there."""
    await shard.create_queue(OUTBOX, _SETTINGS, 0, 0)
    await shard.create_queue(JOINED, _SETTINGS, 0, 0)


class Relaying:
    """Relays what lies in the outboxes.

    Args:
        shards: between which.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._process = os.urandom(8).hex()
        self._numbers = itertools.count(1)
        self._applied: dict[int, list[Entry]] = defaultdict(list)
        self._done: dict[int, list[str]] = defaultdict(list)
        self._joined: set[int] = set()
        self._forgetting: set[asyncio.Task[None]] = set()

    def go_on(self, before: "Relaying") -> None:
        """Have noted what was noted by an older map."""
        self._joined |= before._joined

    def entry(self, source: int, target: int, effects: Effects, now: int) -> Entry:
        """Return an entry of its own name."""
        name = f"{self._process}{next(self._numbers):016x}"
        entry_id = f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"
        return Entry(entry_id, source, target, effects, now)

    async def relay(self, steps: Sequence[Sequence[Entry]]) -> list[list[ApplyReply | None]]:
        """Do what the entries of some steps want, which are in their outboxes, and forget them.

        Those of one step are relayed one after the other.

        Returns:
            For each what came of it; ``None`` where another process was first, or its shard is away: a sweep does it.
        """
        replies = list(await asyncio.gather(*(self._relay_step(entries) for entries in steps if entries)))
        if self._applied and not self._forgetting:
            forgetting = asyncio.ensure_future(self._forget())
            self._forgetting.add(forgetting)
            forgetting.add_done_callback(self._forgetting.discard)
        return replies

    async def _relay_step(self, entries: Sequence[Entry]) -> list[ApplyReply | None]:
        replies = []
        for entry in entries:
            try:
                is_done, reply = await self._apply(entry)
            except MapChanged:
                try:
                    is_done, reply = await self._go_on(entry)
                except StoreUnavailable:
                    is_done, reply = False, None
            if is_done:
                self._applied[entry.source].append(entry)
            replies.append(reply)
        return replies

    async def _go_on(self, entry: Entry) -> tuple[bool, ApplyReply | None]:
        """Do what an entry wants by the map of now; what moves has arrived before."""
        shards = self._shards
        while True:
            spread = await shards.renewed(slots_in(entry.effects))
            try:
                return await spread.relaying.apply_again(entry)
            except MapChanged:
                shards = spread.shards

    async def apply_again(self, entry: Entry) -> tuple[bool, ApplyReply | None]:
        """Apply an entry that was made by an older map, unless somebody has forgotten it since: then it was done."""
        kept = await self._shards.attempt(entry.source, lambda shard: shard.find((entry.entry_id,), entry.now))
        if isinstance(kept, StoreUnavailable):
            return False, None
        if kept[0] is None:
            return True, None
        outcomes: dict[int, SendOutcome] = {}
        records: dict[int, bool] = {}
        are_done, is_known = True, True
        for target, part in split(entry.effects, self._shards).items():
            is_done, reply = await self._apply(structs.replace(entry, target=target, effects=part.effects))
            are_done, is_known = are_done and is_done, is_known and reply is not None
            if reply is not None:
                outcomes.update(zip(part.sends, reply.outcomes, strict=False))
                records.update(zip(part.records, reply.kept_records, strict=False))
        if not (are_done and is_known):
            return are_done, None
        return True, ApplyReply(
            tuple(outcomes[place] for place in sorted(outcomes)), tuple(records[place] for place in sorted(records))
        )

    async def relay_all(self, index: int, now: int) -> None:
        """Do what lies in the outbox of a shard since a while. Raises StoreUnavailable."""
        after: int | None = 0
        while after is not None:
            found, after = await self._shards[index].peek(
                OUTBOX, MessageFilter(sent_before=now - RELAYED_AFTER_MS), after, _AT_ONCE, now
            )
            # shards may have been added since: each goes where its things live now
            entries = [entry for message in found for entry in self._entries(index, message)]
            replies = [await self._apply(entry) for entry in entries]
            undone = {entry.entry_id for entry, (is_done, _) in zip(entries, replies, strict=True) if not is_done}
            done = [message.message_id for message in found if message.message_id not in undone]
            if done:
                await self._shards[index].let_go(OUTBOX, done, now)

    def note(self, index: int) -> None:
        """Note that a join on a shard has sent what belongs elsewhere."""
        self._joined.add(index)

    async def relay_noted(self, now: int) -> None:
        """Relay what was noted; what cannot be relayed now stays for ``relay_all``."""
        if self._joined:
            noted, self._joined = sorted(self._joined), set()
            for index in noted:
                if not self._shards.is_away(index):
                    try:
                        await asyncio.wait_for(self.relay_joined(index, now), AWAY_SECONDS)
                    except MapChanged:
                        self._joined |= {*noted}
                        raise
                    except (StoreUnavailable, TimeoutError):
                        continue

    async def relay_joined(self, index: int, now: int) -> None:
        """Send what joins on a shard have sent to queues on others. Raises StoreUnavailable."""
        shard = self._shards[index]
        # first ask to be told again, then look: nothing falls between
        await shard.receive(JOINED, (), None, now)
        after: int | None = 0
        while after is not None:
            found, after = await shard.peek(JOINED, MessageFilter(), after, _AT_ONCE, now)
            done = []
            for message in found:
                (entry,) = self._entries(index, message)
                if self._shards.is_moving(entry.effects.sends[0].queue):
                    self.note(index)
                    continue
                if entry.target == index:
                    await self._unwrap(index, message, entry.effects.sends[0])
                    continue
                is_done, _ = await self._apply(entry)
                done += [message.message_id] if is_done else []
            if done:
                await shard.let_go(JOINED, done, now)

    async def _unwrap(self, index: int, message: MessageView, follow_up: FollowUp) -> None:
        """Send what a join has sent to a queue that has come to live on its shard."""
        effects = Effects(sends=(follow_up,))
        while True:
            try:
                await self._shards[index].exchange(JOINED, message.message_id, effects, message.sent_at)
                return
            except MapChanged:
                raise
            except PenstockError:
                before, effects = effects, await self._what_can_happen(index, effects, message.sent_at)
                if effects == before:
                    raise

    async def forget_done(self, index: int, now: int) -> None:
        """Forget of the outbox of a shard what was done, and finish what was begun: before things move to where no mark
        tells that. What nobody has begun stays. Raises StoreUnavailable."""
        for queue in (OUTBOX, JOINED):
            after: int | None = 0
            while after is not None:
                found, after = await self._shards[index].peek(queue, MessageFilter(), after, _AT_ONCE, now)
                done = [
                    message.message_id
                    for message in found
                    if await self._was_begun(self._entries(index, message), message.sent_at)
                ]
                if done:
                    await self._shards[index].let_go(queue, done, now)

    def _entries(self, index: int, message: MessageView) -> list[Entry]:
        """Return what a message in the outbox wants, by shard."""
        name, effects = message.message_id, None
        if message.queue == JOINED:
            # not by the message's id alone: a caller's own id may come this way again
            name = f"{index}/{message.sequence_number}/{name}"
            effects = Effects(sends=(unwrapped(message),))
        parts = split(effects or _decode(message.body.encode()), self._shards)
        return [Entry(name, index, target, part.effects, message.sent_at) for target, part in parts.items()]

    async def _was_begun(self, entries: Sequence[Entry], now: int) -> bool:
        """Return whether some entries of one name were begun; then they are finished."""
        marks = [await self._shards[entry.target].get_records((_mark(entry.entry_id),), now) for entry in entries]
        if not any(mark is not None for (mark,) in marks):
            return False
        return all([(await self._apply(entry))[0] for entry in entries])

    async def aclose(self) -> None:
        """Finish forgetting."""
        await asyncio.gather(*self._forgetting)

    async def _apply(self, entry: Entry) -> tuple[bool, ApplyReply | None]:
        """Apply an entry on its target; return whether that is done, and what came of it if this did it."""
        mark, effects = _mark(entry.entry_id), entry.effects
        shortened, self._done[entry.target] = self._done[entry.target][:_AT_ONCE], self._done[entry.target][_AT_ONCE:]
        ends_at = entry.now + MARKS_KEPT_AFTER_MS
        kept = [Record(mark, b"", expires_at=entry.now + MARKS_KEPT_MS)]
        kept += [Record(key, b"", expires_at=ends_at) for key in shortened]
        while True:
            marked = structs.replace(effects, guards=(Guard(mark, None),), records=(*effects.records, *kept))
            try:
                answer = await self._shards.attempt(
                    entry.target,
                    lambda shard, marked=marked: shard.apply(marked, entry.now),  # type: ignore[misc]
                )
            except GuardFailed:
                return True, None
            except MapChanged:
                raise
            except PenstockError:
                # a queue was deleted or changed since it was asked: what was for it falls
                before, effects = effects, await self._what_can_happen(entry.target, effects, entry.now)
                if effects == before:
                    raise
                continue
            if isinstance(answer, StoreUnavailable):
                return False, None
            return True, ApplyReply(answer.outcomes, answer.kept_records[: len(effects.records)])

    async def _what_can_happen(self, target: int, effects: Effects, now: int) -> Effects:
        async def is_refused(follow_up: FollowUp) -> bool:
            try:
                queue = await self._shards[target].describe_queue(follow_up.queue, now)
            except QueueNotFound:
                return True
            return refusal(queue.settings, follow_up.message) is not None

        sends = tuple([each for each in effects.sends if not await is_refused(each)])
        joins: tuple[Join, ...] = tuple([each for each in effects.joins if not await is_refused(each.follow_up)])
        return structs.replace(effects, sends=sends, joins=joins)

    async def _forget(self) -> None:
        """Forget the entries that were applied; what cannot be forgotten is found by a sweep, and its mark with it."""
        while self._applied:
            applied, self._applied = self._applied, defaultdict(list)
            for source, entries in applied.items():
                ids, now = [entry.entry_id for entry in entries], entries[-1].now
                try:
                    gone = await self._shards.attempt(
                        source,
                        lambda shard, ids=ids, now=now: shard.let_go(OUTBOX, ids, now),  # type: ignore[misc]
                    )
                except MapChanged:
                    continue
                if not isinstance(gone, StoreUnavailable):
                    for entry in entries:
                        self._done[entry.target].append(_mark(entry.entry_id))


def _mark(entry_id: str) -> str:
    return f"{RESERVED}applied/{entry_id}"
