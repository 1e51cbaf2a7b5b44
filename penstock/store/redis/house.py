"""A Redis store as a house that everything is carried out of or into (housing.lua)."""

import re
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import structs

from penstock.core.belongings import (
    Belonging,
    Gone,
    KeptAttempt,
    KeptDuplicate,
    KeptEvent,
    KeptGroup,
    KeptJoin,
    KeptMessage,
    KeptMove,
    KeptQueue,
    KeptRecord,
    Kind,
    RestingName,
)
from penstock.core.effects import FollowUp, Join
from penstock.core.fairness import BusyTime
from penstock.core.message_ids import to_blob, to_text
from penstock.store.contract import ENDED_MOVES_KEPT_MS, Store
from penstock.store.house import Place
from penstock.store.redis.calls import Asking
from penstock.store.redis.drafts import pack_draft, pack_record, unpack_whole_draft
from penstock.store.redis.keys import prefix
from penstock.store.redis.moving import encode_move, read_move
from penstock.store.redis.rows import pack_message, read_message
from penstock.store.redis.settings import dead_letter_queue_of, decode_settings, encode_settings, pack_facts

_AT_ONCE = 500
_BEGINNING = b"-"
_END = b"+"
_ENDS = struct.Struct(">HI")
_LEASE = struct.Struct(">HI12s")
_JOIN = struct.Struct(">IHI16sB")


