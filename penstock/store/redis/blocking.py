"""The way to a server for a thread that has no event loop: it asks, and waits for the answer itself.

What is awaited of it is there already, so a coroutine that awaits nothing else runs to its end in one step
(``core.finished``). It takes no wake-ups: nothing can be waited for here.
"""

import contextlib
import itertools
import os
from collections.abc import Generator, Sequence
from time import monotonic, sleep
from typing import Any

from penstock.core.errors import StoreUnavailable
from penstock.store.redis.address import Address
from penstock.store.redis.batch import Batch, Call, waiting_for
from penstock.store.redis.blocking_connection import BlockingConnection, connect
from penstock.store.redis.calls import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from penstock.store.redis.connection import LOST, pack
from penstock.store.redis.refusals import Remedy, refused, too_few_replicas
from penstock.store.redis.scripts import FUNCTIONS, SCRIPTS
from penstock.store.shard import MapChanged


class Answer:
    """What was answered, to be awaited."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, None, Any]:
        return self._value
        yield  # never: this makes it a generator


class BlockingCalls:
    """The way to one server, for one thread at a time; as ``Calls``, but that each call goes out alone.

    Args:
        address: which server.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client = os.urandom(9).hex()
        self._form = FUNCTIONS if address.functions else SCRIPTS
        self._numbers = itertools.count(1)
        self._connection: BlockingConnection | None = None

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable."""
        self._connected()

    def submit(self, verb: str, now: int, *arguments: bytes | str | int) -> Answer:
        """Return a verb's outcome. Raises StoreUnavailable."""
        return self.submit_by("", verb, now, arguments)

    def submit_by(self, epoch: int | str, verb: str, now: int, arguments: Sequence[bytes | str | int]) -> Answer:
        """Return a verb's outcome, asked by the map of an epoch. Raises StoreUnavailable, MapChanged."""
        outcomes, _ = self._perform(Batch([Call(verb, (now, *arguments), epoch)], self._numbers))
        if not outcomes:
            raise MapChanged(f"The shard at {self.address.name} knows another map.")
        return Answer(outcomes[0])

    async def ask(self, *command: bytes | str | int) -> Any:
        """Send a command of Redis itself; the answer may be a ``hiredis.ReplyError``."""
        answer = self._exchange(pack(command))
        if answer is LOST:
            raise StoreUnavailable(f"Redis at {self.address.name} closed the connection.")
        return answer

    async def aclose(self) -> None:
        """Let go of the connection."""
        self._drop()

    def _connected(self) -> BlockingConnection:
        if self._connection is None:
            self._connection = connect(self.address)
        return self._connection

    def _exchange(self, packed: bytes) -> Any:
        try:
            answer = self._connected().exchange(packed)
        except BaseException:
            # interrupted: what comes next on it answers something else
            self._drop()
            raise
        if answer is LOST:
            self._drop()
        return answer

    def _perform(self, batch: Batch) -> Any:
        """Ask until there is an answer that is no error; a server that is away gets its time."""
        until, pause_seconds = 0.0, 0.0
        while True:
            try:
                answer = self._exchange(batch.packed(self._form, self.address.tag, self._client))
                count = self._replicas_of(batch, answer)
            except StoreUnavailable as away:
                remedy, problem = Remedy.RECONNECT, away
            else:
                answer = count if isinstance(count, Exception) else answer
                if not isinstance(answer, Exception):
                    if count < self.address.wait_replicas:
                        raise too_few_replicas(count, self.address.wait_replicas)
                    return answer
                remedy, problem = batch.remedy(answer), refused(answer, self.address.name)
            if remedy is Remedy.LOAD:
                with contextlib.suppress(StoreUnavailable):
                    self._exchange(pack(self._form.load))
            elif remedy is Remedy.SCRIPTS:
                self._form = SCRIPTS
            elif remedy is Remedy.RECONNECT:
                until = until or monotonic() + self.address.patience_seconds
                if monotonic() >= until:
                    raise problem
                self._drop()
                sleep(pause_seconds)
                pause_seconds = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * pause_seconds))
            else:
                raise problem

    def _replicas_of(self, batch: Batch, answer: Any) -> Any:
        """Return how many replicas have what a batch changed, as far as anybody wants to know."""
        wanted = self.address.wait_replicas
        if not wanted or batch.number == "" or isinstance(answer, Exception):
            return wanted
        return self._exchange(waiting_for(wanted))

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
