"""An app under test: its jobs run here and now, one after the other, and time passes when the test says so."""

import asyncio
import contextvars
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.broker.sweeping import Sweeping
from penstock.core.filters import MessageFilter
from penstock.core.messages import State
from penstock.core.operations import ListQueues, Peek
from penstock.store import open_store
from penstock.testing.clock import ManualClock
from penstock.worker.app import App
from penstock.worker.engine.calling import Attempt, acall, call
from penstock.worker.engine.options import QueueShare, WorkerOptions
from penstock.worker.engine.worker import Worker
from penstock.worker.outcomes import Outcome
from penstock.worker.queues import dead_letters_of

_PAGE = 1000


class AppUnderTest:
    """What a test does to an app.

    Attributes:
        app: the app, its jobs in the broker under test.
        broker: where they are.
        clock: stands still until the test moves it.
    """

    def __init__(self, app: App, broker: Broker, clock: ManualClock) -> None:
        self.app = app
        self.broker = broker
        self.clock = clock

    async def run_until_idle(self, *, jumps: bool = False) -> None:
        """Run jobs until none is ready, those that they send too.

        Args:
            jumps: whether the clock jumps to the next job that is delayed or waits for its next attempt, again and
                again until there is none.
        """
        while True:
            await self.worker().run()
            due = await self._next_due() if jumps else None
            if due is None:
                return
            self.clock.advance(max(0, due - self.clock.now_ms()) / 1000)

    async def fast_forward(self, seconds: float) -> None:
        """Let so much time pass and run what becomes due, each at its own time."""
        until = self.clock.now_ms() + round(seconds * 1000)
        await self.run_until_idle()
        while (due := await self._next_due(has_schedules=True)) is not None and due <= until:
            self.clock.advance(max(0, due - self.clock.now_ms()) / 1000)
            await self.run_until_idle()
        self.clock.advance((until - self.clock.now_ms()) / 1000)
        await self.run_until_idle()

    def worker(self, *, slots: int = 1, owner: str = "", is_burst: bool = True) -> Worker:
        """Return a worker of all queues that runs jobs inline; with one slot they run one after the other."""
        names = self.app.queues.keys() | {task.options.queue for task in self.app.tasks.values()}
        options = WorkerOptions(
            queues=tuple(map(QueueShare, sorted(names or {"default"}))),
            is_strict=True,
            slots=slots,
            is_burst=is_burst,
            lookahead_seconds=0,
            owner=owner,
            is_present=False,
        )
        inline = InlineRunner()
        return Worker(self.app, self.broker, options, {"async": inline, "thread": inline, "process": inline})

    async def _next_due(self, *, has_schedules: bool = False) -> int | None:
        """Return when the next job is due that now is not; with schedules, theirs too, which have no end."""
        due: int | None = None
        if has_schedules:
            occurrences = [each.next_at for each in await self.app.async_schedules.list() if not each.is_paused]
            due = min(occurrences, default=None)
        for name in [queue.name for queue in (await self.broker.perform(ListQueues(limit=_PAGE))).queues]:
            if name.endswith(dead_letters_of("")):
                continue
            after: int | None = 0
            while after is not None:
                page = await self.broker.perform(
                    Peek(name, MessageFilter(state=State.DELAYED), after=after, limit=_PAGE)
                )
                for message in page.messages:
                    due = message.visible_at if due is None else min(due, message.visible_at)
                after = page.next_after
        return due


class InlineRunner:
    """Runs attempts one by one, as they come: async ones on this loop, others in a thread that is waited for."""

    async def run(self, attempt: Attempt) -> Outcome:
        if attempt.task.is_async:
            return await asyncio.get_running_loop().create_task(acall(attempt), context=contextvars.Context())
        return await asyncio.to_thread(contextvars.Context().run, call, attempt)

    def stop(self, attempt: Attempt) -> None:
        """What runs here has ended before anybody can stop it."""

    async def aclose(self) -> None:
        pass


@asynccontextmanager
async def app_under_test(
    app: App, *, broker: Broker | None = None, clock: ManualClock | None = None
) -> AsyncIterator[AppUnderTest]:
    """Put an app under test: for as long as this lasts its jobs go to a memory store, and its clock is manual.

    Args:
        app: the app, whatever its URL says.
        broker: another broker than one on a fresh memory store; not closed here.
        clock: the manual clock of that broker.
    """
    clock = clock or ManualClock()
    own: Broker | None = None
    if broker is None:
        store = await open_store("memory://")
        own = Sweeping(LocalBroker(store, clock), store, clock)  # dead jobs that are tried again are moved by it
    used: Broker = broker or own  # type: ignore[assignment]
    real_clock, app.clock = app.clock, clock
    app.portal.attach(used)
    try:
        yield AppUnderTest(app, used, clock)
    finally:
        app.portal.detach()
        app.clock = real_clock
        if own is not None:
            await own.aclose()
