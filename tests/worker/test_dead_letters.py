"""Dead jobs: grouped by cause, sent back with their ids, forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.core.errors import InvalidRequest
from penstock.core.operations import DescribeQueue
from penstock.store.contract import Store
from penstock.testing.jobs import AppUnderTest, app_under_test
from penstock.worker import App, JobFailed, Status
from tests.worker.conftest import nowhere

BROKEN = "broken"


@pytest.fixture(autouse=True)
async def _carried_out(under_test: AppUnderTest, store: Store) -> AsyncIterator[None]:
    """Moves are carried out, as upkeep does it."""
    async with carrying_out(under_test, store):
        yield


@asynccontextmanager
async def carrying_out(under_test: AppUnderTest, store: Store) -> AsyncIterator[None]:
    async def steps() -> None:
        while True:
            ids = [under_test.app.new_id() for _ in range(100)]
            await store.step_moves(ids, under_test.clock.now_ms())
            await asyncio.sleep(0.001)

    upkeep = asyncio.create_task(steps())
    yield
    upkeep.cancel()
    await asyncio.gather(upkeep, return_exceptions=True)


class Tasks:
    def __init__(self, app: App) -> None:
        self.works = False

        @app.task(name="divide", max_attempts=2)
        async def divide(x: int) -> float:
            return 1.0 if self.works else x / 0

        @app.task(name="pick", max_attempts=1)
        async def pick(x: int) -> int:
            return x if self.works else [][x]

        self.divide, self.pick = divide, pick


@pytest.fixture
def tasks(app: App) -> Tasks:
    return Tasks(app)


async def test_a_failed_job_runs_again_with_its_id(app: App, under_test: AppUnderTest, tasks: Tasks) -> None:
    job = await tasks.divide.asend(1)
    assert not await job.retry(), "it has not failed"
    await under_test.run_until_idle(jumps=True)
    with pytest.raises(JobFailed):
        await job.result(0)
    assert await job.retry()
    assert await job.status() is Status.WAITING
    tasks.works = True
    await under_test.run_until_idle()
    assert await job.result(0) == 1.0
    assert not await job.retry(), "it has succeeded"
    assert not await app.async_job("00000000-0000-7000-8000-0000000000ff").retry()


async def test_a_job_that_runs_again_has_all_its_attempts_before_it(
    app: App, under_test: AppUnderTest, tasks: Tasks
) -> None:
    job = await tasks.divide.asend(1)
    await under_test.run_until_idle(jumps=True)
    await job.retry()
    await under_test.run_until_idle()
    assert await job.status() is Status.RETRYING
    await under_test.run_until_idle(jumps=True)
    view = await job.look()
    assert view.status is Status.FAILED
    assert view.record is not None
    assert view.record.attempts == 2


async def test_dead_jobs_are_grouped_by_cause(app: App, under_test: AppUnderTest, tasks: Tasks) -> None:
    await tasks.divide.asend_many([(x,) for x in range(3)])
    (picked,) = await tasks.pick.asend_many([(1,)])
    await under_test.run_until_idle(jumps=True)
    letters = app.async_dead_letters()
    division, index = await letters.causes()
    assert (division.kind, division.count, division.tasks) == ("ZeroDivisionError", 3, ("divide",))
    assert division.place == "worker/test_dead_letters.py:divide"
    assert (index.kind, index.message, index.job_ids) == ("IndexError", "list index out of range", (picked.id,))
    (dead,) = await letters.list(cause=index.cause)
    assert (dead.job_id, dead.attempts, dead.failed_at) == (picked.id, 1, index.last_failed_at)
    assert "[][x]" in dead.failure.traceback


async def test_dead_jobs_go_back_by_cause_by_task_or_all(app: App, under_test: AppUnderTest, tasks: Tasks) -> None:
    divided = await tasks.divide.asend_many([(x,) for x in range(3)])
    picked = await tasks.pick.asend_many([(x,) for x in range(4)])
    await under_test.run_until_idle(jumps=True)
    letters = app.async_dead_letters()
    tasks.works = True
    cause = (await letters.causes())[1].cause
    assert await letters.retry(cause=cause) == 3
    assert await letters.retry([picked[0].id], task="pick") == 1
    assert await letters.retry([picked[1].id], task="divide") == 0
    assert await letters.retry(task="nothing") == 0
    await under_test.run_until_idle()
    assert [await job.status() for job in [*divided, picked[0]]] == [Status.SUCCEEDED] * 4
    assert len(await letters.list()) == 3
    assert await letters.retry() == 3
    await under_test.run_until_idle()
    assert await letters.list() == ()


async def test_several_at_once_wait_for_one_another(app: App, under_test: AppUnderTest, tasks: Tasks) -> None:
    jobs = await tasks.pick.asend_many([(x,) for x in range(5)])
    await under_test.run_until_idle()
    assert await asyncio.gather(*(job.retry() for job in jobs)) == [True] * 5


async def test_a_rate_limits_how_fast_dead_jobs_go_back(app: App, under_test: AppUnderTest, tasks: Tasks) -> None:
    await tasks.pick.asend_many([(x,) for x in range(6)])
    await under_test.run_until_idle()
    letters = app.async_dead_letters()
    retrying = asyncio.create_task(letters.retry(rate_per_second=2))
    ready = 0
    while ready < 1:
        await asyncio.sleep(0.001)
        ready = (await under_test.broker.perform(DescribeQueue("default"))).queue.counts.ready
    assert (ready, retrying.done()) == (1, False)
    under_test.clock.advance(2.5)
    assert await retrying == 6
    with pytest.raises(InvalidRequest, match="rate"):
        await letters.retry(rate_per_second=0)


async def test_deleted_dead_jobs_are_known_as_failed_for_a_while(
    app: App, under_test: AppUnderTest, tasks: Tasks
) -> None:
    one, other = await tasks.pick.asend_many([(1,), (2,)])
    await under_test.run_until_idle()
    letters = app.async_dead_letters()
    assert await letters.delete([one.id]) == 1
    assert [each.job_id for each in await letters.list()] == [other.id]
    assert await one.status() is Status.FAILED
    under_test.clock.advance(app.result_seconds + 1)
    assert await one.status() is Status.UNKNOWN
    assert await other.status() is Status.FAILED, "as long as it is kept, it is known why"
    with pytest.raises(InvalidRequest):
        await letters.delete()


async def test_what_is_no_job_is_among_the_dead_letters_too(app: App, under_test: AppUnderTest, tasks: Tasks) -> None:
    from penstock.core.messages import Draft
    from penstock.core.operations import Send

    await tasks.pick.asend(1)
    await under_test.broker.perform(Send("default", (Draft("no job at all"),)))
    await under_test.run_until_idle()
    kinds = {cause.kind: cause for cause in await app.async_dead_letters().causes()}
    assert set(kinds) == {"IndexError", "NoJob"}
    assert await app.async_dead_letters().delete(cause=kinds["NoJob"].cause) == 1


async def test_a_queue_that_nobody_used_has_no_dead_letters(app: App) -> None:
    letters = app.async_dead_letters("nowhere")
    assert await letters.list() == ()
    assert await letters.retry() == 0
    assert await letters.delete(task="x") == 0


async def test_an_app_under_test_carries_moves_out_by_itself() -> None:
    async with app_under_test(App(nowhere)) as under_test:
        tasks = Tasks(under_test.app)
        job = await tasks.pick.asend(1)
        await under_test.run_until_idle()
        assert await job.retry()
        tasks.works = True
        await under_test.run_until_idle()
        assert await job.result(0) == 1
