"""Partitions: a queue in several parts, each an ordinary queue of the store; which messages go to which, as pure
functions.

Number 3 of ``orders`` is called ``orders#3``. No queue of a caller's can be called so, and in order of names the parts
of a queue stand where the queue itself would.
"""

import re
import zlib
from collections.abc import Callable
from functools import lru_cache

from penstock.core.deduplication import effective_deduplication_id
from penstock.core.errors import InvalidRequest
from penstock.core.messages import Draft
from penstock.core.queues import QueueSettings

MOST_PARTITIONS = 64
"""As many as a store may have shards."""

HASH = "hash"
_MARK = "#"
_QUGO = re.compile(r"qugo:([1-9][0-9]?)")
_NUMBER = re.compile(r"0|[1-9][0-9]?")
_INTEGER = re.compile(r"[0-9]{1,100}")


def partition_name(queue: str, number: int) -> str:
    """Return the name of a partition, counted from 0."""
    return f"{queue}{_MARK}{number}"


def queue_of(name: str) -> str:
    """Return the queue that a name is of: of a partition, or its own."""
    return name.partition(_MARK)[0]


def is_partition(name: str) -> bool:
    """Return whether a name is that of a partition."""
    return _MARK in name


def number_of(name: str) -> int | None:
    """Return the number of the partition that a name is of; ``None``: it is of none that there can be."""
    number = name.partition(_MARK)[2]
    return int(number) if _NUMBER.fullmatch(number) and int(number) < MOST_PARTITIONS else None


def check_partitioner(partitioner: str, partitions: int) -> None:
    """Refuse a partitioner that does not fit.

    Args:
        partitioner: ``hash``, or ``qugo:QUEUES``.
        partitions: how many there are.

    Raises:
        InvalidRequest: there is none of that name, or it cannot have so many.
    """
    if partitioner == HASH:
        return
    match = _QUGO.fullmatch(partitioner)
    if match is None:
        raise InvalidRequest(
            f"There is no partitioner {partitioner[:40]!r}.",
            hint="Use hash, or qugo:4 for integer keys and 4 queues on each server.",
            field="partitioner",
        )
    if partitions % int(match[1]):
        raise InvalidRequest(
            f"{partitions} partitions cannot be {match[1]} on each of several servers.",
            hint=f"Make partitions a multiple of {match[1]}.",
            field="partitions",
        )


def partition_for(settings: QueueSettings, draft: Draft) -> int:
    """Return the partition that a message goes to.

    That of its group. A message without one goes where its deduplication id falls, so that the second one finds the
    first; without that too, where its own id falls, which is anywhere.

    Args:
        settings: of the queue.
        draft: the message, its id included.

    Raises:
        InvalidRequest: the partitioner takes only integers, and the group is none.
    """
    if draft.group_id is not None:
        return partition_of_key(settings.partitioner, settings.partitions, draft.group_id)
    deduplication_id = effective_deduplication_id(settings, draft)
    if deduplication_id is not None:
        return _hashed(deduplication_id, settings.partitions)
    return partition_of_id(draft.message_id or "", settings.partitions)


def partition_of_key(partitioner: str, partitions: int, key: str) -> int:
    """Return the partition of a message group.

    ``hash``: CRC-32 of the key in UTF-8, modulo the partitions. ``qugo:QUEUES``: as QuGo places an order on a server
    and in one of its queues.

    Raises:
        InvalidRequest: the partitioner takes only integers, and this is none.
    """
    return _placing(partitioner, partitions)(key)


def partition_of_id(message_id: str, partitions: int) -> int:
    """Return the partition of a message without a key: its last digits, which are random, say it."""
    return int(message_id[-12:], 16) % partitions


def _hashed(key: str, partitions: int) -> int:
    return zlib.crc32(key.encode(errors="surrogatepass")) % partitions


@lru_cache(256)
def _placing(partitioner: str, partitions: int) -> Callable[[str], int]:
    if partitioner == HASH:
        return lambda key: _hashed(key, partitions)
    queues = int(partitioner.partition(":")[2])
    servers = partitions // queues

    def place(key: str) -> int:
        if not _INTEGER.fullmatch(key):
            raise InvalidRequest(
                f"The partitioner {partitioner} takes only integers as groups, not {key[:100]!r}.",
                hint="Use the digits of a number that is not negative, or a queue whose partitioner is hash.",
                field="group_id",
            )
        number = int(key)
        server, queue = number // queues % servers, number % queues
        return server * queues + queue

    return place
