"""Settlements on their way: what comes up while one operation is under way goes out together with the next."""

import asyncio
import logging

from penstock.broker.contract import Broker
from penstock.core.errors import PenstockError, StoreUnavailable
from penstock.core.operations import Settle
from penstock.core.settlements import Settled, Settlement, SettleOutcome

log = logging.getLogger("penstock.worker")

AT_ONCE = 500
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0


class Settling:
    """Settles deliveries in batches.

    Args:
        broker: performs the operations.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Settlement, asyncio.Future[SettleOutcome]]] = []
        self._running: asyncio.Task[None] | None = None
        self._alone: set[asyncio.Task[None]] = set()

    def settle(self, settlement: Settlement) -> "asyncio.Future[SettleOutcome]":
        """Return what will have become of a settlement.

        While the store is away it is tried again, until it answers. If the store may have done it before it went away,
        and now finds nothing to settle, it was done.
        """
        outcome: asyncio.Future[SettleOutcome] = self._loop.create_future()
        self._waiting.append((settlement, outcome))
        if self._running is None:
            self._running = self._loop.create_task(self._run())
        return outcome

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
                await self._settle(batch)
        finally:
            self._running = None

    async def _settle(self, batch: list[tuple[Settlement, "asyncio.Future[SettleOutcome]"]]) -> None:
        settlements = tuple(settlement for settlement, _ in batch)
        pause = FIRST_PAUSE_SECONDS
        is_repeated = False
        while True:
            try:
                outcomes = (await self._broker.perform(Settle(settlements))).outcomes
                break
            except StoreUnavailable as error:
                if not is_repeated:
                    log.warning("the store is away, %d settlements wait for it: %s", len(batch), error)
                is_repeated = True
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            except PenstockError as error:
                # one of them cannot be, or all together are too much for a server: the others must not suffer for it
                if len(batch) > 1:
                    for each in batch:
                        await self._settle([each])
                    return
                outcomes = (SettleOutcome(Settled.REFUSED, problem=error.problem),)
                break
            except Exception as error:
                for _, waiting in batch:
                    if not waiting.done():
                        waiting.set_exception(error)
                return
        for (settlement, waiting), outcome in zip(batch, outcomes, strict=True):
            if outcome.problem is not None and outcome.problem.code == StoreUnavailable.code:
                # only the shard of this one is away: it must not hold up the others
                self._again(settlement, waiting)
                continue
            if is_repeated and outcome.result is Settled.GONE:
                outcome = SettleOutcome(Settled.DONE, outcome.message_id)
            if not waiting.done():
                waiting.set_result(outcome)

    def _again(self, settlement: Settlement, waiting: "asyncio.Future[SettleOutcome]") -> None:
        """Settle again by itself what waits for its shard, until that is back."""
        task = self._loop.create_task(self._settle_alone(settlement, waiting))
        self._alone.add(task)
        task.add_done_callback(self._alone.discard)

    async def _settle_alone(self, settlement: Settlement, waiting: "asyncio.Future[SettleOutcome]") -> None:
        log.warning("a part of the store is away, a settlement waits for it")
        while not waiting.done():
            await asyncio.sleep(LONGEST_PAUSE_SECONDS)
            try:
                (outcome,) = (await self._broker.perform(Settle((settlement,)))).outcomes
            except StoreUnavailable:
                continue
            except PenstockError as error:
                outcome = SettleOutcome(Settled.REFUSED, problem=error.problem)
            if outcome.problem is not None and outcome.problem.code == StoreUnavailable.code:
                continue
            if outcome.result is Settled.GONE:
                # the shard had done it before it went away
                outcome = SettleOutcome(Settled.DONE, outcome.message_id)
            if not waiting.done():
                waiting.set_result(outcome)
