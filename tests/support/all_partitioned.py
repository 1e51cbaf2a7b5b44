"""A store in which every queue gets three partitions, and does what it does with one, as far as that is the same.

What is not: such queues take no dead letters, so those that are to be have one; their settings say how many there are,
and that they deduplicate per group; and among messages without a group there is no order, so all of them go to one
partition here, the last.
"""

from collections.abc import Sequence

from msgspec import UNSET, structs

from penstock.core.messages import Draft
from penstock.core.queues import QueueChanges, QueueDescription
from penstock.store.partitioned import PartitionedStore
from penstock.store.partitioned.parts import Parts

PARTITIONS = 3


class OneOrder(Parts):
    """Partitions of which one takes all messages without a group."""

    def of_draft(self, draft: Draft) -> int:
        return PARTITIONS - 1 if draft.group_id is None else super().of_draft(draft)


class AllPartitioned(PartitionedStore):
    """Makes queues of several partitions where nothing is said of that, and tells of them as if they had one.

    Attributes:
        take_dead_letters: how the names of those begin that have one all the same.
    """

    take_dead_letters: tuple[str, ...] = ("dead", "last")

    async def create_queue(
        self, name: str, changes: QueueChanges, name_rest_ms: int, now: int
    ) -> tuple[QueueDescription, bool]:
        takes_dead_letters = name.startswith(self.take_dead_letters) or name.endswith("-dead")
        if changes.partitions is UNSET and not takes_dead_letters:
            changes = structs.replace(changes, partitions=PARTITIONS)
        described, was_created = await super().create_queue(name, changes, name_rest_ms, now)
        return _masked(described), was_created

    async def update_queue(self, name: str, changes: QueueChanges, now: int) -> QueueDescription:
        return _masked(await super().update_queue(name, changes, now))

    async def describe_queue(self, name: str, now: int) -> QueueDescription:
        return _masked(await super().describe_queue(name, now))

    async def list_queues(
        self, prefix: str, after: str, limit: int, dead_letter_queue: str | None, now: int
    ) -> Sequence[QueueDescription]:
        return list(map(_masked, await super().list_queues(prefix, after, limit, dead_letter_queue, now)))


def _masked(described: QueueDescription) -> QueueDescription:
    if described.settings.partitions == 1:
        return described
    settings = structs.replace(described.settings, partitions=1, deduplicate_per_group=False)
    return structs.replace(described, settings=settings)