class RedisHouse:
    """A house in one Redis server, or under one hash tag.

    Args:
        store: the same, opened.
        calls: the way to its server.
    """

    def __init__(self, store: Store, calls: Asking) -> None:
        self.store = store
        self._calls = calls

    async def gather(self, now: int) -> None:
        return None

    async def page(self, kind: Kind, after: Place | None, limit: int) -> tuple[Sequence[Belonging], Place | None]:
        if kind in _OF_QUEUES:
            return await self._of_queues(kind, after, limit)
        return await _PAGES[kind](self, after, limit)

    async def take_in(self, things: Sequence[Belonging | Gone]) -> None:
        first = 0
        for at in range(1, len(things) + 1):
            if at == len(things) or _together(things[at]) != _together(things[first]) or at - first == _AT_ONCE:
                await _TAKERS[type(things[first])](self, things[first:at])
                first = at

    async def settle_in(self, now: int) -> None:
        for name in await self._names():
            await self.settle_queue(name, now)

    async def settle_queue(self, queue: str, now: int) -> None:
        after: Any = 0
        while after >= 0:
            after = await self._calls.submit("settle_messages", now, queue, after, _AT_ONCE)
        last: Any = b""
        while last is not None:
            last = await self._calls.submit("settle_groups", now, queue, last, _AT_ONCE)

    async def page_of(
        self, queue: str, kind: Kind, after: Place | None, limit: int
    ) -> tuple[Sequence[Belonging], Place | None]:
        if kind is KeptQueue:
            return [await self._queue(queue)], None
        found, within = await _OF_QUEUES[kind](self, queue, None if after is None else after[0], limit)
        return found, None if within is None else (within,)

    async def redirect_join(self, join: Join) -> None:
        row, blob, _, draft = _packed_join(join)
        await self._calls.submit("redirect_join", 0, join.join_id, row, blob, draft)

    async def note_records(self, until: int | None, now: int) -> None:
        await self._calls.submit("note_records", now, until or 0)

    async def noted_records(self, until: int, now: int) -> Sequence[str] | None:
        keys = await self._calls.submit("noted_records", now, until)
        return None if keys is None else [key.decode() for key in keys]

    async def leave_queue(self, queue: str, last: int, now: int) -> bool:
        return bool(await self._calls.submit("leave_queue", now, queue, last))

    async def clear(self) -> None:
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix(self._calls.address.tag)) + "*"
        cursor = b"0"
        while True:
            cursor, keys = await self._calls.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1_000)
            if keys:
                await self._calls.ask("UNLINK", *keys)
            if cursor == b"0":
                return

    def leaving(self) -> None:
        return None

    async def aclose(self) -> None:
        await self.store.aclose()

    async def _names(self) -> list[str]:
        found: list[str] = []
        while True:
            page = await self.store.list_queues("", found[-1] if found else "", _AT_ONCE, None, 0)
            found += [queue.name for queue in page]
            if len(page) < _AT_ONCE:
                return found

    # -- pages -------------------------------------------------------------------------------------------------------

    async def _queues(self, after: Place | None, limit: int) -> tuple[list[Belonging], Place | None]:
        page = await self.store.list_queues("", "" if after is None else after[0], limit, None, 0)
        return [await self._queue(each.name) for each in page], (page[-1].name,) if len(page) == limit else None

    async def _queue(self, name: str) -> Belonging:
        settings, created, modified, purged, *numbers = await self._calls.submit("house_queue", 0, name)
        return KeptQueue(
            *(name, decode_settings(settings), created, modified, None if purged < 0 else purged),
            *(*numbers[:5], BusyTime(*numbers[5:])),
        )

    async def _of_queues(self, kind: Kind, after: Place | None, limit: int) -> tuple[list[Belonging], Place | None]:
        """Read a page of one queue; the place is the queue and where in it to go on."""
        names = await self._names()
        name, within = (names[0] if names else "", None) if after is None else (after[0], after[1])
        if not name:
            return [], None
        found, within = await _OF_QUEUES[kind](self, name, within, limit)
        if within is not None:
            return found, (name, within)
        following = next((each for each in names if each > name), None)
        return found, None if following is None else (following, None)

    async def _messages(self, name: str, within: Any, limit: int) -> tuple[list[Belonging], Any]:
        rows = await self._calls.submit("look", 0, name, within or 0, limit)
        rows = [] if rows == b"missing" else rows
        return [read_message(row) for row in rows], rows[-1][1] if len(rows) == limit else None

    async def _groups(self, name: str, within: Any, limit: int) -> tuple[list[Belonging], Any]:
        first = _BEGINNING if within is None else b"(" + within.encode()
        rows = await self._calls.submit("house_groups", 0, name, first, _END, limit)
        found: list[Belonging] = []
        for packed, parked, noisy, sent_at, period, current, previous, seated, *place in rows:
            lane, ready_at, turn, head, head_at = place
            group_id, busy = packed.decode(), BusyTime(period, current, previous)
            known = (name, group_id, bool(parked), bool(noisy), sent_at, busy, lane)
            if seated:
                found.append(KeptGroup(*known, ready_at, turn, head, head_at))
            else:
                found.append(KeptGroup(*known, None, turn, None, None))
        return found, rows[-1][0].decode() if len(rows) == limit else None

    async def _duplicates(self, name: str, within: Any, limit: int) -> tuple[list[Belonging], Any]:
        cursor, entries = await self._calls.submit("house_hash", 0, "duplicates", name, within or "0", limit)
        found: list[Belonging] = []
        for key, packed in zip(entries[::2], entries[1::2], strict=True):
            scope, _, deduplication_id = key.decode().partition("\0")
            until, sequence = _instant_at(packed, 0), _instant_at(packed, 6)
            found.append(KeptDuplicate(name, scope, deduplication_id, to_text(packed[12:28]), sequence, until))
        return found, None if cursor == b"0" else cursor.decode()

    async def _attempts(self, name: str, within: Any, limit: int) -> tuple[list[Belonging], Any]:
        cursor, entries = await self._calls.submit("house_hash", 0, "attempts", name, within or "0", limit)
        found: list[Belonging] = []
        for attempt_id, packed in zip(entries[::2], entries[1::2], strict=True):
            leases = tuple(
                (_instant_at(packed, at), packed[at + 6 : at + 18]) for at in range(6, len(packed), _LEASE.size)
            )
            found.append(KeptAttempt(name, attempt_id.decode(), leases, _instant_at(packed, 0)))
        return found, None if cursor == b"0" else cursor.decode()

    async def _joins(self, after: Place | None, limit: int) -> tuple[list[Belonging], Place | None]:
        begin = "0" if after is None else after[0]
        cursor, shown = await self._calls.submit("house_hash", 0, "joins", "", begin, limit)
        found: list[Belonging] = []
        for join_id, row, packed, parts in shown:
            count, ends_high, ends_low, _, _ = _JOIN.unpack_from(row)
            ends = ends_high << 32 | ends_low
            length = int.from_bytes(packed[:4], "big")
            draft = unpack_whole_draft(packed[4 : 4 + length], packed[4 + length :])
            follow_up = FollowUp(row[_JOIN.size :].decode(), draft)
            join = Join(join_id.decode(), count, follow_up, ends - 1 if ends else None)
            found.append(KeptJoin(join, tuple(part.decode() for part in parts)))
        return found, None if cursor == b"0" else (cursor.decode(),)

    async def _records(self, after: Place | None, limit: int) -> tuple[list[Belonging], Place | None]:
        records = await self.store.find_records("", None, "" if after is None else after[0], limit, 0)
        return [KeptRecord(each) for each in records], (records[-1].key,) if len(records) == limit else None

    async def _moves(self, after: Place | None, limit: int) -> tuple[list[Belonging], Place | None]:
        return [KeptMove(read_move(each)) for each in await self._calls.submit("all_moves", 0)], None

    async def _events(self, after: Place | None, limit: int) -> tuple[list[Belonging], Place | None]:
        events = await self.store.read_events(0 if after is None else after[0], limit)
        return [KeptEvent(each) for each in events], (events[-1].event_id,) if len(events) == limit else None

    async def _resting(self, after: Place | None, limit: int) -> tuple[list[Belonging], Place | None]:
        found = await self._calls.submit("house_resting", 0)
        return [RestingName(name.decode(), int(at)) for name, at in zip(found[::2], found[1::2], strict=True)], None

    # -- taking in ---------------------------------------------------------------------------------------------------

    async def _take_queues(self, queues: Sequence[KeptQueue]) -> None:
        for queue in queues:
            await self._calls.submit(
                "take_in_queue",
                0,
                *(queue.name, encode_settings(queue.settings), pack_facts(queue.settings)),
                *(dead_letter_queue_of(queue.settings), queue.created_at, queue.modified_at),
                *(0 if queue.purged_at is None else queue.purged_at + 1, queue.last_sequence, queue.last_turn),
                *(queue.sent_total, queue.received_total, queue.deleted_total, *structs.astuple(queue.busy)),
            )

    async def _take_messages(self, messages: Sequence[KeptMessage]) -> None:
        packed = [part for each in messages for part in pack_message(each)]
        await self._calls.submit("take_in_messages", 0, messages[0].queue, len(messages), *packed)

    async def _take_groups(self, groups: Sequence[KeptGroup]) -> None:
        packed: list[bytes | str | int] = []
        for each in groups:
            packed += (each.group_id, each.is_parked, each.is_noisy, each.last_sent_at, *structs.astuple(each.busy))
            packed += (each.ready_at is not None, each.lane, each.ready_at or 0, each.turn)
            packed += (each.head or 0, each.head_visible_at or 0)
        numbers = [int(each) if isinstance(each, bool) else each for each in packed]
        await self._calls.submit("take_in_groups", 0, groups[0].queue, len(groups), *numbers)

    async def _take_duplicates(self, duplicates: Sequence[KeptDuplicate]) -> None:
        packed: list[bytes | str | int] = []
        for each in duplicates:
            value = _six(each.kept_until) + _six(each.sequence_number) + to_blob(each.message_id)
            packed += (f"{each.scope}\0{each.deduplication_id}", value, each.kept_until)
        await self._calls.submit("take_in_ends", 0, "d", duplicates[0].queue, len(duplicates), *packed)

    async def _take_attempts(self, attempts: Sequence[KeptAttempt]) -> None:
        packed: list[bytes | str | int] = []
        for each in attempts:
            leases = b"".join(_six(sequence) + token for sequence, token in each.leases)
            packed += (each.attempt_id, _six(each.kept_until) + leases, each.kept_until)
        await self._calls.submit("take_in_ends", 0, "a", attempts[0].queue, len(attempts), *packed)

    async def _take_joins(self, joins: Sequence[KeptJoin]) -> None:
        for kept in joins:
            await self._calls.submit(
                "take_in_join", 0, kept.join.join_id, *_packed_join(kept.join), len(kept.arrived), *kept.arrived
            )

    async def _take_records(self, records: Sequence[KeptRecord]) -> None:
        packed = [part for each in records for part in pack_record(each.record)]
        await self._calls.submit("put_records", 0, len(records), *packed)

    async def _take_moves(self, moves: Sequence[KeptMove]) -> None:
        for kept in moves:
            move = kept.move
            await self._calls.submit(
                "take_in_move",
                0,
                *(move.move_id, move.source, move.started_at, move.started_at + ENDED_MOVES_KEPT_MS),
                *(encode_move(move), move.status.value, move.to_move_count, move.until, move.moved_count),
                *(move.cursor, move.failure or ""),
            )

    async def _take_events(self, events: Sequence[KeptEvent]) -> None:
        packed: list[bytes | str | int] = []
        for kept in events:
            event = kept.event
            packed += (event.event_id, event.at, event.queue, to_blob(event.message_id), event.kind.value)
            packed += (int(event.detail is not None), event.detail or "")
        await self._calls.submit("take_in_events", 0, len(events), *packed)

    async def _take_resting(self, names: Sequence[RestingName]) -> None:
        for each in names:
            await self._calls.submit("take_in_resting", 0, each.name, each.deleted_at)

    async def _take_out(self, gone: Sequence[Gone]) -> None:
        for each in gone:
            if each.kind == "record":
                await self._calls.submit("delete_records", 0, 1, each.key)
            else:
                key = each.sequence_number if each.kind == "message" else each.key
                await self._calls.submit("take_out", 0, each.kind, each.queue, key)


