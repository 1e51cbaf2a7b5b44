"""Which stores make up this one, as each of them remembers it: a wrong list, or a wrong order, is found out at once."""

import asyncio
import contextlib
import os
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from penstock.core.effects import Record
from penstock.core.errors import InvalidRequest, QueueConflict, StoreUnavailable
from penstock.core.queues import QueueChanges
from penstock.store.contract import Shard
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


async def join_up(shards: Shards) -> None:
    """Prove that shards are those of one store, in their order; make them one if they are new.

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
        await asyncio.gather(*(_prove_empty(index, shard) for index, shard in enumerate(shards.stores)))
        members = [await _found(shards)]
    _prove_alike(known, members[0], len(shards))
    for index, answer in enumerate(answers):
        if known[index] is None and not isinstance(answer, StoreUnavailable):
            await _take_in(shards, index, members[0])


def _read(record: Record | None) -> Membership | None:
    return None if record is None else _decode(record.value)


def _prove_alike(known: Sequence[Membership | None], first: Membership, named: int) -> None:
    if named != first.shard_count:
        raise InvalidRequest(
            f"The store has {first.shard_count} shards, the URL names {named}.",
            hint="Name all of them, in their order.",
            field="store",
        )
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


async def _prove_empty(index: int, shard: Shard) -> None:
    if await shard.list_queues("", "", 1, None, 0):
        raise InvalidRequest(
            f"The shard named in place {index} has queues of its own.",
            hint="Begin with empty servers, or under another tag.",
            field="store",
        )


async def _found(shards: Shards) -> Membership:
    """Make shards one store; of two processes that do so at once the first counts."""
    mine = Membership(os.urandom(8).hex(), 0, len(shards))
    await _keep(shards[0], mine)
    (kept,) = await shards[0].get_records((KEY,), 0)
    assert kept is not None
    return _decode(kept.value)


async def _take_in(shards: Shards, index: int, first: Membership) -> None:
    """Have a shard hold what every shard holds: all queues, and its place."""
    for other in shards.others(index):
        after = ""
        while not shards.is_away(other):
            page = await shards[other].list_queues("", after, 1000, None, 0)
            for queue in page:
                named = {name: getattr(queue.settings, name) for name in queue.settings.__struct_fields__}
                with contextlib.suppress(QueueConflict):
                    await shards[index].create_queue(queue.name, QueueChanges(**named), 0, queue.created_at)
            if len(page) < 1000:
                break
            after = page[-1].name
    await _keep(shards[index], Membership(first.store_id, index, first.shard_count))


async def _keep(shard: Shard, membership: Membership) -> None:
    await shard.put_records((Record(KEY, _encode(membership), only_if_absent=True),), 0)
