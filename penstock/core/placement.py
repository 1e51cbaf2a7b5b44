"""Where things live in a store of several shards: names fall into slots, and slots to shards, as pure functions.

A minted message id carries the slot of the queue it is minted for, so that what is kept about a message under its id
lives where its queue does.
"""

import hashlib
import re
import zlib
from functools import lru_cache

SLOTS = 1024
_MINTED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def slot_of(name: str) -> int:
    """Return the slot that a name falls into: of a queue, a join, or a record whose key names no message."""
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


def is_minted(message_id: str) -> bool:
    """Return whether a message id looks like one that Penstock mints (UUID version 7), which nobody mints twice."""
    return _MINTED.fullmatch(message_id) is not None


@lru_cache(64)
def homes(shard_count: int) -> tuple[int, ...]:
    """Return the shard of each slot, by rendezvous hashing: one shard more takes its share and moves nothing else."""
    return tuple(max(range(shard_count), key=lambda shard: _weight(slot, shard)) for slot in range(SLOTS))


def _weight(slot: int, shard: int) -> bytes:
    return hashlib.blake2b(f"{slot}/{shard}".encode(), digest_size=8).digest()
