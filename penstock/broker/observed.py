"""A broker that tells an observer of every operation: the one place where operations are counted and timed."""

import asyncio
from time import perf_counter
from typing import Protocol, TypeVar

from penstock.broker.contract import Broker
from penstock.core.errors import PenstockError
from penstock.core.operations import Operation

Reply = TypeVar("Reply")

OK = "ok"
CANCELLED = "cancelled"
INTERNAL_ERROR = PenstockError.code


class Observer(Protocol):
    """Is told of operations; must be quick, it is on the path of each."""

    def performed(self, operation: Operation, outcome: str, seconds: float, reply: object) -> None:  # type: ignore[type-arg]
        """Take note of an operation that has ended.

        Args:
            operation: which.
            outcome: ``ok``, ``cancelled`` because the caller went, or the code of its error.
            seconds: how long it took.
            reply: what was answered; ``None`` where nothing was.
        """
        ...


class Observed:
    """Performs operations through another broker and tells of each.

    Args:
        broker: performs them; closed with this one.
        observer: is told.
    """

    def __init__(self, broker: Broker, observer: Observer) -> None:
        self._broker = broker
        self._perform = broker.perform
        self._performed = observer.performed

    async def perform(self, operation: Operation[Reply]) -> Reply:
        started = perf_counter()
        try:
            reply = await self._perform(operation)
        except BaseException as error:
            self._performed(operation, _outcome(error), perf_counter() - started, None)
            raise
        self._performed(operation, OK, perf_counter() - started, reply)
        return reply

    async def aclose(self) -> None:
        await self._broker.aclose()


def _outcome(error: BaseException) -> str:
    if isinstance(error, PenstockError):
        return error.code
    return CANCELLED if isinstance(error, asyncio.CancelledError) else INTERNAL_ERROR
