"""Receiving from a queue of several partitions: from one after the other, each time beginning with the next."""

import asyncio
import zlib
from collections.abc import Sequence

from msgspec import Struct, structs

from penstock.core.errors import QueueNotFound, StoreUnavailable
from penstock.core.messages import Delivery
from penstock.core.settlements import GiveBack, Settlement
from penstock.store.contract import Received, Store
from penstock.store.partitioned.parts import Parts

LEFT_ALONE_MS = 5_000
"""How long nobody else asks a partition whose server did not answer."""


class Wish(Struct, frozen=True):
    """What a receive asks for besides its tokens."""

    visibility_timeout_ms: int | None
    now: int
    owner: str | None
    attempt_id: str | None


async def receive(store: Store, parts: Parts, tokens: Sequence[bytes], wish: Wish) -> Received:
    """Lease at most as many messages as there are tokens, from as many partitions as it takes.

    Partitions whose servers are away are left out while others are there. Raises QueueNotFound, StoreUnavailable.
    """
    found: list[Delivery] = []
    empty: list[Received] = []
    away: StoreUnavailable | None = None
    try:
        for number in _order(parts, wish.attempt_id):
            if parts.is_away(number, wish.now):
                continue
            try:
                received = await _ask(store, parts.names[number], tokens[len(found) :], wish)
            except StoreUnavailable as error:
                parts.leave_alone(number, wish.now + LEFT_ALONE_MS)
                away = error
                continue
            if received.deliveries:
                found += [parts.delivered(each, number) for each in received.deliveries]
                if len(found) == len(tokens):
                    break
            else:
                empty.append(received)
    except (asyncio.CancelledError, QueueNotFound):
        # nobody will get what was found so far
        await asyncio.shield(_give_back(store, parts, found, wish.now))
        raise
    if found:
        return Received(tuple(found))
    if not empty:
        raise away or StoreUnavailable(
            f"No partition of {parts.queue!r} can be reached.", hint="Try again in a moment.", field="queue"
        )
    return _nothing(parts, empty, wish.now)


async def follow(store: Store, parts: Parts, tokens: Sequence[bytes], wish: Wish, receipt_handle: str) -> Received:
    """Lease what comes behind a delivery in its group: all of that is in one partition."""
    (number,) = parts.of_handles(receipt_handle)
    received = await _ask(store, parts.names[number], tokens, wish, receipt_handle)
    return structs.replace(received, deliveries=tuple([parts.delivered(each, number) for each in received.deliveries]))


async def _ask(store: Store, name: str, tokens: Sequence[bytes], wish: Wish, following: str | None = None) -> Received:
    return await store.receive(
        name,
        tokens,
        wish.visibility_timeout_ms,
        wish.now,
        owner=wish.owner,
        attempt_id=wish.attempt_id,
        following=following,
    )


def _order(parts: Parts, attempt_id: str | None) -> list[int]:
    """Return the numbers of the partitions as they are asked; an attempt asks them as it did the first time."""
    first = parts.next_turn() if attempt_id is None else zlib.crc32(attempt_id.encode()) % len(parts)
    return [(first + each) % len(parts) for each in range(len(parts))]


async def _give_back(store: Store, parts: Parts, found: Sequence[Delivery], now: int) -> None:
    if found:
        settlements = [
            Settlement(parts.names[parts.of_handles(each.receipt_handle)[0]], each.receipt_handle, GiveBack())
            for each in found
        ]
        await store.settle(settlements, now)


def _nothing(parts: Parts, empty: Sequence[Received], now: int) -> Received:
    """Return what partitions that have nothing say together; those that were left out are asked again soon."""
    instants = [each.look_again_at for each in empty if each.look_again_at is not None]
    if len(empty) < len(parts):
        instants.append(now + LEFT_ALONE_MS)
    return Received(
        (),
        look_again_at=min(instants, default=None),
        is_over_limit=any(each.is_over_limit for each in empty),
        wait_ms=empty[0].wait_ms,
    )
