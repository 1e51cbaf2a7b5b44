"""Unique jobs: while one is there, another like it is not sent; nothing stays locked."""

import pytest

from penstock.core.operations import FindRecords, PurgeQueue
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Fail, JobExists, Status, Unique


async def _held(under_test: AppUnderTest) -> int:
    return len((await under_test.broker.perform(FindRecords("unique/"))).records)


async def test_a_second_job_like_it_is_the_first_until_that_has_ended(app: App, under_test: AppUnderTest) -> None:
    @app.task(unique=Unique())
    def work(x: int, y: int = 0) -> int:
        return x + y

    first = await work.asend(1)
    assert (await work.asend(1, y=0)).id == first.id
    assert (await work.with_options(delay_seconds=5).asend(x=1)).id == first.id
    other = await work.asend(2)
    assert other.id != first.id
    many = await work.asend_many([(1,), (2,), (3,)])
    assert [job.id for job in many[:2]] == [first.id, other.id]
    await under_test.run_until_idle()
    assert await first.result(0) == 1
    assert await _held(under_test) == 0
    assert (await work.asend(1)).id != first.id


async def test_another_may_be_sent_when_the_first_has_started(app: App, under_test: AppUnderTest) -> None:
    sent: list[str] = []

    @app.task(unique=Unique(until="started"))
    async def work() -> None:
        if not sent:
            sent.append((await work.asend()).id)
            sent.append((await work.asend()).id)

    first = await work.asend()
    assert (await work.asend()).id == first.id
    await under_test.run_until_idle()
    assert sent[0] == sent[1] != first.id
    assert await _held(under_test) == 0


async def test_for_a_time_however_soon_it_ends(app: App, under_test: AppUnderTest) -> None:
    @app.task(unique=Unique(for_seconds=60))
    def work() -> None: ...

    first = await work.asend()
    await under_test.run_until_idle()
    assert (await work.asend()).id == first.id
    under_test.clock.advance(60)
    assert (await work.asend()).id != first.id


async def test_chosen_parameters_tell_jobs_apart_and_it_may_raise(app: App, under_test: AppUnderTest) -> None:
    @app.task(unique=Unique(by=("order",), if_there="raise"))
    def work(order: int, note: str) -> None: ...

    first = await work.asend(1, "a")
    with pytest.raises(JobExists, match=first.id):
        await work.asend(1, "b")
    await work.asend(2, "a")


async def test_it_is_free_again_however_the_job_ended(app: App, under_test: AppUnderTest) -> None:
    @app.task(unique=Unique(), max_attempts=1)
    def work(how: str) -> None:
        raise Fail

    failed = await work.asend("fails")
    await under_test.run_until_idle()
    assert await failed.status() is Status.FAILED
    assert (await work.asend("fails")).id != failed.id
    called_off = await work.asend("called off")
    assert await called_off.cancel()
    assert (await work.asend("called off")).id != called_off.id
    lost = await work.asend("lost")
    await under_test.broker.perform(PurgeQueue("default"))
    assert (await work.asend("lost")).id != lost.id


async def test_a_retry_keeps_others_out(app: App, under_test: AppUnderTest) -> None:
    attempts: list[int] = []

    @app.task(unique=Unique())
    def work() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError

    first = await work.asend()
    await under_test.run_until_idle()
    assert await first.status() is Status.RETRYING
    assert (await work.asend()).id == first.id
    await under_test.run_until_idle(jumps=True)
    assert len(attempts) == 2
