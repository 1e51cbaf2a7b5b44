"""Workers that die between any two steps of a workflow: nothing is lost, and every join fires exactly once."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.core.errors import PenstockError, StoreUnavailable
from penstock.core.operations import DescribeQueue, Operation
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from penstock.testing.jobs import AppUnderTest, app_under_test
from penstock.worker import App, AsyncWorkflowRun, Fail, Status, Workflow, chord
from tests.support.entropy import CountingEntropy

LEASE_SECONDS = 31


class Dying:
    """A broker whose caller dies at one operation: before it happens, or after it has and before the answer.

    Args:
        real: performs the operations.
        at: which operation, from 0; later ones never happen.
        is_done: whether the last one still happens.
    """

    def __init__(self, real: Broker, at: int, *, is_done: bool) -> None:
        self.real = real
        self.left = at
        self.is_done = is_done
        self.has_died = asyncio.Event()
        self._is_buried = asyncio.Event()

    async def perform(self, operation: Operation[Any]) -> Any:
        if self.left == 0 and self.is_done:
            await self.real.perform(operation)
        self.left -= 1
        if self.left < 0:
            self.has_died.set()
            await self._is_buried.wait()
            raise PenstockError("dead")
        return await self.real.perform(operation)

    async def kill(self, work: "asyncio.Future[Any]") -> bool:
        """Let some work go on until it ends or its caller dies; return whether it died. Nothing of it is left."""
        died = asyncio.ensure_future(self.has_died.wait())
        await asyncio.wait((work, died), return_when=asyncio.FIRST_COMPLETED)
        self._is_buried.set()
        for each in (work, died):
            each.cancel()
        await asyncio.wait((work, died))
        return self.has_died.is_set()

    async def aclose(self) -> None: ...


class Flaky:
    """A broker that loses one answer, or one question, and then works."""

    def __init__(self, real: Broker, at: int, *, is_done: bool) -> None:
        self.real = real
        self.left = at
        self.is_done = is_done

    async def perform(self, operation: Operation[Any]) -> Any:
        self.left -= 1
        if self.left == -1:
            if self.is_done:
                await self.real.perform(operation)
            raise StoreUnavailable("injected")
        return await self.real.perform(operation)

    async def aclose(self) -> None: ...


class World:
    """An app with tasks that count how often they ran."""

    def __init__(self, under_test: AppUnderTest) -> None:
        self.under_test = under_test
        self.app = under_test.app
        self.ran: Counter[str] = Counter()
        self.failing: set[str] = set()

        @self.app.task(name="step", max_attempts=1)
        async def step(name: str, results: list[str] | str | None = None) -> str:
            self.ran[name] += 1
            if name in self.failing:
                raise Fail
            return name

        self.step = step

    def diamond(self) -> Workflow:
        flow = self.app.workflow("w")
        a = flow.add(self.step, "a", name="a")
        b = flow.add(self.step, "b", a, name="b")
        c = flow.add(self.step, "c", a, name="c")
        flow.add(self.step, "d", [b, c], name="d")
        return flow

    def chord(self) -> Workflow:
        return chord([self.step.call(name) for name in "abc"], self.step.call("d"))._workflow("w")

    async def die_at(self, at: int, *, is_done: bool) -> bool:
        """Let a worker run until it dies at its n-th operation; return whether it did."""
        dying = Dying(self.under_test.broker, at, is_done=is_done)
        worker = AppUnderTest(self.app, dying, self.under_test.clock).worker(slots=2)
        return await dying.kill(asyncio.ensure_future(worker.run()))

    async def sent_total(self) -> int:
        return (await self.under_test.broker.perform(DescribeQueue("default"))).queue.sent_total


async def _world() -> tuple[Any, World]:
    async def nowhere() -> Broker:
        raise AssertionError

    clock, entropy = ManualClock(), CountingEntropy()
    broker = LocalBroker(MemoryStore(), clock, entropy)
    context = app_under_test(App(nowhere, entropy=entropy), broker=broker, clock=clock)
    return context, World(await context.__aenter__())


@pytest.mark.parametrize("shape", ["diamond", "chord"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("failing", ["", "b"], ids=["succeeds", "b fails"])
async def test_a_worker_may_die_at_any_operation(shape: str, is_done: bool, failing: str) -> None:
    at, has_died = 0, True
    while has_died:
        context, world = await _world()
        world.failing = set(failing)
        run: AsyncWorkflowRun = await getattr(world, shape)().asend()
        has_died = await world.die_at(at, is_done=is_done)
        world.under_test.clock.advance(LEASE_SECONDS)
        await world.under_test.run_until_idle(jumps=True)
        view = await run.look()
        statuses = [job.status for job in view.nodes.values()]
        expected = Status.FAILED if failing else Status.SUCCEEDED
        assert view.status is expected, (at, statuses)
        assert await world.sent_total() == 4, at  # each message once: a join that fires twice would send a fifth
        assert all(count <= 2 for count in world.ran.values()), at  # only what ran when the worker died, ran again
        assert sum(world.ran.values()) <= len(world.ran) + 2
        if not failing:
            assert await run.result(0) == "d"
        await context.__aexit__(None, None, None)
        at += 1
    assert at > 8


@pytest.mark.parametrize("shape", ["diamond", "chord"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
async def test_a_store_that_is_away_for_a_moment_changes_nothing(shape: str, is_done: bool) -> None:
    """The worker goes on by itself, where it can, or the lease brings the job back."""
    for at in range(14):
        context, world = await _world()
        run: AsyncWorkflowRun = await getattr(world, shape)().asend()
        flaky = Flaky(world.under_test.broker, at, is_done=is_done)
        await AppUnderTest(world.app, flaky, world.under_test.clock).worker(slots=1).run()
        world.under_test.clock.advance(LEASE_SECONDS)
        await world.under_test.run_until_idle(jumps=True)
        assert await run.result(0) == "d", at
        assert await world.sent_total() == 4, at
        await context.__aexit__(None, None, None)


@pytest.mark.parametrize("what", ["send", "retry", "cancel"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
async def test_who_sends_retries_or_cancels_may_die_and_do_it_again(what: str, is_done: bool) -> None:
    at, has_failed = 0, True
    while has_failed:
        context, world = await _world()
        flow = world.diamond()
        if what != "send":
            world.failing = {"b"}
            run = await flow.asend()
            if what == "retry":
                await world.under_test.run_until_idle(jumps=True)
            world.failing, world.ran = set(), Counter()
        world.app.portal.detach()
        dying = Dying(world.under_test.broker, at, is_done=is_done)
        world.app.portal.attach(dying)
        work = flow.asend() if what == "send" else getattr(run, what)()
        has_failed = await dying.kill(asyncio.ensure_future(work))
        world.app.portal.detach()
        world.app.portal.attach(world.under_test.broker)
        if what == "send":
            run = await world.diamond().asend()  # another process builds it anew
        else:
            await getattr(run, what)()
        await world.under_test.run_until_idle(jumps=True)
        if what == "cancel":
            assert await run.status() is Status.CANCELLED, at
            assert not world.ran
        else:
            assert await run.result(0) == "d", at
            assert world.ran == Counter("abcd" if what == "send" else "bd"), at
        await context.__aexit__(None, None, None)
        at += 1
    assert at > 2


@pytest.mark.parametrize("at", range(5))
async def test_what_is_too_large_for_one_step_starts_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr("penstock.worker.workflows.launching.FIRST_IN_ONE_STEP", 2)
    monkeypatch.setattr("penstock.worker.workflows.launching.IN_ONE_STEP_BYTES", 700)
    context, world = await _world()
    flow = chord([world.step.call(name) for name in "abcefgh"], world.step.call("d"))._workflow("large")
    await world.step.asend("x")  # makes the queue
    world.app.portal.detach()
    dying = Dying(world.under_test.broker, at, is_done=True)
    world.app.portal.attach(dying)
    assert await dying.kill(asyncio.ensure_future(flow.asend()))
    world.app.portal.detach()
    world.app.portal.attach(world.under_test.broker)
    await world.under_test.run_until_idle()
    assert world.ran == Counter("x")
    run = await chord([world.step.call(name) for name in "abcefgh"], world.step.call("d"))._workflow("large").asend()
    await world.under_test.run_until_idle()
    assert await run.result(0) == "d"
    assert world.ran == Counter("xabcefghd")
    await context.__aexit__(None, None, None)
