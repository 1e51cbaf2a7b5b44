"""An app under test: its jobs run here and now, one after the other, and time passes when the test says so."""

import asyncio
import contextvars
from collections.abc import Mapping
from types import TracebackType
from weakref import WeakKeyDictionary, WeakSet

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.broker.sweeping import Sweeping
from penstock.core.filters import MessageFilter
from penstock.core.messages import State
from penstock.core.operations import ListQueues, Peek
from penstock.store import open_store
from penstock.testing.clock import ManualClock
from penstock.testing.faults import Faults, FaultyBroker, WorkerDied
from penstock.worker.app import App
from penstock.worker.engine.calling import Attempt, acall, call
from penstock.worker.engine.options import QueueShare, WorkerOptions, pinned
from penstock.worker.engine.worker import Worker
from penstock.worker.outcomes import Outcome
from penstock.worker.portal import Portal
from penstock.worker.queues import dead_letters_of

_PAGE = 1000


class AppUnderTest:
    """What a test does to an app.

    Attributes:
        app: the app, its jobs in the broker under test.
        broker: where they are.
        clock: stands still until the test moves it.
        faults: what shall go wrong.
    """

    def __init__(self, app: App, broker: Broker, clock: ManualClock) -> None:
        self.app = app
        self.clock = clock
        self.faults = Faults()
        self.broker: Broker = FaultyBroker(broker, self.faults)
        self._workers: WeakSet[Worker] = WeakSet()

    async def run_until_idle(self, *, jumps: bool = False) -> None:
        """Run jobs until none is ready, those that they send too.

        Args:
            jumps: whether the clock jumps to the next job that is delayed, waits for its next attempt or is held by a
                worker that died, again and again until there is none.
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

    def worker(
        self,
        *,
        slots: int = 1,
        owner: str = "",
        is_burst: bool = True,
        job_log_level: int | None = None,
        partitions: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Worker:
        """Return a worker of all queues that runs jobs inline; with one slot they run one after the other.

        ``partitions``: of which queues it takes only jobs of certain partitions.
        """
        names = self.app.queues.keys() | {task.options.queue for task in self.app.tasks.values()}
        options = WorkerOptions(
            queues=pinned(tuple(map(QueueShare, sorted(names or {"default"}))), partitions or {}),
            is_strict=True,
            slots=slots,
            is_burst=is_burst,
            lookahead_seconds=0,
            owner=owner,
            is_present=False,
            job_log_level=job_log_level,
        )
        inline = InlineRunner(self.faults)
        worker = Worker(self.app, self.broker, options, {"async": inline, "thread": inline, "process": inline})
        self._workers.add(worker)
        return worker

    async def _next_due(self, *, has_schedules: bool = False) -> int | None:
        """Return when the next job is due that now is not; with schedules, theirs too, which have no end."""
        due: int | None = None
        if has_schedules:
            occurrences = [each.next_at for each in await self.app.async_schedules.list() if not each.is_paused]
            due = min(occurrences, default=None)
        for name in [queue.name for queue in (await self.broker.perform(ListQueues(limit=_PAGE))).queues]:
            if name.endswith(dead_letters_of("")):
                continue
            for state in (State.DELAYED, State.IN_FLIGHT):
                found = await self._first_visible_at(name, state)
                due = found if due is None or (found is not None and found < due) else due
        return due

    async def _first_visible_at(self, queue: str, state: State) -> int | None:
        """Return when the first message in a state leaves it; what workers hold that live is left out."""
        first: int | None = None
        held = {job_id for worker in self._workers for job_id in worker.held}
        after: int | None = 0
        while after is not None:
            page = await self.broker.perform(Peek(queue, MessageFilter(state=state), after=after, limit=_PAGE))
            for message in page.messages:
                if message.message_id not in held:
                    first = message.visible_at if first is None else min(first, message.visible_at)
            after = page.next_after
        return first


class WaitingAppUnderTest:
    """The same for code that is not async, waiting for what ``AppUnderTest`` does.

    Attributes:
        app, clock, faults: as there.
    """

    def __init__(self, under_test: AppUnderTest) -> None:
        self.app = under_test.app
        self.clock = under_test.clock
        self.faults = under_test.faults
        self._under_test = under_test

    def run_until_idle(self, *, jumps: bool = False) -> None:
        """See ``AppUnderTest.run_until_idle``."""
        self.app.portal.run(lambda _: self._under_test.run_until_idle(jumps=jumps))

    def fast_forward(self, seconds: float) -> None:
        """See ``AppUnderTest.fast_forward``."""
        self.app.portal.run(lambda _: self._under_test.fast_forward(seconds))


class InlineRunner:
    """Runs attempts one by one, as they come: async ones on this loop, others in a thread that is waited for.

    Args:
        faults: say in which attempts the worker dies.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    async def run(self, attempt: Attempt) -> Outcome:
        death = self._faults.death_in(attempt.context)
        if death is not None:
            _let_die(asyncio.current_task())
        if death is False:
            raise WorkerDied("The worker died before the work was done.")
        if attempt.task.is_async:
            outcome = await asyncio.get_running_loop().create_task(acall(attempt), context=contextvars.Context())
        else:
            outcome = await asyncio.to_thread(contextvars.Context().run, call, attempt)
        if death is not None:
            raise WorkerDied("The worker died when the work was done.")
        return outcome

    def stop(self, attempt: Attempt) -> None:
        """What runs here has ended before anybody can stop it."""

    async def aclose(self) -> None:
        pass


