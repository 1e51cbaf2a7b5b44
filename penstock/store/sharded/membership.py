"""Which stores make up this one, as each of them remembers it: a wrong list, or a wrong order, is found out at once."""

import asyncio
import contextlib
import os
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from penstock.core.effects import Record
from penstock.core.errors import InvalidRequest, QueueConflict, QueueDeletedRecently, StoreUnavailable
from penstock.core.queues import QueueChanges
from penstock.store.shard import Shard
from penstock.store.sharded.merging import there, whole
from penstock.store.sharded.shards import RESERVED, Shards

KEY = f"{RESERVED}shard"
_encode = msgspec.json.Encoder().encode


class Membership(Struct, frozen=True):
    """What a shard knows of itself.

    Attributes:
        store_id: of the store it is part of, made when that was opened first.
        index: its place among the shards.
        shard_count: how many there are.
    """

    store_id: str
    index: int
    shard_count: int


_decode = msgspec.json.Decoder(Membership).decode


async def join_up(shards: Shards, named: int) -> None:
    """Prove that shards are those of one store, in their order; make them one if they are new.

    Args:
        shards: by the newest map.
        named: how many there are by their list.

    Raises:
        InvalidRequest: they are not, or one holds messages of a store of its own.
        StoreUnavailable: one that is new is away, or all are.
    """
    answers = await shards.those_there(lambda shard: shard.get_records((KEY,), 0))
    known = [None if isinstance(answer, StoreUnavailable) else _read(answer[0]) for answer in answers]
    members = [each for each in known if each is not None]
    there(answers)
    if not members:
        whole(answers)
        await asyncio.gather(
            *(prove_empty(f"The shard named in place {index}", shard) for index, shard in enumerate(shards.stores))
        )
        members = [await _found(shards)]
    counted = shards.map.shard_count if shards.map.epoch else members[0].shard_count
    if named != counted:
        raise InvalidRequest(
            f"The store has {counted} shards, the URL names {named}.",
            hint="Name all of them, in their order. A shard is added by penstock shard add.",
            field="store",
        )
    _prove_alike(known, members[0])
    for index, answer in enumerate(answers):
        if known[index] is None and not isinstance(answer, StoreUnavailable):
            await take_queues(shards, index)
            await keep_place(shards[index], Membership(members[0].store_id, index, counted))


async def read_place(shard: Shard) -> Membership | None:
    """Return what a shard knows of itself, if it is part of a store."""
    return _read((await shard.get_records((KEY,), 0))[0])


async def keep_place(shard: Shard, membership: Membership, *, again: bool = False) -> None:
    """Have a shard know what it is part of; what it knows already stays, but ``again``."""
    await shard.put_records((Record(KEY, _encode(membership), only_if_absent=not again),), 0)


async def prove_empty(what: str, shard: Shard) -> None:
    """Raise InvalidRequest if a shard that is to be part of a store has queues of its own; ``what`` names it."""
    if await shard.list_queues("", "", 1, None, 0):
        raise InvalidRequest(
            f"{what} has queues of its own.",
            hint="Begin with empty servers, or under another tag.",
            field="store",
        )


async def take_queues(shards: Shards, index: int) -> None:
    """Have a shard hold the queues that every shard holds."""
    for other in shards.others(index):
        after = ""
        while not shards.is_away(other):
            page = await shards[other].list_queues("", after, 1000, None, 0)
            for queue in page:
                named = {name: getattr(queue.settings, name) for name in queue.settings.__struct_fields__}
                with contextlib.suppress(QueueConflict, QueueDeletedRecently):
                    await shards[index].create_queue(queue.name, QueueChanges(**named), 0, queue.created_at)
            if len(page) < 1000:
                break
            after = page[-1].name


def _read(record: Record | None) -> Membership | None:
    return None if record is None else _decode(record.value)


def _prove_alike(known: Sequence[Membership | None], first: Membership) -> None:
    for place, each in enumerate(known):
        if each is None:
            continue
        if each.store_id != first.store_id:
            raise InvalidRequest(
                f"The shard named in place {place} is part of another store.", hint="Check the URL.", field="store"
            )
        if each.index != place:
            raise InvalidRequest(
                f"The shard named in place {place} has place {each.index} in its store.",
                hint="Name the shards in the order in which they were first named.",
                field="store",
            )


async def _found(shards: Shards) -> Membership:
    """Make shards one store; of two processes that do so at once the first counts."""
    mine = Membership(os.urandom(8).hex(), 0, len(shards))
    await keep_place(shards[0], mine)
    (kept,) = await shards[0].get_records((KEY,), 0)
    assert kept is not None
    return _decode(kept.value)
