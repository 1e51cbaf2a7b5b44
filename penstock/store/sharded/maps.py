"""The map of a store of several shards: which slot lives on which, kept on every shard and numbered by its epoch.

A call says by which epoch it was made, and a shard that knows another refuses it. So everybody who has an older map
hears of a newer one before anything is done by the older, and a shard that has missed one is given it by who sees that.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from penstock.core.errors import StoreUnavailable
from penstock.core.placement import homes
from penstock.store.shard import MapChanged, Shard
from penstock.store.sharded.merging import there

_ANSWER_SECONDS = 2.0


class Map(Struct, frozen=True, omit_defaults=True):
    """Where things live.

    Attributes:
        epoch: greater than that of every map before.
        homes: the shard of each slot.
        shard_count: how many shards there are.
        urls: of those that came after the store was begun, so that who does not name them finds them.
        moving: slots that nobody may ask for now, each with the shard it goes to; after it has arrived, with the one it
            comes from.
        last: of each queue that is moving the number up to which its messages are carried; ``None``: not agreed yet.
        has_arrived: what is moving is all in its new home, which ``homes`` says; the old one is being cleared.
    """

    epoch: int
    homes: tuple[int, ...]
    shard_count: int
    urls: dict[int, str] = {}
    moving: dict[int, int] = {}
    last: dict[str, int] | None = None
    has_arrived: bool = False

    def next(self, **changes: object) -> "Map":
        """Return the map that comes after this one."""
        return structs.replace(self, epoch=self.epoch + 1, **changes)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Map).decode


def first_map(shard_count: int) -> Map:
    """Return the map of a store in which no shard has been added."""
    return Map(0, homes(shard_count), shard_count)


async def newest_map(stores: Sequence[Shard], seen: Map | None = None) -> Map | None:
    """Return the latest map that shards know, and give it to those that do not know it; ``None``: there was none yet.

    Args:
        stores: the shards.
        seen: the latest that was seen before; a shard that has lost it is given it again.

    Raises:
        StoreUnavailable: no shard answers.
    """
    answers = await asyncio.gather(*(_read(store) for store in stores))
    known = [_decode(answer) for answer in there(answers) if answer is not None]
    known += [seen] if seen is not None and seen.epoch else []
    if not known:
        return None
    newest = max(known, key=lambda each: each.epoch)
    behind = [
        store
        for store, answer in zip(stores, answers, strict=True)
        if not isinstance(answer, StoreUnavailable) and (answer is None or _decode(answer).epoch < newest.epoch)
    ]
    await asyncio.gather(*(_give(store, newest) for store in behind))
    return newest


async def publish(stores: Sequence[Shard], published: Map) -> None:
    """Have all shards know a map.

    Raises:
        MapChanged: somebody else has published one of that epoch or a later one. The first shard decides who did.
        StoreUnavailable: a shard is away.
    """
    packed = _encode(published)
    if not await stores[0].write_map(published.epoch, packed):
        raise MapChanged("Somebody else is adding shards to the store now.", hint="Let one of you end.")
    await asyncio.gather(*(store.write_map(published.epoch, packed) for store in stores[1:]))


async def _read(store: Shard) -> bytes | StoreUnavailable | None:
    try:
        return await asyncio.wait_for(store.read_map(), _ANSWER_SECONDS)
    except TimeoutError:
        return StoreUnavailable("A shard of the store does not answer.", hint="Try again in a moment.")
    except StoreUnavailable as error:
        return error


async def _give(store: Shard, newest: Map) -> None:
    try:
        await asyncio.wait_for(store.write_map(newest.epoch, _encode(newest)), _ANSWER_SECONDS)
    except (TimeoutError, StoreUnavailable):
        return  # whoever asks it next will
