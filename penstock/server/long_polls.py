"""Receives that wait: they end when their client goes, and are answered at once when the server stops.

What a cancelled receive has found meanwhile, the broker gives back.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.operations import Receive, ReceiveReply

_PATIENCE_SECONDS = 0.01
"""Receives that are answered sooner are not watched. One timer looks after all of them: one each would cost more than
the receive itself."""

_NOTHING = ReceiveReply(())


class Client:
    """Who waits for answers on one connection.

    Attributes:
        has_gone: the connection is closed, as far as is known without waiting.
    """

    __slots__ = ("has_gone",)

    def __init__(self) -> None:
        self.has_gone = False


class ClientGone(Exception):
    """The client closed the connection; nobody waits for the answer."""


class LongPolls:
    """The waiting receives of one server.

    Args:
        broker: performs them.

    Attributes:
        is_draining: none may wait any more.
        waiting: those that are watched, which is all that have waited for some milliseconds.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.is_draining = False
        self.waiting: set[_LongPoll] = set()
        self._new: set[_LongPoll] = set()
        self._patient: set[_LongPoll] = set()
        self._timer: asyncio.TimerHandle | None = None

    def drain(self) -> None:
        """Let every receive be answered at once from now on, those that wait now with nothing."""
        self.is_draining = True
        for poll in list(self.waiting):
            poll.stop()

    async def perform(
        self, operation: Receive, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]
    ) -> ReceiveReply:
        """Perform a receive that may wait.

        Args:
            operation: the receive.
            receive: tells when the client goes (ASGI); the request's body must have been taken.

        Raises:
            ClientGone: the client did.
        """
        if self.is_draining:
            return await self._broker.perform(structs.replace(operation, wait_seconds=0))
        poll = _LongPoll(self, receive)
        self._new.add(poll)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._look)
        try:
            return await self._broker.perform(operation)
        except asyncio.CancelledError:
            if poll.is_client_gone:
                poll.task.uncancel()
                raise ClientGone from None
            if poll.is_stopped:
                poll.task.uncancel()
                return _NOTHING
            raise
        finally:
            self._new.discard(poll)
            self._patient.discard(poll)
            poll.end()

    def _look(self) -> None:
        """Watch those that were there when this looked last, and look again while there are others."""
        waited, self._patient, self._new = self._patient, self._new, set()
        for poll in waited:
            poll.watch()
        self._timer = None
        if self._patient:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._look)


class _LongPoll:
    """One receive that may wait, performed by the task that made this."""

    __slots__ = ("_receive", "_siblings", "_watcher", "is_client_gone", "is_stopped", "task")

    def __init__(self, siblings: LongPolls, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task: asyncio.Task[Any] = task
        self.is_client_gone = False
        self.is_stopped = False
        self._siblings = siblings
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Begin to look out for the client's going."""
        if self._siblings.is_draining:
            self.stop()
            return
        self._siblings.waiting.add(self)
        self._watcher = self.task.get_loop().create_task(self._await_disconnect())

    def stop(self) -> None:
        """Answer with nothing."""
        self.is_stopped = True
        self.task.cancel()

    def end(self) -> None:
        """It is over, whichever way."""
        self._siblings.waiting.discard(self)
        if self._watcher is not None:
            self._watcher.cancel()

    async def _await_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_client_gone = True
        self.task.cancel()
