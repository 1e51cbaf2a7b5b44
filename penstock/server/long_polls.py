"""Receives that wait: they end the moment their client goes, and are answered at once when the server stops.

What a cancelled receive has found meanwhile, the store gives back.
"""

import asyncio

from msgspec import structs

from penstock.broker.contract import Broker
from penstock.core.operations import Receive, ReceiveReply

_NOTHING = ReceiveReply(())


class Client:
    """Who waits for answers on one connection.

    Attributes:
        task: what makes the answer it waits for, if it waits for one.
        has_gone: the connection is closed.
        is_polling: it waits for a receive that may wait itself.
        is_stopped: that receive is to be answered with nothing, because the server stops.
    """

    __slots__ = ("has_gone", "is_polling", "is_stopped", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.has_gone = self.is_polling = self.is_stopped = False

    def leave(self) -> None:
        """The connection was closed: nobody waits any more."""
        self.has_gone = True
        self.stop_polling()

    def stop_polling(self) -> None:
        """End the receive that it waits for, if it waits for one."""
        if self.is_polling and self.task is not None:
            self.task.cancel()


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
        self._polling: set[Client] = set()

    def drain(self) -> None:
        """Let every receive be answered at once from now on, those that wait now with nothing."""
        self._is_draining = True
        for client in list(self._polling):
            client.is_stopped = True
            client.stop_polling()

    async def perform(self, operation: Receive, client: Client) -> ReceiveReply:
        """Perform a receive that may wait.

        Args:
            operation: the receive.
            client: who waits for it; its task performs this.

        Raises:
            ClientGone: the client did not wait.
        """
        if client.has_gone:
            raise ClientGone
        if self._is_draining:
            return await self._broker.perform(structs.replace(operation, wait_seconds=0))
        client.is_polling = True
        self._polling.add(client)
        try:
            return await self._broker.perform(operation)
        except asyncio.CancelledError:
            assert client.task is not None
            if client.has_gone:
                client.task.uncancel()
                raise ClientGone from None
            if client.is_stopped:
                client.task.uncancel()
                return _NOTHING
            raise
        finally:
            client.is_polling = False
            self._polling.discard(client)
