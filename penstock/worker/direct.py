"""A way to the store for the calling thread itself, where the store has one: no other thread wakes for what is sent."""

import threading
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, TypeVar

from penstock.broker.contract import Broker
from penstock.core.errors import PenstockError, QueueNotFound
from penstock.core.finishing import finished
from penstock.core.operations import CreateQueue, Operation
from penstock.core.refusals import queue_not_found

T = TypeVar("T")
Reply = TypeVar("Reply")
Work = Callable[[Broker], Coroutine[Any, Any, T]]

_ELSEWHERE_SECONDS = 1.0
_MOST_ELSEWHERE = 1000


class _MakingNoQueues:
    """A broker that makes no queue: which kind one is to be, or is, is not known here."""

    def __init__(self, broker: Broker) -> None:
        self._perform = broker.perform
        self.aclose = broker.aclose

    def perform(self, operation: Operation[Reply]) -> Coroutine[Any, Any, Reply]:
        if type(operation) is CreateQueue:
            raise queue_not_found(operation.queue)
        return self._perform(operation)


class Direct:
    """Does work in the calling thread, one thread at a time.

    Several that send at once are better off with the portal, which has what they send go out together.

    Args:
        connect: opens a broker whose replies are there when they are awaited; ``None``: there is no such way.
    """

    def __init__(self, connect: Callable[[], Broker | None]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._broker: Broker | None = None
        self._is_possible = True
        self._elsewhere: dict[str, float] = {}

    def forget(self) -> None:
        """Begin anew, in the child of a fork: the connection is its parent's, whatever that was doing with it."""
        self._lock = threading.Lock()
        self.close()

    def run(self, queue: str, work: Work[T], otherwise: Callable[[Work[T]], T]) -> T:
        """Do some work that awaits nothing but replies of the broker.

        Args:
            queue: which it is about. One that is not there, or of partitions, is asked otherwise for a while.
            work: what to do; may be begun once more, otherwise.
            otherwise: does it where this cannot.
        """
        if not self._is_possible or self._is_elsewhere(queue) or not self._lock.acquire(blocking=False):
            return otherwise(work)
        try:
            broker = self._broker or self._opened(queue)
            if broker is not None:
                result = finished(work(broker))
                self._elsewhere.pop(queue, None)
                return result
        except QueueNotFound:
            self._note_elsewhere(queue)
        finally:
            self._lock.release()
        return otherwise(work)

    def close(self) -> None:
        """Let go of the connection; it is opened again when it is needed."""
        with self._lock:
            broker, self._broker = self._broker, None
            if broker is not None:
                finished(broker.aclose())

    def _opened(self, queue: str) -> Broker | None:
        try:
            opened = self._connect()
        except PenstockError:
            self._note_elsewhere(queue)
            return None
        self._broker = None if opened is None else _MakingNoQueues(opened)
        self._is_possible = opened is not None
        return self._broker

    def _is_elsewhere(self, queue: str) -> bool:
        return queue in self._elsewhere and monotonic() < self._elsewhere[queue]

    def _note_elsewhere(self, queue: str) -> None:
        """Note that a queue was not to be had: it may be there next time, but hardly after that."""
        is_known = queue in self._elsewhere
        if len(self._elsewhere) >= _MOST_ELSEWHERE:
            self._elsewhere.clear()
        self._elsewhere[queue] = monotonic() + _ELSEWHERE_SECONDS if is_known else 0.0
