"""Where things live in a store of several shards: names fall into slots, and slots to shards, as pure functions.

A minted message id carries the slot of the queue it is minted for, so that what is kept about a message under its id
lives where its queue does. The partitions of a queue are dealt out to slots so that they are spread evenly over the
shards, over those that are added later too.
"""

import hashlib
import re
import zlib
from functools import lru_cache

from penstock.core.partitions import is_partition, number_of, queue_of

SLOTS = 1024
_MINTED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def slot_of(name: str) -> int:
    """Return the slot that a name falls into: of a queue, a join, or a record whose key names no message."""
    if is_partition(name):
        return _dealt(queue_of(name)).slot(number_of(name))
    return zlib.crc32(name.encode()) % SLOTS


def slot_of_key(key: str) -> int:
    """Return the slot of a record: that in the message id its key ends with, or that of the whole key."""
    found = _ID.search(key)
    if found is None:
        return slot_of(key)
    return slot_in(found.group()) if is_minted(found.group()) else slot_of(found.group())


def slot_in(message_id: str) -> int:
    """Return the slot that a minted message id carries."""
    return int(message_id[15:18], 16) % SLOTS


def in_slot_of(message_id: str, name: str) -> str:
    """Return a minted message id as it carries the slot of a name."""
    return f"{message_id[:15]}{slot_of(name):03x}{message_id[18:]}"


def is_minted(message_id: str) -> bool:
    """Return whether a message id looks like one that Penstock mints (UUID version 7), which nobody mints twice."""
    return _MINTED.fullmatch(message_id) is not None


@lru_cache(64)
def homes(shard_count: int) -> tuple[int, ...]:
    """Return the shard of each slot, by rendezvous hashing: one shard more takes its share and moves nothing else."""
    return tuple(max(range(shard_count), key=lambda shard: _weight(slot, shard)) for slot in range(SLOTS))


def _weight(slot: int, shard: int) -> bytes:
    return hashlib.blake2b(f"{slot}/{shard}".encode(), digest_size=8).digest()


class _Dealt:
    """The slots of the partitions of a queue, dealt out one after the other.

    Each gets the slot with which the shards are taken most evenly: with 2 shards, with 3, and so on; the fewer, the
    more it counts. So it is a function of names alone, whatever the number of partitions and of shards.
    """

    def __init__(self, queue: str) -> None:
        self._slots: list[int] = []
        self._first = slot_of(queue)
        self._counts = {shards: [0] * shards for shards in range(2, _EVEN_UP_TO + 1)}

    def slot(self, number: int) -> int:
        """Return the slot of a partition."""
        while number >= len(self._slots):
            self._deal()
        return self._slots[number]

    def _deal(self) -> None:
        # what each shard would cost that has more than the least
        tables = [
            (homes(shards), [(count - min(counts)) ** 2 / shards**2 for count in counts])
            for shards, counts in self._counts.items()
        ]
        least, best = float("inf"), 0
        for slot in (each % SLOTS for each in range(self._first, self._first + SLOTS)):
            cost = sum([costs[home[slot]] for home, costs in tables])
            if cost < least and slot not in self._slots:
                least, best = cost, slot
                if cost == 0:
                    break
        self._slots.append(best)
        for shards, counts in self._counts.items():
            counts[homes(shards)[best]] += 1


_EVEN_UP_TO = 16


@lru_cache(1024)
def _dealt(queue: str) -> _Dealt:
    return _Dealt(queue)
