"""The policies of queues, as the store has them or had them less than a second ago.

Every request asks for one, so they are kept here; what another process changes is followed within ``FRESH_SECONDS``
(AWS: "changes may take up to 60 seconds"), what this server changes at once.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.errors import QueueNotFound
from penstock.core.operations import DescribeQueue
from penstock.core.policies import Policy, read_policy
from penstock.core.queues import QUEUE_NAME
from penstock.server.demands import POLICY
from penstock.wire.sqs.limits import SqsOptions
from penstock.wire.sqs.names import AddressBook

FRESH_SECONDS = 1.0
MOST_KEPT = 10_000
"""When there are more, all are forgotten and read again as they are asked for."""


class Known(Struct, frozen=True):
    """What is known of a queue.

    Attributes:
        owner: its account.
        arn: its Amazon resource name.
        policy: ``None`` where it has none, is not there, or has one that cannot be read.
        has_denials: the policy may forbid something to its owner too.
        until: instant of the process's clock from which this is too old.
    """

    owner: str
    arn: str
    policy: Policy | None
    has_denials: bool
    until: float


class QueuePolicies:
    """Reads policies and keeps them for a while.

    Args:
        broker: describes the queues.
        account, region: of the queues that have plain names.
        monotonic_seconds: the process's clock.

    Attributes:
        kept: by name of the queue; not all of them fresh.
    """

    def __init__(
        self, broker: Broker, account: str, region: str, monotonic_seconds: Callable[[], float] = monotonic
    ) -> None:
        self.kept: dict[str, Known] = {}
        self._broker = broker
        self._account = account
        self._addresses = AddressBook(SqsOptions(default_account=account, default_region=region))
        self._now = monotonic_seconds
        self._readings: dict[str, asyncio.Task[None]] = {}

    async def read(self, queue: str) -> None:
        """Read the policy of a queue, once for all who wait for it.

        Raises:
            PenstockError: the store does not answer.
        """
        reading = self._readings.get(queue)
        if reading is None:
            reading = asyncio.get_running_loop().create_task(self._read(queue))
            reading.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._readings[queue] = reading
        await asyncio.shield(reading)

    def forget(self, queue: str) -> None:
        """Forget what is known of a queue, because it was changed; a reading under way no longer counts either."""
        self.kept.pop(queue, None)
        self._readings.pop(queue, None)

    def owner_of(self, queue: str) -> str:
        """Return the account of a queue, or of all whose names begin so."""
        return queue.split("/", 2)[1] if queue.count("/") == 2 else self._account

    def arn_of(self, queue: str) -> str:
        """Return the Amazon resource name of a queue."""
        return self._addresses.of_queue(queue).arn if QUEUE_NAME.fullmatch(queue) else queue

    async def _read(self, queue: str) -> None:
        task = asyncio.current_task()
        try:
            policy = await self._policy_of(queue)
            if self._readings.get(queue) is not task:
                return
            if len(self.kept) >= MOST_KEPT:
                self.kept.clear()
            has_denials = policy is not None and any(statement.is_denial for statement in policy)
            until = self._now() + FRESH_SECONDS
            self.kept[queue] = Known(self.owner_of(queue), self.arn_of(queue), policy, has_denials, until)
        finally:
            if self._readings.get(queue) is task:
                del self._readings[queue]

    async def _policy_of(self, queue: str) -> Policy | None:
        if not QUEUE_NAME.fullmatch(queue):
            return None
        try:
            reply = await self._broker.perform(DescribeQueue(queue))
        except QueueNotFound:
            return None
        text = reply.queue.settings.edge_attributes.get(POLICY)
        try:
            return None if text is None else read_policy(text)
        except ValueError:
            return None
