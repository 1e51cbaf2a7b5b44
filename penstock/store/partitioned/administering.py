"""Queues of several partitions: made, changed, told of and forgotten as one.

Partition 0 is made last and forgotten last. Where it is, the queue is; what is left of one without it is found and used
when a queue of that name is made again.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from itertools import groupby

from msgspec import UNSET, structs

from penstock.core.errors import InvalidRequest, PurgeInProgress, QueueConflict, QueueDeletedRecently, QueueNotFound
from penstock.core.partitions import check_partitioner, is_partition, number_of, queue_of
from penstock.core.queues import QueueChanges, QueueCounts, QueueDescription, first_difference, new_settings
from penstock.core.refusals import purge_in_progress, queue_conflict, queue_deleted_recently
from penstock.store.contract import Store
from penstock.store.partitioned.parts import Known, Parts


async def create_queue(
    store: Store, known: Known, name: str, changes: QueueChanges, name_rest_ms: int, now: int
) -> tuple[QueueDescription, bool]:
    """Make a queue, or find it, of however many partitions."""
    await check_redrive(known, changes, now)
    first = await known.look(name, now)
    if first is not None:
        different = first_difference(first.settings, changes)
        if different is not None:
            raise queue_conflict(name, different)
        parts = Parts(name, first.settings)
        await _complete(store, parts, now)
        return await describe(store, parts, now), False
    if changes.partitions is UNSET or changes.partitions == 1:
        check_partitioner(new_settings(changes).partitioner, 1)
        made = await store.create_queue(name, changes, name_rest_ms, now)
        if made[1] and await known.look(name, now) is not None:
            # somebody made it of several partitions at the same moment
            await store.delete_queue(name, now)
            return await create_queue(store, known, name, changes, 0, now)
        return made
    return await _make(store, name, changes, name_rest_ms, now), True


async def _make(store: Store, name: str, changes: QueueChanges, name_rest_ms: int, now: int) -> QueueDescription:
    if changes.deduplicate_per_group is False:
        raise InvalidRequest(
            "A queue of several partitions deduplicates per group.",
            hint="Leave deduplicate_per_group out, or set it.",
            field="deduplicate_per_group",
        )
    changes = structs.replace(changes, deduplicate_per_group=True)
    settings = new_settings(changes)
    check_partitioner(settings.partitioner, settings.partitions)
    if await _is_there(store, name, now):
        raise queue_conflict(name, "partitions")
    if await store.list_queues("", "", 1, name, now):
        raise InvalidRequest(
            f"{name!r} is a dead-letter queue, which is of one partition.",
            hint="Choose another name.",
            field="partitions",
        )
    parts = Parts(name, settings)
    try:
        await _make_others(store, parts, changes, name_rest_ms, now)
        await store.create_queue(parts.names[0], changes, name_rest_ms, now)
    except QueueDeletedRecently:
        raise queue_deleted_recently(name) from None
    if await _is_there(store, name, now):
        # somebody made it of one at the same moment
        await delete_queue(store, parts, now)
        raise queue_conflict(name, "partitions")
    return await describe(store, parts, now)


async def _make_others(store: Store, parts: Parts, changes: QueueChanges, name_rest_ms: int, now: int) -> None:
    """Make all partitions but 0, which is not there."""

    async def make(name: str) -> None:
        try:
            await store.create_queue(name, changes, name_rest_ms, now)
        except QueueConflict:
            # left by somebody who did not come to the end
            await store.delete_queue(name, now)
            await store.create_queue(name, changes, 0, now)

    await asyncio.gather(*map(make, parts.names[1:]))


async def _complete(store: Store, parts: Parts, now: int) -> None:
    """Make what is not there of a queue whose partition 0 is: somebody has begun to delete it."""
    settings = parts.settings
    changes = QueueChanges(**{name: getattr(settings, name) for name in settings.__struct_fields__})
    for name in parts.names[1:]:
        if not await _is_there(store, name, now):
            with contextlib.suppress(QueueConflict):
                await store.create_queue(name, changes, 0, now)


async def _is_there(store: Store, name: str, now: int) -> bool:
    try:
        await store.describe_queue(name, now)
    except QueueNotFound:
        return False
    return True


async def check_redrive(known: Known, changes: QueueChanges, now: int) -> None:
    """Refuse a dead-letter queue of several partitions: the store puts dead letters into queues of its own."""
    if changes.redrive and await known.find(changes.redrive.dead_letter_queue, now) is not None:
        raise InvalidRequest(
            f"{changes.redrive.dead_letter_queue!r} is of several partitions, and cannot take dead letters.",
            hint="Name a queue of one partition.",
            field="dead_letter_queue",
        )


async def update_queue(store: Store, parts: Parts, changes: QueueChanges, now: int) -> QueueDescription:
    """Change all partitions."""
    await store.update_queue(parts.names[0], changes, now)
    await asyncio.gather(*(store.update_queue(name, changes, now) for name in parts.names[1:]))
    return await describe(store, parts, now)


async def delete_queue(store: Store, parts: Parts, now: int) -> None:
    """Forget all partitions."""

    async def forget(name: str) -> None:
        with contextlib.suppress(QueueNotFound):
            await store.delete_queue(name, now)

    await asyncio.gather(*map(forget, parts.names[1:]))
    await store.delete_queue(parts.names[0], now)


async def purge_queue(store: Store, parts: Parts, rest_ms: int, now: int) -> int:
    """Forget the messages of all partitions; partition 0 says whether it is too soon."""
    try:
        purged = await store.purge_queue(parts.names[0], rest_ms, now)
    except PurgeInProgress:
        raise purge_in_progress(parts.queue) from None
    return purged + sum(await asyncio.gather(*(store.purge_queue(name, 0, now) for name in parts.names[1:])))


async def describe(store: Store, parts: Parts, now: int) -> QueueDescription:
    """Return what all partitions tell together."""
    return together(await asyncio.gather(*(store.describe_queue(name, now) for name in parts.names)))


def together(parts: Sequence[QueueDescription]) -> QueueDescription:
    """Return the description of a queue from those of its partitions, number 0 first."""
    first = parts[0]
    oldest = [each.oldest_sent_at for each in parts if each.oldest_sent_at is not None]
    return structs.replace(
        first,
        name=queue_of(first.name),
        counts=QueueCounts(
            sum(each.counts.ready for each in parts),
            sum(each.counts.delayed for each in parts),
            sum(each.counts.in_flight for each in parts),
        ),
        oldest_sent_at=min(oldest, default=None),
        sent_total=sum(each.sent_total for each in parts),
        received_total=sum(each.received_total for each in parts),
        deleted_total=sum(each.deleted_total for each in parts),
        is_away=any(each.is_away for each in parts),
    )


async def list_queues(
    store: Store, prefix: str, after: str, limit: int, dead_letter_queue: str | None, now: int
) -> list[QueueDescription]:
    """Return queues by name, each once. Partitions are listed where the prefix begins one's name."""
    if is_partition(prefix):
        return list(await store.list_queues(prefix, after, limit, dead_letter_queue, now))
    found: list[QueueDescription] = []
    rest: list[QueueDescription] = []
    # the parts of a queue stand right behind where it would
    start = f"{after}#~" if after else ""
    while True:
        page = await store.list_queues(prefix, start, limit, dead_letter_queue, now)
        rest += page
        is_last = len(page) < limit
        # the last one may have more partitions than were listed
        open_queue = None if is_last or not is_partition(rest[-1].name) else queue_of(rest[-1].name)
        whole = [each for each in rest if queue_of(each.name) != open_queue]
        found += _by_queue(whole)
        if is_last or len(found) >= limit:
            return found[:limit]
        rest, start = rest[len(whole) :], page[-1].name


def _by_queue(listed: Sequence[QueueDescription]) -> Iterator[QueueDescription]:
    for _, same in groupby(listed, key=lambda each: queue_of(each.name)):
        parts = list(same)
        if not is_partition(parts[0].name):
            yield parts[0]
        elif number_of(parts[0].name) == 0:
            yield together(parts)