_PAGES: dict[Kind, Callable[[RedisHouse, Place | None, int], Awaitable[tuple[list[Belonging], Place | None]]]] = {
    KeptQueue: RedisHouse._queues,
    KeptJoin: RedisHouse._joins,
    KeptRecord: RedisHouse._records,
    KeptMove: RedisHouse._moves,
    KeptEvent: RedisHouse._events,
    RestingName: RedisHouse._resting,
}

_OF_QUEUES: dict[Kind, Callable[[RedisHouse, str, Any, int], Awaitable[tuple[list[Belonging], Any]]]] = {
    KeptMessage: RedisHouse._messages,
    KeptGroup: RedisHouse._groups,
    KeptDuplicate: RedisHouse._duplicates,
    KeptAttempt: RedisHouse._attempts,
}

_TAKERS: dict[type, Callable[[RedisHouse, Any], Awaitable[None]]] = {
    KeptQueue: RedisHouse._take_queues,
    KeptMessage: RedisHouse._take_messages,
    KeptGroup: RedisHouse._take_groups,
    KeptDuplicate: RedisHouse._take_duplicates,
    KeptAttempt: RedisHouse._take_attempts,
    KeptJoin: RedisHouse._take_joins,
    KeptRecord: RedisHouse._take_records,
    KeptMove: RedisHouse._take_moves,
    KeptEvent: RedisHouse._take_events,
    RestingName: RedisHouse._take_resting,
    Gone: RedisHouse._take_out,
}


def _packed_join(join: Join) -> tuple[bytes, bytes, int, bytes]:
    """Return a join's row, the id of its message, when it ends (+1) and its draft."""
    message_id = join.follow_up.message.message_id
    assert message_id is not None
    head, tail = pack_draft(join.follow_up.message, with_digest=True)
    ends, queue = 0 if join.expires_at is None else join.expires_at + 1, join.follow_up.queue.encode()
    blob = to_blob(message_id)
    row = _JOIN.pack(join.parts, ends >> 32, ends & 0xFFFFFFFF, blob, len(queue)) + queue
    return row, blob, ends, len(head).to_bytes(4, "big") + head + tail


def _together(thing: Belonging | Gone) -> tuple[type, str]:
    """Return what things have in common that go in one call."""
    return type(thing), getattr(thing, "queue", "")


def _instant_at(packed: bytes, at: int) -> int:
    return int.from_bytes(packed[at : at + 6], "big")


def _six(number: int) -> bytes:
    return number.to_bytes(6, "big")
