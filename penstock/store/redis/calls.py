"""What a process asks of one shard: calls of one turn of the event loop go out together, as one script call.

While as many batches as may be are unanswered, calls wait and make up the next one. A batch whose answer was lost is
sent again, and the script answers as it did before (performing.lua); so every call happens once.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from penstock.core.errors import PenstockError, StoreUnavailable
from penstock.store.redis.address import Address
from penstock.store.redis.batch import Batch, Call, waiting_for
from penstock.store.redis.connection import ANSWER_SECONDS, LOST, Connection, pack
from penstock.store.redis.keys import key
from penstock.store.redis.locating import connect_to
from penstock.store.redis.refusals import Remedy, refused, too_few_replicas
from penstock.store.redis.scripts import FUNCTIONS, SCRIPTS
from penstock.store.shard import MapChanged

MOST_UNANSWERED = 2
MOST_UNANSWERED_ONCE_MORE = 32
"""Less than the answers that performing.lua keeps of a client."""

MOST_TOGETHER = 128
MOST_BYTES = 1 << 20
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 1.0
_unpack_wakeups = msgspec.msgpack.Decoder(tuple[str, list[str | int]]).decode


class Asking(Protocol):
    """A way to one shard."""

    address: Address

    def submit(self, verb: str, now: int, *arguments: bytes | str | int) -> Awaitable[Any]:
        """Return a verb's outcome to come."""
        ...

    async def ask(self, *command: bytes | str | int) -> Any:
        """Send a command of Redis itself."""
        ...


class Way(Asking, Protocol):
    """A way to one shard that is opened and closed, and by which calls may be made by a map."""

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable."""
        ...

    def submit_by(
        self, epoch: int | str, verb: str, now: int, arguments: Sequence[bytes | str | int]
    ) -> Awaitable[Any]:
        """Return a verb's outcome to come, asked by the map of an epoch."""
        ...

    async def aclose(self) -> None:
        """Finish what was submitted and let go of the connection."""
        ...


class CallsByMap:
    """The way to one shard for calls made by the map of an epoch. They fail with MapChanged while it knows another.

    Args:
        calls: the way.
        epoch: of the map.
    """

    def __init__(self, calls: Way, epoch: int) -> None:
        self.address = calls.address
        self.ask = calls.ask
        self._calls = calls
        self._epoch = epoch

    def submit(self, verb: str, now: int, *arguments: bytes | str | int) -> Awaitable[Any]:
        """Return a verb's outcome to come."""
        return self._calls.submit_by(self._epoch, verb, now, arguments)


