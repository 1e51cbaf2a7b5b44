"""Jobs whose workers died: they run again, and are given up only when it is they that killed them."""

from penstock.core.operations import GetRecords, PutRecords, Receive, ReleaseLeases
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, JobContext, Status, current_job
from penstock.worker.records import JobRecord, from_record, job_key, to_record


async def lose(under_test: AppUnderTest, times: int) -> None:
    """Have so many workers die one after the other, each with all jobs in hand."""
    for number in range(times):
        assert (await under_test.broker.perform(Receive("default", 100, owner=f"dead-{number}"))).deliveries
        await under_test.broker.perform(ReleaseLeases(f"dead-{number}"))


async def test_a_lost_attempt_counts_and_the_next_one_runs(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def attempt() -> int:
        return current_job().attempt

    job = await attempt.asend()
    await lose(under_test, 1)
    await under_test.run_until_idle()
    assert await job.result(0) == 2


async def test_who_was_in_hand_when_others_killed_the_worker_is_not_given_up(
    app: App, under_test: AppUnderTest
) -> None:
    @app.task(crash_limit=3)
    def innocent(number: int) -> int:
        return number

    jobs = await innocent.asend_many([(number,) for number in range(3)])
    await lose(under_test, 5)
    await under_test.run_until_idle()
    assert [await job.result(0) for job in jobs] == [0, 1, 2]


async def test_a_job_that_loses_its_worker_on_trial_is_given_up(app: App, under_test: AppUnderTest) -> None:
    @app.task(crash_limit=3)
    def poison() -> None: ...

    job = await poison.asend()
    await lose(under_test, 3)
    trial = JobRecord("poison", trial=3)
    await under_test.broker.perform(PutRecords((to_record(job.id, trial, None),)))
    await under_test.run_until_idle()
    view = await job.look()
    assert view.status is Status.FAILED
    assert view.record is not None
    assert view.record.failure is not None
    assert (view.record.failure.kind, view.record.failure.message[:42]) == (
        "WorkerLost",
        "the worker that ran it died or lost it, 3 ",
    )
    assert view.message is not None
    assert view.message.queue == "default-dead"


async def test_the_last_run_before_a_job_is_given_up_is_a_trial(app: App, under_test: AppUnderTest) -> None:
    trials = []

    @app.task(crash_limit=3)
    async def suspect() -> None:
        context: JobContext = current_job()
        (kept,) = (await under_test.broker.perform(GetRecords((job_key(context.job_id),)))).records
        record = from_record(kept)
        trials.append(record.trial if record is not None else None)

    await suspect.asend()
    await lose(under_test, 1)
    await under_test.run_until_idle()
    await suspect.asend()
    await lose(under_test, 2)
    await under_test.run_until_idle()
    assert trials == [None, 3]
