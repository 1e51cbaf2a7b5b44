"""A session that runs: the events of one key, received behind one another, held together, and ended together."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from msgspec import Raw, structs

from penstock.broker.contract import Broker
from penstock.core.clock import Clock
from penstock.core.errors import InvalidRequest, NoLongerHeld, PenstockError
from penstock.core.messages import Delivery
from penstock.core.operations import Receive, Settle
from penstock.core.settlements import DeadLetter, Delete, GiveBack, Settlement
from penstock.worker.engine.held import Held
from penstock.worker.engine.machine import steady_clock
from penstock.worker.envelope import unseal
from penstock.worker.outcomes import Done, Failed, Outcome, RetryLater, Unfinished
from penstock.worker.sessions import (
    SessionIdle,
    SessionInterrupted,
    SessionRecord,
    SessionTask,
    SessionTooLong,
    to_session,
)

AT_ONCE = 100


class Session:
    """The events a worker holds of one key.

    Args:
        task: whose session it is.
        head: the first event, whose settlement ends them all.
        behind: events that came with it.
        held: all that the worker holds; the events of the session are added, so that their leases are renewed.
        is_draining: set when the worker stops.
        waits: whether to wait for events at all.
    """

    def __init__(
        self,
        task: "SessionTask[Any]",
        head: Held,
        behind: list[Held],
        held: dict[str, Held],
        broker: Broker,
        clock: Clock,
        is_draining: asyncio.Event,
        *,
        owner: str,
        waits: bool,
    ) -> None:
        self._task = task
        self._head = head
        self._held = held
        self._broker = broker
        self._clock = clock
        self._steady_ms = steady_clock(clock)
        self._is_draining = is_draining
        self._owner = owner
        self._wait_seconds = task.idle_seconds if waits else 0.0
        self._loop = asyncio.get_running_loop()
        self._given: list[Held] = []
        self._ready: deque[tuple[Held, Raw]] = deque()
        self._last = head
        self._others: list[Held] = []
        self._is_over = False
        self._take([head, *behind])

    @property
    def key(self) -> str:
        """Whose events they are."""
        return self._head.delivery.group_id or ""

    @property
    def more_count(self) -> int:
        """How many deliveries it holds besides the first."""
        return len(self._given) + len(self._ready) - 1

    def args(self) -> Mapping[str, Any]:
        """Return what the function is called with."""
        return {"key": self.key, "more": self._more}

    async def _more(self) -> Raw:
        """Await the next event; on the loop the function runs on."""
        if asyncio.get_running_loop() is self._loop:
            return await self._next()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._next(), self._loop))

    # -- on the worker's loop ------------------------------------------------------------------------------------------

    async def _next(self) -> Raw:
        if not self._ready:
            await self._receive()
        held, event = self._ready.popleft()
        held.runner, held.running = self._head.runner, self._head.running  # to stop one of them is to stop all
        self._given.append(held)
        return event

    async def _receive(self) -> None:
        if self._is_over:
            raise SessionIdle(f"no other event can come before this session has ended ({len(self._given)} came)")
        room = self._task.most_events - len(self._given)
        if room <= 0:
            raise SessionTooLong(f"it was given {len(self._given)} events and wants more")
        receive = Receive(
            self._head.queue,
            min(room, AT_ONCE),
            wait_seconds=self._wait_seconds,
            visibility_timeout_seconds=self._head.lease_ms / 1000,
            owner=self._owner,
            following=self._last.delivery.receipt_handle,
        )
        polling = asyncio.ensure_future(self._broker.perform(receive))
        draining = asyncio.ensure_future(self._is_draining.wait())
        try:
            await asyncio.wait((polling, draining), return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()
            polling.cancel()
            ended = (await asyncio.gather(polling, return_exceptions=True))[0]
        if isinstance(ended, NoLongerHeld):
            raise SessionInterrupted("its events are no longer its own")
        if isinstance(ended, asyncio.CancelledError):
            raise SessionInterrupted("the worker stops")
        if isinstance(ended, BaseException):
            raise ended
        if not ended.deliveries:
            raise SessionIdle(f"no event came for {self._task.idle_seconds:g} s, after {len(self._given)}")
        self._take([self._hold(delivery) for delivery in ended.deliveries])
        if not self._ready:
            await self._receive()

    def _hold(self, delivery: Delivery) -> Held:
        held = Held(self._head.queue, delivery, self._head.lease_ms, self._steady_ms())
        held.context = self._head.context
        self._held[held.job_id] = held
        return held

    def _take(self, received: list[Held]) -> None:
        """Take events in; a job of another task ends the stream, and what is behind it waits for that one's turn."""
        for number, held in enumerate(received):
            try:
                envelope = unseal(held.delivery.body)
            except InvalidRequest:
                envelope = None
            if envelope is None or envelope.task != self._task.name:
                self._is_over = True
                self._others += received[number:]
                return
            held.context = self._head.context
            self._ready.append((held, envelope.args.get("event", Raw(b"null"))))
            self._last = held

    # -- the end -------------------------------------------------------------------------------------------------------

    def outcome_of(self, outcome: Outcome) -> Outcome:
        """Return how the session ends, where ``outcome`` is how its function did."""
        if isinstance(outcome, RetryLater | Failed):
            match outcome.failure.kind:
                case SessionInterrupted.__qualname__:
                    return Unfinished()
                case SessionTooLong.__qualname__:
                    return Failed(outcome.failure)
                case "WrongArguments":  # an event that cannot be read will not be read next time
                    return Failed(outcome.failure)
        return outcome

    def is_pending(self, outcome: Outcome) -> bool:
        """Return whether its events stay and its key is parked, because no other came."""
        return (
            isinstance(outcome, RetryLater | Failed)
            and outcome.failure.kind == SessionIdle.__qualname__
            and self._task.on_idle == "park"
        )

    async def settlement_of(self, settlement: Settlement, outcome: Outcome, keep_ms: int) -> Settlement:
        """Return the settlement that ends the session, where ``settlement`` would end its first event alone; what it
        does not end is given back before."""
        is_pending = self.is_pending(outcome)
        if is_pending:
            settlement = structs.replace(settlement, action=GiveBack(), parks_group=True)
        ends_all = isinstance(settlement.action, Delete | DeadLetter)
        given = [held for held in self._given if held is not self._head]
        left = [held for held, _ in self._ready if held is not self._head] + self._others
        if not ends_all:
            left, given = given + left, []
        if left:
            await self._give_back(left)
        records = settlement.effects.records
        if is_pending:
            records = ()
        record = self._record(outcome, is_pending=is_pending)
        if record is not None:
            expires_at = self._clock.now_ms() + keep_ms if record.status == "done" else None
            records += (to_session(self._task.name, self.key, record, expires_at),)
        effects = structs.replace(settlement.effects, records=records)
        also = tuple(held.delivery.receipt_handle for held in given)
        return structs.replace(settlement, also=also, effects=effects)

    def close(self) -> None:
        """Hold the events no longer."""
        for held in (*self._given, *(held for held, _ in self._ready), *self._others):
            if held is not self._head and self._held.get(held.job_id) is held:
                del self._held[held.job_id]

    async def _give_back(self, left: list[Held]) -> None:
        for each in left:
            each.is_settling = True
        first, *others = (held.delivery.receipt_handle for held in left)
        returned = Settlement(self._head.queue, first, GiveBack(), is_fenced=True, also=tuple(others))
        try:
            await self._broker.perform(Settle((returned,)))
        except PenstockError:
            return  # their leases end

    def _record(self, outcome: Outcome, *, is_pending: bool) -> SessionRecord | None:
        count, now = len(self._given), self._clock.now_ms()
        match outcome:
            case Done():
                return SessionRecord("done", count, now, result=outcome.result)
            case RetryLater() | Failed() if is_pending:
                return SessionRecord("pending", count, now, failure=outcome.failure)
            case RetryLater():
                return SessionRecord("retrying", count, now, failure=outcome.failure)
            case Failed():
                return SessionRecord("failed", count, now, failure=outcome.failure)
        return None
