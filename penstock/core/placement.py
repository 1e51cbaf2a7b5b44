"""Where things live in a store of several shards: names fall into slots, and slots to shards, as pure functions.

A minted message id carries the slot of the queue it is minted for, so that what is kept about a message under its id
lives where its queue does. The partitions of a queue are dealt out to slots that spread them evenly over the shards,
also over those that are added later.
"""

import hashlib
import re
import zlib
from functools import lru_cache

from penstock.core.partitions import is_partition, number_of, queue_of

SLOTS = 1024
_MINTED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

# fmt: off
_DEALT = (
    92, 116, 280, 748, 555, 793, 798, 669, 434, 570, 348, 612, 165, 412, 977, 361,
    58, 268, 751, 990, 221, 720, 95, 349, 987, 481, 937, 6, 733, 304, 18, 810,
    444, 338, 746, 14, 181, 580, 1015, 21, 430, 984, 873, 39, 998, 287, 278, 382,
    341, 774, 344, 908, 877, 354, 852, 653, 610, 533, 766, 335, 176, 60, 57, 473,
)
# fmt: on
"""The slots of partitions, by number, for each queue from another eighth on. Found by trying: any 2 to 64 in a row are
spread as evenly as can be over 2 to 16 shards, however many of these there are."""


def slot_of(name: str) -> int:
    """Return the slot that a queue or a partition lives in."""
    number = number_of(name) if is_partition(name) else None
    if number is None:
        return _fallen(name)
    return _DEALT[(8 * _fallen(queue_of(name)) + number) % len(_DEALT)]


def slot_of_key(key: str) -> int:
    """Return the slot of a record or a join: that in the message id its key ends with, or where the whole key falls."""
    found = _ID.search(key)
    if found is None:
        return _fallen(key)
    return slot_in(found.group()) if is_minted(found.group()) else _fallen(found.group())


def _fallen(name: str) -> int:
    return zlib.crc32(name.encode()) % SLOTS


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
