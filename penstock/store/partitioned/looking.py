"""Looking into a queue of several partitions, and what is done to its messages by id."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView
from penstock.core.operations import IdOutcome
from penstock.core.queues import GroupView
from penstock.store.contract import Store
from penstock.store.partitioned.parts import Parts

AskById = Callable[[Sequence[str], str | None], Awaitable[tuple[IdOutcome, ...]]]
"""Asks something of messages by id, of one queue or of any."""


async def peek(
    store: Store, parts: Parts, wanted: MessageFilter, after: int, limit: int, now: int
) -> tuple[list[MessageView], int | None]:
    """Return matching messages of all partitions by the queue's sequence numbers, as far as all were looked through."""
    pages = await asyncio.gather(
        *(store.peek(name, wanted, parts.before(after, number), limit, now) for number, name in enumerate(parts.names))
    )
    shown = [parts.shown(each) for found, _ in pages for each in found]
    ends = [parts.whole(end, number) for number, (_, end) in enumerate(pages) if end is not None]
    end = min(ends, default=None)
    found = sorted(
        [each for each in shown if end is None or each.sequence_number <= end], key=lambda each: each.sequence_number
    )
    return (found, end) if len(found) <= limit else (found[:limit], found[limit - 1].sequence_number)


async def list_groups(
    store: Store, parts: Parts, after: str, limit: int, only_parked: bool, now: int
) -> list[GroupView]:
    """Return the groups of all partitions by id."""
    pages = await asyncio.gather(*(store.list_groups(name, after, limit, only_parked, now) for name in parts.names))
    return sorted([each for page in pages for each in page], key=lambda each: each.group_id)[:limit]


async def by_id(
    store: Store, parts: Parts, message_ids: Sequence[str], now: int, ask: AskById
) -> tuple[IdOutcome, ...]:
    """Ask something of those messages that are in a partition of a queue; the others are gone."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, view in enumerate(await store.find(message_ids, now)):
        if view is not None and view.queue in parts.names:
            places[view.queue].append(place)
    outcomes = [IdOutcome.GONE] * len(message_ids)
    for name, mine in places.items():
        for place, outcome in zip(mine, await ask([message_ids[place] for place in mine], name), strict=True):
            outcomes[place] = outcome
    return tuple(outcomes)
