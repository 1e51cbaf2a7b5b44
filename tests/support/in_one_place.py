"""A store in which every queue has three partitions, of which one takes all messages: it does exactly what a store does
whose queues have one. What would tell of partitions is put into the words of a store without any.
"""

import re
from collections.abc import Sequence
from typing import Any, cast

from msgspec import structs

from penstock.core.errors import ReceiptHandleInvalid
from penstock.core.events import Event
from penstock.core.messages import Draft
from penstock.core.operations import MoveReply, MovesReply, StartMove
from penstock.core.partitions import partition_name
from penstock.core.queues import QueueChanges, QueueDescription
from penstock.core.receipts import decode_receipt, encode_receipt
from penstock.core.settlements import Settlement, SettleOutcome
from penstock.store.contract import Received, Store
from penstock.store.memory import MemoryStore
from penstock.store.partitioned.parts import Parts
from penstock.store.partitioned.routing import names_in
from tests.support.all_partitioned import PARTITIONS, AllPartitioned
from tests.support.scripts import Advance, Past, Step

TAKE_DEAD_LETTERS = ("dead", "standard", "b.fifo")
THE_ONE = PARTITIONS - 1
_NUMBER = re.compile(rf"#{THE_ONE}\b")


def in_one_place() -> Store:
    """Return such a store, in memory."""
    return cast(Store, InOnePlace(QueueWide(), OnePlace))


def made(step: Step, past: Past) -> Step:
    """Return a step without what is divided among partitions: rates of moves, moves to them, and more than one move."""
    if not isinstance(step, StartMove):
        return step
    if past.move_ids:
        return Advance(0.001)
    target = step.target if step.target and step.target.startswith(TAKE_DEAD_LETTERS) else None
    return structs.replace(step, target=target, rate_per_second=None)


def told(reply: Any) -> Any:
    """Return a reply that says nothing of partitions."""
    if isinstance(reply, MoveReply):
        return MoveReply(structs.replace(reply.move, partitions=1))
    if isinstance(reply, MovesReply):
        return MovesReply(tuple(structs.replace(each, partitions=1) for each in reply.moves))
    if isinstance(reply, Event) and reply.detail is not None:
        return structs.replace(reply, detail=_NUMBER.sub("", reply.detail))
    return reply


class OnePlace(Parts):
    """Partitions of which one takes all messages, and numbers them alone."""

    def of_draft(self, draft: Draft) -> int:
        return THE_ONE

    def of_group(self, group_id: str) -> int:
        return THE_ONE

    def whole(self, sequence_number: int, number: int) -> int:
        return sequence_number

    def before(self, sequence_number: int, number: int) -> int:
        return sequence_number


class QueueWide(MemoryStore):
    """A store whose partitions deduplicate in all of their queue, as all is in one of them."""

    async def create_queue(
        self, name: str, changes: QueueChanges, name_rest_ms: int, now: int
    ) -> tuple[QueueDescription, bool]:
        if "#" in name:
            changes = structs.replace(changes, deduplicate_per_group=False)
        return await super().create_queue(name, changes, name_rest_ms, now)


class InOnePlace(AllPartitioned):
    """Takes and gives receipt handles as if queues had no partitions."""

    take_dead_letters = TAKE_DEAD_LETTERS

    async def receive(self, queue: str, *given: Any, following: str | None = None, **details: Any) -> Received:
        following = None if following is None else self._inside(queue, following)
        received = await super().receive(queue, *given, following=following, **details)
        deliveries = tuple(
            structs.replace(each, receipt_handle=self._outside(queue, each.receipt_handle))
            for each in received.deliveries
        )
        return structs.replace(received, deliveries=deliveries)

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        # a settlement that names a queue which is not known yet comes after the others
        await self._known.learn_all([name for each in settlements for name in names_in(each)], now)
        return await super().settle(
            [
                structs.replace(
                    each,
                    receipt_handle=self._inside(each.queue, each.receipt_handle),
                    also=tuple(self._inside(each.queue, handle) for handle in each.also),
                )
                for each in settlements
            ],
            now,
        )

    def _inside(self, queue: str, handle: str) -> str:
        if queue.startswith(self.take_dead_letters):
            return handle
        try:
            return encode_receipt(partition_name(queue, THE_ONE), decode_receipt(queue, handle))
        except ReceiptHandleInvalid:
            return handle

    def _outside(self, queue: str, handle: str) -> str:
        if queue.startswith(self.take_dead_letters):
            return handle
        return encode_receipt(queue, decode_receipt(partition_name(queue, THE_ONE), handle))