class Calls:
    """The way to one shard.

    Args:
        address: which server, and under which hash tag.
        on_wakeups: told queues and instants, on the event loop; an empty mapping: any may have been missed.
    """

    def __init__(self, address: Address, on_wakeups: Callable[[dict[str, int]], None]) -> None:
        self.address = address
        self._on_wakeups = on_wakeups
        self._loop = asyncio.get_running_loop()
        self._client = os.urandom(9).hex()
        self._form = FUNCTIONS if address.functions else SCRIPTS
        self._numbers = itertools.count(1)
        self._pending: list[Call] = []
        self._again: list[Batch] = []
        self._unanswered: list[Batch] = []
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_scheduled = False
        self._is_closed = False
        self._pause_seconds = 0.0
        self._drained: asyncio.Future[None] | None = None
        self._watch = self._loop.call_later(ANSWER_SECONDS, self._look_after)

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable."""
        await self._connect()

    def submit(self, verb: str, now: int, *arguments: bytes | str | int) -> "asyncio.Future[Any]":
        """Return the future of a verb's outcome.

        Args:
            verb: of the scripts.
            now: ms since the epoch.
            arguments: as the verb's header has them.
        """
        return self.submit_by("", verb, now, arguments)

    def submit_by(
        self, epoch: int | str, verb: str, now: int, arguments: Sequence[bytes | str | int]
    ) -> "asyncio.Future[Any]":
        """Return the future of a verb's outcome, asked by the map of an epoch."""
        outcome: asyncio.Future[Any] = self._loop.create_future()
        if self._is_closed:
            outcome.set_exception(StoreUnavailable("The store is closed."))
            return outcome
        self._pending.append(Call(verb, (now, *arguments), epoch, outcome, self._loop.time()))
        self._schedule()
        return outcome

    async def ask(self, *command: bytes | str | int) -> Any:
        """Send a command of Redis itself; the answer may be a ``hiredis.ReplyError``."""
        if self._connection is None:
            await self._connect()
        assert self._connection is not None
        answer = await self._connection.ask(*command)
        if answer is LOST:
            raise StoreUnavailable(f"Redis at {self.address.name} closed the connection.")
        return answer

    async def aclose(self) -> None:
        """Finish what was submitted and let go of the connection."""
        self._is_closed = True
        if self._pending or self._unanswered or self._again:
            self._drained = self._loop.create_future()
            await self._drained
        self._watch.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()
        # a transport lets go of its socket in the next turn
        await asyncio.sleep(0)

    # -- sending -----------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._connection is None or not self._connection.is_open:
            if (self._pending or self._again) and self._connecting is None:
                self._connecting = self._loop.create_task(self._reconnect())
            return
        while self._again and len(self._unanswered) < MOST_UNANSWERED_ONCE_MORE:
            self._send(self._again.pop(0))
        while self._pending and len(self._unanswered) < MOST_UNANSWERED:
            calls = self._next_calls()
            if calls:
                self._send(Batch(calls, self._numbers))
        if self._drained is not None and not self._unanswered and not self._drained.done():
            self._drained.set_result(None)

    def _next_calls(self) -> list[Call]:
        taken, size, at = list[Call](), 0, 0
        for at, call in enumerate(self._pending, 1):
            if call.outcome.cancelled():
                continue
            if taken and call.epoch != taken[0].epoch:
                at -= 1
                break
            taken.append(call)
            size += sum(len(each) for each in call.arguments if isinstance(each, bytes))
            if len(taken) == MOST_TOGETHER or size > MOST_BYTES:
                break
        del self._pending[:at]
        return taken

    def _send(self, batch: Batch) -> None:
        assert self._connection is not None
        self._unanswered.append(batch)
        batch.sent_at = self._loop.time()
        packed = batch.packed(self._form, self.address.tag, self._client)
        if self.address.wait_replicas and batch.number != "":
            self._connection.send(packed, lambda answer: self._note(batch, answer))
            self._connection.send(waiting_for(self.address.wait_replicas), lambda count: self._replicated(batch, count))
        else:
            self._connection.send(packed, lambda answer: self._answered(batch, answer))

    # -- answers -----------------------------------------------------------------------------------------------------

    def _note(self, batch: Batch, answer: Any) -> None:
        batch.told = answer

    def _replicated(self, batch: Batch, count: Any) -> None:
        """Pass an answer on when enough replicas have what it says."""
        if isinstance(batch.told, Exception):
            self._answered(batch, batch.told)
        elif isinstance(count, int) and count < self.address.wait_replicas:
            self._unanswered.remove(batch)
            self._fail(batch.calls, too_few_replicas(count, self.address.wait_replicas))
            self._schedule()
        else:
            self._answered(batch, LOST if count is LOST else batch.told)

    def _answered(self, batch: Batch, answer: Any) -> None:
        self._unanswered.remove(batch)
        if not isinstance(answer, Exception):
            self._pause_seconds = 0.0
            outcomes, told = answer
            if told:
                self._on_wakeups({told[at].decode(): told[at + 1] for at in range(0, len(told), 2)})
            if not outcomes:
                self._fail(batch.calls, MapChanged(f"The shard at {self.address.name} knows another map."))
            for call, outcome in zip(batch.calls, outcomes, strict=bool(outcomes)):
                if not call.outcome.done():
                    call.outcome.set_result(outcome)
        else:
            self._remedy(batch, answer)
        if self._pending or self._again or self._drained is not None:
            # at once: what waited meanwhile makes up the next batch
            self._flush()

    def _remedy(self, batch: Batch, error: Exception) -> None:
        remedy = batch.remedy(error)
        if remedy is Remedy.LOAD:
            if self._connection is not None:
                self._connection.send(pack(self._form.load), lambda answer: None)
            self._again.append(batch)
        elif remedy is Remedy.SCRIPTS:
            # another batch may have found out before
            self._form = SCRIPTS
            self._again.append(batch)
        elif remedy is Remedy.RECONNECT and not self._has_waited(batch.calls):
            self._again.append(batch)
            self._drop()
        elif remedy is Remedy.ALONE and len(batch.calls) > 1:
            self._again += [Batch([call], self._numbers) for call in batch.calls]
        else:
            self._fail(batch.calls, refused(error, self.address.name))

    def _fail(self, calls: Sequence[Call], error: PenstockError) -> None:
        for call in calls:
            if not call.outcome.done():
                call.outcome.set_exception(error)

    # -- connecting --------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        channel = key(self.address.tag, "wakeups")
        self._connection = await connect_to(self.address, self._pushed, self._lost, channel)

    async def _reconnect(self) -> None:
        while self._connection is None or not self._connection.is_open:
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * self._pause_seconds))
            try:
                await self._connect()
            except PenstockError as error:
                self._give_up(error)
        self._connecting = None
        self._on_wakeups({})
        self._flush()

    def _has_waited(self, calls: Sequence[Call]) -> bool:
        before = self._loop.time() - self.address.patience_seconds
        return all(call.since < before for call in calls)

    def _give_up(self, error: PenstockError) -> None:
        """Fail the calls that have waited long enough."""
        over = [call for call in self._pending if self._has_waited([call])]
        self._pending = [call for call in self._pending if call not in over]
        for calls in [over, *(each.calls for each in self._again if self._has_waited(each.calls))]:
            self._fail(calls, error)
        self._again = [batch for batch in self._again if not self._has_waited(batch.calls)]
        if self._drained is not None and not (self._pending or self._again or self._drained.done()):
            self._drained.set_result(None)

    def _look_after(self) -> None:
        """Give up a connection on which nothing comes any more."""
        self._watch = self._loop.call_later(ANSWER_SECONDS / 4, self._look_after)
        if self._unanswered and self._unanswered[0].sent_at < self._loop.time() - ANSWER_SECONDS:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _lost(self, connection: Connection) -> None:
        if connection is self._connection:
            self._connection = None
        if self._connecting is None and (not self._is_closed or self._again or self._pending):
            self._connecting = self._loop.create_task(self._reconnect())

    def _pushed(self, push: list[Any]) -> None:
        if push[0] == b"message":
            client, told = _unpack_wakeups(push[2])
            if client != self._client:
                self._on_wakeups(dict(zip(told[::2], told[1::2], strict=True)))  # type: ignore[arg-type]
