"""A broker that does not make tests wait: AWS's cool-downs are left out of what it is asked."""

from typing import TypeVar, cast

from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.operations import CreateQueue, Operation, PurgeQueue

Reply = TypeVar("Reply")


class WithoutCoolDowns:
    """Lets queues be purged again, and the names of deleted queues be used again, at once.

    Args:
        broker: performs the operations; closed with this one.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def perform(self, operation: Operation[Reply]) -> Reply:
        if isinstance(operation, CreateQueue):
            operation = cast(Operation[Reply], structs.replace(operation, name_rest_seconds=0))
        elif isinstance(operation, PurgeQueue):
            operation = cast(Operation[Reply], structs.replace(operation, rest_seconds=0))
        return await self._broker.perform(operation)

    async def aclose(self) -> None:
        await self._broker.aclose()