def _let_die(task: "asyncio.Task[object] | None") -> None:
    """Let nobody be surprised at how a task ends."""
    assert task is not None
    task.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)


class app_under_test:  # noqa: N801  (called like the function it stands for)
    """Put an app under test: for as long as this lasts its jobs go to a memory store, and its clock is manual.

    ``async with`` gives an ``AppUnderTest`` on the running loop, ``with`` a ``WaitingAppUnderTest`` for tests that are
    not async.

    Args:
        app: the app, whatever its URL says.
        broker: another broker than one on a fresh memory store; not closed here. With ``async with`` only.
        clock: the manual clock of that broker.
    """

    def __init__(self, app: App, *, broker: Broker | None = None, clock: ManualClock | None = None) -> None:
        self._app = app
        self._broker = broker
        self._clock = clock or ManualClock()
        self._own: Broker | None = None
        self._thread: Portal | None = None

    async def __aenter__(self) -> AppUnderTest:
        if self._broker is None:
            self._own = await _in_memory(self._clock)
        used = self._broker or self._own
        assert used is not None
        under_test = _under_test[self._app] = AppUnderTest(self._app, used, self._clock)
        self._real_clock, self._app.clock = self._app.clock, self._clock
        self._app.portal.attach(under_test.broker)
        return under_test

    async def __aexit__(self, *_: object) -> None:
        self._app.portal.detach()
        self._app.clock = self._real_clock
        _under_test.pop(self._app, None)
        if self._own is not None:
            await self._own.aclose()

    def __enter__(self) -> WaitingAppUnderTest:
        assert self._broker is None, "a broker lives on the loop of a test that is async"

        async def enter(broker: Broker) -> AppUnderTest:
            self._broker = broker
            return await self.__aenter__()

        self._thread = Portal(lambda: _in_memory(self._clock))
        return WaitingAppUnderTest(self._thread.run(enter))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._thread is not None
        self._thread.run(lambda _: self.__aexit__())
        self._thread.close()
        self._broker = None


async def _in_memory(clock: ManualClock) -> Broker:
    store = await open_store("memory://")
    # swept too: dead jobs that are tried again are moved step by step
    return Sweeping(LocalBroker(store, clock), store, clock)


def run_until_idle(app: App, *, jumps: bool = False) -> None:
    """Run the jobs of an app here until none is ready; see ``AppUnderTest.run_until_idle``.

    An app that is not under test runs what is in its own store, as a worker in a burst would.
    """
    app.portal.run(lambda broker: _of(app, broker).run_until_idle(jumps=jumps))


def fast_forward(app: App, seconds: float) -> None:
    """Let so much time pass for an app with a manual clock, and run what becomes due, each at its own time."""
    app.portal.run(lambda broker: _of(app, broker).fast_forward(seconds))


_under_test: WeakKeyDictionary[App, AppUnderTest] = WeakKeyDictionary()


def _of(app: App, broker: Broker) -> AppUnderTest:
    return _under_test.get(app) or AppUnderTest(app, broker, app.clock)  # type: ignore[arg-type]
