"""Tokens and permits a worker has of limits: taken in bulk from the store, used here, given back when not needed."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from msgspec import Raw

from penstock.broker.contract import Broker
from penstock.core.clock import Clock
from penstock.core.effects import Effects, Guard, Record
from penstock.core.errors import GuardFailed, PenstockError
from penstock.core.operations import Apply, GetRecords
from penstock.worker.limits import PERMIT_MS, Concurrency, Limit, Rate, Taken, change_permits, limit_key, take_tokens

log = logging.getLogger("penstock.worker")

TOKENS_KEPT_MS = 1000
BUSY_MS = 250
"""How long after permits were found taken the store is not asked again, unless one is let go here."""

MOST_TRIES = 20
MOST_WINDOWS = 10
FIRST_DELAY_SECONDS, MORE_SECONDS, MOST_DELAY_SECONDS = 0.5, 0.05, 5.0


class Stock:
    """What this worker has of one limit."""

    def __init__(self, key: str, limit: Limit) -> None:
        self.key = key
        self.limit = limit
        self.lock = asyncio.Lock()
        self.left = 0
        self.used = 0
        self.until = 0
        self.closed_until = 0
        self.denied_count = 0
        self.waiting_count = 0
        self.value: bytes | None = None


class Limiting:
    """The limits of a worker's jobs.

    Args:
        broker: performs the operations.
        clock: tells when.
        owner: names the worker.
    """

    def __init__(self, broker: Broker, clock: Clock, owner: str) -> None:
        self._broker = broker
        self._clock = clock
        self.owner = owner
        self._stocks: dict[str, Stock] = {}

    async def admit(
        self, limits: Sequence[tuple[str, Limit]], args: Mapping[str, Raw]
    ) -> "tuple[list[Stock], float | None]":
        """Ask whether a job may start.

        Args:
            limits: names of tasks and queues, and limits they have.
            args: of the job.

        Returns:
            What to ``release`` when it has ended, and ``None``; or nothing, and after how many seconds to ask again.

        Raises:
            PenstockError: the store cannot tell.
        """
        got: list[Stock] = []
        for owner, limit in limits:
            key = limit_key(limit, owner, args)
            stock = self._stocks.get(key)
            if stock is None:
                self._tidy()
                stock = self._stocks[key] = Stock(key, limit)
            try:
                is_got = await self._take(stock)
            except BaseException:
                self.release(got)
                raise
            if not is_got:
                self.release(got, is_unused=True)
                return [], self._delay(stock)
            stock.denied_count = 0
            got.append(stock)
        return got, None

    def release(self, got: Sequence[Stock], *, is_unused: bool = False) -> None:
        """A job that was admitted has ended, or did not start after all."""
        for stock in got:
            if is_unused and isinstance(stock.limit, Rate):
                stock.left += 1
            if isinstance(stock.limit, Concurrency):
                stock.used -= 1
                stock.closed_until = 0

    async def tend(self) -> None:
        """Renew the permits that are used and give back those that are not; about once a second."""
        now = self._clock.now_ms()
        for stock in list(self._stocks.values()):
            if not isinstance(stock.limit, Concurrency) or not stock.left:
                continue
            async with stock.lock:
                if stock.used < stock.left or stock.until - now < PERMIT_MS * 2 // 3:
                    await self._hold(stock, stock.limit, stock.used)

    async def aclose(self) -> None:
        """Give back every permit."""
        for stock in list(self._stocks.values()):
            if isinstance(stock.limit, Concurrency) and stock.left:
                try:
                    await self._hold(stock, stock.limit, 0)
                except PenstockError as error:
                    log.warning("permits of %s come back by themselves, the store is away: %s", stock.key, error)

    async def _take(self, stock: Stock) -> bool:
        stock.waiting_count += 1
        try:
            async with stock.lock:
                now = self._clock.now_ms()
                if isinstance(stock.limit, Rate):
                    if now >= stock.until:
                        stock.left = 0
                    if not stock.left and now >= stock.closed_until:
                        await self._buy(stock, stock.limit, now)
                    if not stock.left:
                        return False
                    stock.left -= 1
                    return True
                if stock.used >= stock.left and now >= stock.closed_until:
                    await self._hold(stock, stock.limit, stock.used + stock.waiting_count)
                    if stock.used >= stock.left:
                        stock.closed_until = now + BUSY_MS
                if stock.used >= stock.left:
                    return False
                stock.used += 1
                return True
        finally:
            stock.waiting_count -= 1

    async def _buy(self, stock: Stock, rate: Rate, now: int) -> None:
        wanted = max(1, min(rate.count, round(rate.count / rate.per_seconds)))
        taken = await self._change(stock, lambda value: take_tokens(value, rate, wanted, now))
        stock.left, stock.until = taken.count, now + TOKENS_KEPT_MS
        stock.closed_until = 0 if taken.count else taken.due_at

    async def _hold(self, stock: Stock, limit: Concurrency, wanted: int) -> None:
        now = self._clock.now_ms()
        taken = await self._change(stock, lambda value: change_permits(value, limit, self.owner, wanted, now))
        stock.left, stock.until = taken.count, now + PERMIT_MS

    async def _change(self, stock: Stock, change: Callable[[bytes | None], Taken]) -> Taken:
        for _ in range(MOST_TRIES):
            taken = change(stock.value)
            record = Record(stock.key, taken.value, expires_at=taken.expires_at)
            try:
                await self._broker.perform(Apply(Effects(guards=(Guard(stock.key, stock.value),), records=(record,))))
            except GuardFailed:
                kept = (await self._broker.perform(GetRecords((stock.key,)))).records[0]
                stock.value = None if kept is None else kept.value
                continue
            stock.value = taken.value
            return taken
        return Taken(0, self._clock.now_ms() + BUSY_MS, b"", 0)

    def _delay(self, stock: Stock) -> float:
        """Return after how many seconds a job that was denied is to ask again: the later, the more are denied."""
        denied, stock.denied_count = stock.denied_count, stock.denied_count + 1
        if isinstance(stock.limit, Rate):
            seconds = max(0.001, (stock.closed_until - self._clock.now_ms()) / 1000)
            return seconds + min(MOST_WINDOWS, denied // stock.limit.count) * stock.limit.per_seconds
        return min(MOST_DELAY_SECONDS, FIRST_DELAY_SECONDS + MORE_SECONDS * denied)

    def _tidy(self) -> None:
        """Forget limits nothing is had of; there may be one for every customer."""
        if len(self._stocks) < 10_000:
            return
        now = self._clock.now_ms()
        self._stocks = {
            key: stock
            for key, stock in self._stocks.items()
            if stock.used or stock.waiting_count or stock.until > now or stock.closed_until > now
        }
