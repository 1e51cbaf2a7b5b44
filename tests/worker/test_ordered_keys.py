"""Ordered keys: one job at a time and in order, through retries, delays, failures and several slots."""

import asyncio

import pytest

from penstock.core.errors import InvalidRequest
from penstock.core.operations import Receive
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Backoff, Fail, Status, chain
from penstock.worker.engine.preparing import UNTRIED_FACTOR

SLOTS = 8


class Seen:
    """What ran, in which order, and how many of one key at once."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.running = 0
        self.most_running = 0

    async def run(self, number: int) -> None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.ran.append(number)
        self.running -= 1


async def test_jobs_of_a_key_run_one_at_a_time_in_a_worker_of_many_slots(app: App, under_test: AppUnderTest) -> None:
    seen = Seen()

    @app.task
    async def step(number: int) -> None:
        await seen.run(number)

    for number in range(20):
        await step.with_options(key="order:42").asend(number)
    await under_test.worker(slots=SLOTS).run()
    assert seen.ran == list(range(20))
    assert seen.most_running == 1


async def test_other_keys_are_served_while_one_has_a_line(app: App, under_test: AppUnderTest) -> None:
    first_has_run, ran = asyncio.Event(), list[str]()

    @app.task
    async def step(key: str, number: int) -> None:
        if key == "hot" and number == 0:
            await asyncio.wait_for(first_has_run.wait(), 10)
        ran.append(f"{key}{number}")
        if key == "cold":
            first_has_run.set()

    for number in range(50):
        await step.with_options(key="hot").asend("hot", number)
    await step.with_options(key="cold").asend("cold", 0)
    await under_test.worker(slots=2).run()
    assert ran == ["cold0", *(f"hot{number}" for number in range(50))]


async def test_a_retry_keeps_its_place_before_the_rest_of_its_key(app: App, under_test: AppUnderTest) -> None:
    seen, failed = Seen(), list[int]()

    @app.task(backoff=Backoff(first_seconds=60, jitter=0))
    async def step(number: int) -> None:
        if number % 3 == 0 and number not in failed:
            failed.append(number)
            raise ConnectionError
        await seen.run(number)

    jobs = [await step.with_options(key="k").asend(number) for number in range(10)]
    await under_test.worker(slots=SLOTS).run()
    assert seen.ran == []
    assert await jobs[0].status() is Status.RETRYING
    assert await jobs[1].status() is Status.WAITING  # what was taken along and not begun is as it was
    while len(seen.ran) < 10:
        under_test.clock.advance(60)
        await under_test.worker(slots=SLOTS).run()
    assert seen.ran == list(range(10))
    assert seen.most_running == 1


async def test_after_a_failure_for_good_the_key_goes_on(app: App, under_test: AppUnderTest) -> None:
    seen = Seen()

    @app.task(max_attempts=1)
    async def step(number: int) -> None:
        await seen.run(number)
        if number == 0:
            raise Fail

    jobs = [await step.with_options(key="k").asend(number) for number in range(3)]
    await under_test.worker(slots=SLOTS).run()
    assert seen.ran == [0, 1, 2]
    assert await jobs[0].status() is Status.FAILED
    assert await app.async_key("k").is_parked() is False


async def test_a_blocked_key_waits_behind_its_failed_job_until_resumed(app: App, under_test: AppUnderTest) -> None:
    seen, is_broken = Seen(), True

    @app.task(max_attempts=2, backoff=Backoff(first_seconds=5), on_failure="block")
    async def step(number: int) -> None:
        await seen.run(number)
        if number == 1 and is_broken:
            raise ConnectionError

    jobs = [await step.with_options(key="k").asend(number) for number in range(3)]
    await under_test.run_until_idle(jumps=True)
    assert seen.ran == [0, 1, 1]
    assert await jobs[1].status() is Status.FAILED
    assert await jobs[2].status() is Status.WAITING
    key = app.async_key("k")
    view = await key.look()
    assert (view.waiting, view.is_parked) == (2, True)
    assert view.head is not None
    assert view.head.job_id == jobs[1].id
    assert [each.key for each in await app.async_parked_keys()] == ["k"]
    is_broken = False
    await key.resume()
    assert await jobs[1].status() is Status.RETRYING
    assert (await app.async_parked_keys()) == []
    await under_test.run_until_idle(jumps=True)
    assert seen.ran == [0, 1, 1, 1, 2]
    assert await jobs[1].status() is Status.SUCCEEDED


async def test_a_resumed_job_has_all_its_attempts_again(app: App, under_test: AppUnderTest) -> None:
    attempts = list[int]()

    @app.task(max_attempts=2, on_failure="block")
    async def step() -> None:
        attempts.append(1)
        raise ConnectionError

    await step.with_options(key="k").asend()
    await under_test.run_until_idle(jumps=True)
    await app.async_key("k").resume()
    await under_test.run_until_idle(jumps=True)
    assert len(attempts) == 4


async def test_skipping_the_head_gives_it_up_and_goes_on(app: App, under_test: AppUnderTest) -> None:
    seen = Seen()

    @app.task(max_attempts=1, on_failure="block")
    async def step(number: int) -> None:
        await seen.run(number)
        if number == 0:
            raise Fail

    jobs = [await step.with_options(key="k").asend(number) for number in range(2)]
    await under_test.run_until_idle()
    assert seen.ran == [0]
    assert await app.async_key("k").skip_head() == jobs[0].id
    assert await jobs[0].status() is Status.CANCELLED
    await under_test.run_until_idle()
    assert seen.ran == [0, 1]
    with pytest.raises(InvalidRequest, match="nothing"):
        await app.async_key("k").skip_head()


async def test_a_parked_key_waits_while_its_failed_job_is_a_dead_letter(app: App, under_test: AppUnderTest) -> None:
    seen = Seen()

    @app.task(max_attempts=1, on_failure="park")
    async def step(number: int) -> None:
        await seen.run(number)
        if number == 0:
            raise Fail("no")

    jobs = [await step.with_options(key="k").asend(number) for number in range(2)]
    await under_test.run_until_idle()
    view = await jobs[0].look()
    assert view.status is Status.FAILED
    assert view.message is not None
    assert view.message.queue == "default-dead"
    assert seen.ran == [0]
    await app.async_key("k").resume()
    await under_test.run_until_idle()
    assert seen.ran == [0, 1]


async def test_a_worker_that_dies_again_and_again_blocks_the_key_too(app: App, under_test: AppUnderTest) -> None:
    @app.task(on_failure="block", crash_limit=2)
    async def step() -> None: ...

    job = await step.with_options(key="k").asend()
    for _ in range(2 * UNTRIED_FACTOR):
        assert (await under_test.broker.perform(Receive("default"))).deliveries
        under_test.clock.advance(31)
    await under_test.run_until_idle()
    assert await job.status() is Status.FAILED
    assert [each.key for each in await app.async_parked_keys()] == ["k"]


async def test_what_comes_after_a_blocked_job_waits_with_it(app: App, under_test: AppUnderTest) -> None:
    is_broken = True

    @app.task(max_attempts=1, on_failure="block")
    async def step(name: str) -> str:
        if is_broken:
            raise Fail
        return name

    run = await chain(step.with_options(key="k").call("a"), step.call()).asend()
    await under_test.run_until_idle()
    assert await (await run.job("step-2")).status() is Status.BLOCKED
    is_broken = False
    assert await run.retry() == 1
    await under_test.run_until_idle()
    assert await run.result(0) == "a"


async def test_a_key_of_strange_characters_is_found(app: App, under_test: AppUnderTest) -> None:
    @app.task
    async def step() -> None: ...

    for key in ("a", "a\x00", "\x00", "\ue000", "ä", "a" * 500, "b"):
        await step.with_options(key=key).asend()
        assert (await app.async_key(key).look()).waiting == 1
    for key in ("aa", "A", "ae", "c"):
        assert (await app.async_key(key).look()).waiting == 0
