"""Following jobs, and listing what there is."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock.core.effects import Record
from penstock.core.operations import PutRecords
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Fail, Status, Task
from penstock.worker.following import Change
from penstock.worker.overview import QueueState, jobs, queues_of_jobs
from penstock.worker.presence import RunningJob, WorkerRecord, encode_worker, present_workers

WAITING, RUNNING, SUCCEEDED, FAILED = Status.WAITING, Status.RUNNING, Status.SUCCEEDED, Status.FAILED


class Gated:
    """A task that waits until the test lets it go on."""

    def __init__(self, app: App) -> None:
        self.begun, self.gate = asyncio.Semaphore(0), asyncio.Semaphore(0)

        @app.task(name="gated", max_attempts=1)
        async def gated(fails: bool = False) -> None:
            self.begun.release()
            await self.gate.acquire()
            if fails:
                raise Fail("as it should")

        self.task: Task[[bool], None] = gated  # type: ignore[assignment]


@pytest.fixture
def gated(app: App) -> Gated:
    return Gated(app)


async def take(changes: AsyncIterator[Change], count: int) -> dict[str, tuple[Status | None, Status]]:
    found = {}
    async with asyncio.timeout(10):
        while len(found) < count:
            change = await anext(changes)
            found[change.job.job_id] = (change.before, change.status)
    return found


async def test_each_new_status_of_jobs_is_told_until_all_have_ended(
    app: App, under_test: AppUnderTest, gated: Gated
) -> None:
    good, bad = await gated.task.asend_many([(False,), (True,)])
    nobody = "00000000-0000-7000-8000-0000000000ff"
    changes = app.follow([good.id, bad.id, nobody])
    assert await take(changes, 2) == {good.id: (None, WAITING), bad.id: (None, WAITING)}
    worker = under_test.worker(slots=2)
    running = asyncio.create_task(worker.run())
    await gated.begun.acquire()
    await gated.begun.acquire()
    assert await take(changes, 2) == {good.id: (WAITING, RUNNING), bad.id: (WAITING, RUNNING)}
    gated.gate.release()
    gated.gate.release()
    await running
    told = [change async for change in changes]
    ends = {change.job.job_id: (change.before, change.status) for change in told}
    assert ends == {good.id: (RUNNING, SUCCEEDED), bad.id: (RUNNING, FAILED), nobody: (None, Status.UNKNOWN)}
    failures = [change.job.failure for change in told if change.status is FAILED]
    assert [str(failure) for failure in failures] == ["Fail: as it should"]
    assert {change.job.task for change in told} == {"gated", ""}


async def test_following_nothing_ends_at_once(app: App) -> None:
    assert [change async for change in app.follow([])] == []


async def test_all_jobs_are_followed_where_none_are_named(app: App, under_test: AppUnderTest, gated: Gated) -> None:
    old = await gated.task.asend(False)
    gated.gate.release()
    await under_test.run_until_idle()
    under_test.clock.advance(1)
    changes = app.follow()
    (job,) = await gated.task.asend_many([(True,)])
    first = asyncio.create_task(take(changes, 1))
    running = asyncio.create_task(under_test.worker().run())
    assert await first == {job.id: (None, RUNNING)}
    gated.gate.release()
    await running
    assert await take(changes, 1) == {job.id: (RUNNING, FAILED)}
    quick = await gated.task.asend(False)
    gated.gate.release()
    await under_test.run_until_idle()
    ends = await take(changes, 1)
    assert ends.keys() == {quick.id}
    assert ends[quick.id][1] is SUCCEEDED
    assert old.id not in ends


async def test_jobs_are_listed_by_status_task_and_queue(app: App, under_test: AppUnderTest, gated: Gated) -> None:
    @app.task(name="other", queue="side")
    async def other() -> None: ...

    done = await other.asend()
    gated.gate.release()
    failed = await gated.task.asend(True)
    await under_test.run_until_idle()
    waits = await other.asend()
    delayed = await other.with_options(delay_seconds=60).asend()
    broker = under_test.broker

    async def listed(**conditions: object) -> set[str]:
        return {each.job_id for each in await jobs(broker, **conditions)}  # type: ignore[arg-type]

    assert await listed() == {done.id, failed.id, waits.id, delayed.id}
    assert await listed(status=Status.WAITING) == {waits.id}
    assert await listed(status=Status.DELAYED) == {delayed.id}
    assert await listed(status=SUCCEEDED) == {done.id}
    assert await listed(status=FAILED) == {failed.id}
    assert await listed(task="gated") == {failed.id}
    assert await listed(queue="side") == {done.id, waits.id, delayed.id}
    assert len(await listed(limit=2)) == 2
    (short,) = await jobs(broker, status=FAILED)
    assert (short.task, short.queue, short.attempts, str(short.failure)) == (
        "gated",
        "default-dead",
        1,
        "Fail: as it should",
    )
    assert not await listed(status=Status.BLOCKED)  # they are listed by their workflows
    default, side = await queues_of_jobs(broker)
    assert (default.dead, side) == (1, QueueState("side", 1, 1, 0, 0, side.oldest_sent_at))


async def test_workers_are_listed_as_they_tell_of_themselves(under_test: AppUnderTest) -> None:
    job = RunningJob("j", "add", 0)
    said = encode_worker(WorkerRecord("box/7/x", "box", 7, 0, ("a",), slots=4, beat=3, jobs=(job,)))
    records = (Record("worker/box/7/x", said), Record("worker/odd", b"no JSON"))
    await under_test.broker.perform(PutRecords(records))
    (worker,) = await present_workers(under_test.broker)
    assert (worker.owner, worker.pid, worker.slots, worker.jobs[0].job_id) == ("box/7/x", 7, 4, "j")
