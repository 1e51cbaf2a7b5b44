"""The queues jobs wait in: made when first needed, each with a queue for its dead letters."""

from typing import Literal

from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.errors import InvalidRequest, QueueConflict
from penstock.core.operations import CreateQueue
from penstock.core.partitions import (
    HASH,
    MOST_PARTITIONS,
    check_partitioner,
    partition_name,
    partition_of_id,
    partition_of_key,
)
from penstock.core.queues import QUEUE_NAME, History, QueueChanges, RedrivePolicy
from penstock.worker.limits import Limit

Keys = Literal["ordered", "fair"]

KEPT_SECONDS = 10 * 365 * 86_400
"""Jobs wait as long as they must; nothing is forgotten for its age."""

MOST_DELIVERIES = 1000
"""The store's own limit; workers dead-letter long before, with a reason."""

MOST_BYTES = 1 << 24


class QueueDefinition(Struct, frozen=True, kw_only=True):
    """How a queue of jobs behaves.

    Attributes:
        name: as of any queue.
        keys: what a job's ``key`` means. ``ordered``: jobs of one key run one at a time and in order. ``fair``: keys
            are tenants, and one with much work does not keep the others waiting. Fixed when the queue is made.
        key_slots: so many jobs of one key at once, on all workers together; fair keys only.
        lease_seconds: how long a worker that is not heard of keeps a job; it renews its leases at a third of this.
        history: which events of its jobs' lives are kept.
        limits: how many of its jobs may start in a time, or run at once, on all workers together.
        partitions: of how many parts it is made, each of which may live on another server; jobs of one key are in one
            of them. Fixed when the queue is made.
        partitioner: which keys are in which partition: ``hash``, or ``qugo:QUEUES`` for keys that are integers.
    """

    name: str
    keys: Keys = "ordered"
    key_slots: int | None = None
    lease_seconds: float = 30
    history: History = "off"
    limits: tuple[Limit, ...] = ()
    partitions: int = 1
    partitioner: str = HASH

    def __post_init__(self) -> None:
        if not QUEUE_NAME.fullmatch(self.name):
            raise InvalidRequest(
                f"{self.name!r} is no name for a queue.",
                hint="Use 1 to 80 letters, digits, hyphens, underscores and dots.",
                field="queue",
            )
        if self.key_slots is not None and self.keys != "fair":
            raise InvalidRequest(
                "Ordered keys run one job at a time.", hint='key_slots needs keys="fair".', field="key_slots"
            )
        if not 1 <= self.partitions <= MOST_PARTITIONS:
            raise InvalidRequest(
                f"A queue has 1 to {MOST_PARTITIONS} partitions.", hint="Choose another number.", field="partitions"
            )
        check_partitioner(self.partitioner, self.partitions)

    def part_for(self, key: str | None, job_id: str) -> str:
        """Return the part a job goes to, by its name in the store. Raises InvalidRequest for a key that fits none."""
        if self.partitions == 1:
            return self.name
        if key is None:
            return partition_name(self.name, partition_of_id(job_id, self.partitions))
        return partition_name(self.name, partition_of_key(self.partitioner, self.partitions, key))


def dead_letters_of(queue: str) -> str:
    """Return the name of the queue that takes the dead letters of a queue of jobs."""
    return f"{queue}-dead"


async def ensure(broker: Broker, queue: QueueDefinition) -> None:
    """Make a queue and its dead-letter queue, unless they are there; those that are there stay as they are."""
    dead = dead_letters_of(queue.name)
    wanted = QueueChanges(
        group_order="strict" if queue.keys == "ordered" else "fair",
        group_max_in_flight=queue.key_slots,
        visibility_timeout_seconds=queue.lease_seconds,
        retention_seconds=KEPT_SECONDS,
        max_message_bytes=MOST_BYTES,
        redrive=RedrivePolicy(dead, MOST_DELIVERIES),
        history=queue.history,
        partitions=queue.partitions,
        partitioner=queue.partitioner,
    )
    for name, changes in (
        (dead, QueueChanges(retention_seconds=KEPT_SECONDS, max_message_bytes=MOST_BYTES, history=queue.history)),
        (queue.name, wanted),
    ):
        try:
            await broker.perform(CreateQueue(name, changes))
        except QueueConflict:
            continue
