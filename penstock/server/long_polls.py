"""Receives that wait: they end the moment their client goes, and are answered at once when the server stops.

What a cancelled receive has found meanwhile, the store gives back.
"""

import asyncio
from typing import Any

from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.operations import Receive, ReceiveReply

_NOTHING = ReceiveReply(())


class Client:
    """Who waits for answers on one connection.

    Attributes:
        has_gone: the connection is closed.
        poll: the receive it waits for.
    """

    __slots__ = ("has_gone", "poll")

    def __init__(self) -> None:
        self.has_gone = False
        self.poll: _LongPoll | None = None

    def leave(self) -> None:
        """The connection was closed: nobody waits any more."""
        self.has_gone = True
        if self.poll is not None:
            self.poll.task.cancel()


class ClientGone(Exception):
    """The client closed the connection; nobody waits for the answer."""


class LongPolls:
    """The waiting receives of one server.

    Args:
        broker: performs them.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._is_draining = False
        self._polls: set[_LongPoll] = set()

    def drain(self) -> None:
        """Let every receive be answered at once from now on, those that wait now with nothing."""
        self._is_draining = True
        for poll in list(self._polls):
            poll.is_stopped = True
            poll.task.cancel()

    async def perform(self, operation: Receive, client: Client) -> ReceiveReply:
        """Perform a receive that may wait.

        Args:
            operation: the receive.
            client: who waits for it.

        Raises:
            ClientGone: the client did not wait.
        """
        if client.has_gone:
            raise ClientGone
        if self._is_draining:
            return await self._broker.perform(structs.replace(operation, wait_seconds=0))
        poll = client.poll = _LongPoll()
        self._polls.add(poll)
        try:
            return await self._broker.perform(operation)
        except asyncio.CancelledError:
            if client.has_gone:
                poll.task.uncancel()
                raise ClientGone from None
            if poll.is_stopped:
                poll.task.uncancel()
                return _NOTHING
            raise
        finally:
            client.poll = None
            self._polls.discard(poll)


class _LongPoll:
    """One receive that may wait, performed by the task that made this."""

    __slots__ = ("is_stopped", "task")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task: asyncio.Task[Any] = task
        self.is_stopped = False
