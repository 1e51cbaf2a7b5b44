"""What performs operations. In-process and HTTP brokers are interchangeable."""

from typing import Protocol, TypeVar

from penstock.core.operations import Operation

Reply = TypeVar("Reply")


class Broker(Protocol):
    """Performs any operation of ``core.operations``."""

    async def perform(self, operation: Operation[Reply]) -> Reply:
        """Do what the operation says and return its reply.

        Raises:
            PenstockError: the operation as a whole failed and changed nothing.
        """
        ...

    async def aclose(self) -> None:
        """Finish what is under way and let go."""
        ...
