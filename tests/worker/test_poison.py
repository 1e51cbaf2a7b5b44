"""Messages that cannot be run: kept where a person finds them, with the reason, and the worker lives."""

import pytest

from penstock.core.messages import Draft
from penstock.core.operations import Send
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Fail, JobFailed, Status
from penstock.worker.queues import QueueDefinition, ensure
from tests.worker.workers import Gate, message_of, working

SOME_ID = "018bcfe5-6800-7000-8000-0000000000ff"
OTHER_ID = "018bcfe5-6800-7000-8000-0000000000fe"


async def _send(under_test: AppUnderTest, body: str, **details: str) -> None:
    await ensure(under_test.broker, QueueDefinition(name="default"))
    await under_test.broker.perform(Send("default", (Draft(body, message_id=SOME_ID, **details),)))  # type: ignore[arg-type]


@pytest.mark.parametrize("body", ["hello", "[]", "{}", '{"task": 1}', '{"task": "x", "args": []}', "\x00"])
async def test_a_message_that_is_no_job_is_dead_lettered_with_the_reason(
    app: App, under_test: AppUnderTest, body: str
) -> None:
    @app.task
    def other() -> str:
        return "done"

    await _send(under_test, body)
    after = await other.asend()
    await under_test.run_until_idle()
    assert await after.result(0) == "done"
    job = app.async_job(SOME_ID)
    with pytest.raises(JobFailed, match=r"NoJob: .*A job is JSON"):
        await job.result(0)
    message = await message_of(under_test, SOME_ID)
    assert message is not None
    assert (message.queue, message.body) == ("default-dead", body)


async def test_whoever_can_send_a_message_can_send_a_job(app: App, under_test: AppUnderTest) -> None:
    @app.task(name="add")
    def add(x: int, y: int = 3) -> int:
        return x + y

    await _send(under_test, '{"task": "add", "args": {"x": 2}}')
    await under_test.run_until_idle()
    assert await app.async_job(SOME_ID).result(0) == 5


async def test_a_task_that_is_not_known_yet_is_waited_for(app: App, under_test: AppUnderTest) -> None:
    await _send(under_test, '{"task": "tomorrow"}')
    job = app.async_job(SOME_ID)
    await under_test.run_until_idle()
    assert await job.status() is Status.RETRYING
    record = (await job.look()).record
    assert record is not None
    assert record.failure is not None
    assert "no task is called 'tomorrow' here" in record.failure.message

    @app.task(name="tomorrow")
    def deployed() -> str:
        return "done"

    await under_test.run_until_idle(jumps=True)
    assert await job.result(0) == "done"


async def test_a_result_that_is_not_there_yet_is_waited_for(app: App, under_test: AppUnderTest) -> None:
    @app.task(name="first")
    def first() -> int:
        return 2

    @app.task(name="second")
    def second(x: int) -> int:
        return x + 1

    await _send(under_test, f'{{"task": "second", "results": {{"x": "{OTHER_ID}"}}}}')
    await under_test.run_until_idle()
    job = app.async_job(SOME_ID)
    assert await job.status() is Status.RETRYING
    await under_test.broker.perform(Send("default", (Draft('{"task": "first"}', message_id=OTHER_ID),)))
    await under_test.run_until_idle(jumps=True)
    assert await job.result(0) == 3


async def test_a_result_that_never_comes_fails_the_job_in_the_end(app: App, under_test: AppUnderTest) -> None:
    @app.task(name="second")
    def second(x: int) -> int:
        return x

    await _send(under_test, f'{{"task": "second", "results": {{"x": "{OTHER_ID}"}}}}')
    await under_test.run_until_idle(jumps=True)
    with pytest.raises(JobFailed, match="ResultMissing"):
        await app.async_job(SOME_ID).result(0)


async def test_a_task_that_stays_unknown_is_dead_lettered_in_the_end(app: App, under_test: AppUnderTest) -> None:
    await _send(under_test, '{"task": "never"}')
    await under_test.run_until_idle(jumps=True)
    with pytest.raises(JobFailed, match="UnknownTask"):
        await app.async_job(SOME_ID).result(0)


async def test_a_poison_message_does_not_hold_up_its_key(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task
    def step(number: int) -> None:
        ran.append(number)
        if number == 1:
            raise Fail("poison")

    await _send(under_test, "no job", group_id="k")
    jobs = [await step.with_options(key="k").asend(number) for number in range(3)]
    await under_test.run_until_idle()
    assert ran == [0, 1, 2]
    assert [await job.status() for job in jobs] == [Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED]


async def test_a_result_that_is_too_large_for_a_server_fails_its_job_and_no_other(
    app: App, under_test: AppUnderTest, request: pytest.FixtureRequest
) -> None:
    gate = Gate()

    @app.task
    async def make(size: int) -> str:
        await gate.wait()
        return "x" * size

    jobs = await make.asend_many([(5_000_000,), (1,), (2,)])
    async with working(under_test, slots=3):
        await gate.until_reached(3)
        gate.open()
    assert [await job.result(0) for job in jobs[1:]] == ["x", "xx"]
    if "http" in request.node.name:
        with pytest.raises(JobFailed, match="EndRefused"):
            await jobs[0].result(0)
    else:
        assert len(await jobs[0].result(0)) == 5_000_000
