"""How a worker ends, and how much it holds: never more than it can start soon."""

import asyncio

from penstock.core.operations import DescribeQueue
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Status, current_job
from tests.support.turns import until
from tests.worker.workers import Gate, working


async def test_a_burst_ends_when_nothing_is_ready(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task
    async def parent(depth: int) -> None:
        ran.append(depth)
        if depth:
            await parent.asend(depth - 1)

    await parent.asend(3)
    await parent.with_options(delay_seconds=60).asend(0)
    await under_test.worker().run()
    assert ran == [3, 2, 1, 0], "what jobs send is run too, what is delayed is not waited for"


async def test_a_drained_worker_ends_what_runs_and_leaves_the_rest(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()

    @app.task
    async def held_up() -> str:
        await gate.wait()
        return "done"

    jobs = await held_up.asend_many([()] * 3)
    worker = under_test.worker(is_burst=False)
    running = asyncio.create_task(worker.run())
    await gate.until_reached()
    worker.drain()
    assert not worker.is_ready
    gate.open()
    await running
    assert gate.passed == 1
    assert [await job.status() for job in jobs] == [Status.SUCCEEDED, Status.WAITING, Status.WAITING]
    message = (await jobs[1].look()).message
    assert message is not None
    assert message.receive_count == 0, "what was not begun does not count"


async def test_a_worker_holds_no_more_long_jobs_than_it_has_slots(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()

    @app.task
    async def held_up() -> None:
        await gate.wait()

    await held_up.asend_many([()] * 10)
    async with working(under_test, slots=3) as worker:
        await gate.until_reached(3)
        counts = (await under_test.broker.perform(DescribeQueue("default"))).queue.counts
        assert (counts.in_flight, counts.ready) == (3, 7), "the others are for other workers"
        assert len(worker.held) == 3
        gate.open()
        await until(lambda: gate.passed == 10, "all have run")


async def test_a_free_slot_is_filled_while_others_are_busy(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()
    quick = []

    @app.task
    async def run(number: int) -> None:
        if number == 0:
            await gate.wait()
        quick.append(number)

    await run.asend_many([(number,) for number in range(6)])
    async with working(under_test, slots=2):
        await until(lambda: len(quick) == 5, "one slot runs five jobs beside a long one")
        gate.open()


async def test_a_job_given_back_by_a_drain_is_at_its_first_attempt_again(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()
    attempts = []

    @app.task
    async def held_up(number: int) -> None:
        attempts.append(current_job().attempt)
        await gate.wait()

    await held_up.asend_many([(1,), (2,)])
    async with working(under_test):
        await gate.until_reached()
        gate.open()
        await until(lambda: gate.passed >= 1, "the first has run")
    await under_test.run_until_idle()
    assert attempts == [1, 1]
