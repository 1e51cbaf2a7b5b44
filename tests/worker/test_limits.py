"""Limits over all workers: how many jobs start in a time and run at once, at which cost, and what denied jobs lose."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from penstock.core.errors import InvalidRequest
from penstock.core.operations import FindRecords
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Concurrency, Rate, Status
from penstock.worker.engine.limiting import Limiting
from penstock.worker.limits import change_permits, take_tokens


@given(
    st.integers(1, 20),
    st.sampled_from([0.05, 1.0, 7.0]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 30)), max_size=60),
)
def test_no_window_sees_more_tokens_than_the_rate(count: int, per: float, asked: list[tuple[int, int]]) -> None:
    rate, now, value, got = Rate(count, per_seconds=per), 1000, None, []
    for pause, wanted in asked:
        now += pause
        taken = take_tokens(value, rate, wanted, now)
        value = taken.value
        assert taken.count or taken.due_at > now
        got.append((now, taken.count))
    for at, _ in got:
        assert sum(number for when, number in got if at <= when < at + per * 1000) <= count


def test_tokens_are_there_when_they_are_said_to_be_due() -> None:
    rate = Rate(3, per_seconds=10)
    first = take_tokens(None, rate, 5, 1000)
    none = take_tokens(first.value, rate, 1, 1000)
    assert (first.count, none.count) == (3, 0)
    assert none.due_at <= 1000 + 10_000 + 334
    assert take_tokens(first.value, rate, 5, none.due_at).count == 3


def test_permits_of_a_worker_that_is_not_heard_of_come_back() -> None:
    limit = Concurrency(3)
    one = change_permits(None, limit, "one", 2, 0)
    other = change_permits(one.value, limit, "other", 2, 0)
    assert (one.count, other.count) == (2, 1)
    assert change_permits(other.value, limit, "other", 3, 14_999).count == 1
    assert change_permits(other.value, limit, "other", 3, 15_000).count == 3


async def test_a_rate_spreads_jobs_over_time_and_costs_no_attempts(app: App, under_test: AppUnderTest) -> None:
    started: list[int] = []

    @app.task(limits=(Rate(5, per_seconds=10),), max_attempts=1)
    async def limited() -> None:
        started.append(under_test.clock.now_ms())

    @app.task
    async def free() -> str:
        return "free"

    jobs = [await limited.asend() for _ in range(20)]
    other = await free.asend()
    await under_test.run_until_idle()
    assert len(started) == 5
    assert await other.result(0) == "free"
    assert await jobs[19].status() is Status.DELAYED
    await under_test.run_until_idle(jumps=True)
    assert len(started) == 20
    for at in started:
        assert sum(at <= when < at + 10_000 for when in started) <= 5
    assert started[-1] - started[0] <= 3 * 10_400
    views = [await job.look() for job in jobs]
    assert all(view.status is Status.SUCCEEDED and view.record and view.record.attempts == 1 for view in views)


async def test_a_queue_with_a_limit_rests_and_others_do_not(app: App, under_test: AppUnderTest) -> None:
    ran: list[str] = []
    app.queue("slow", limits=(Rate(2, per_seconds=60),))

    @app.task(queue="slow")
    async def slow() -> None:
        ran.append("slow")

    @app.task
    async def quick() -> None:
        ran.append("quick")

    await slow.asend_many([()] * 50)
    await quick.asend_many([()] * 3)
    await under_test.run_until_idle()
    assert Counter(ran) == {"slow": 2, "quick": 3}
    await under_test.fast_forward(62)
    assert Counter(ran) == {"slow": 4, "quick": 3}


async def test_limits_by_argument_are_apart_and_by_name_together(app: App, under_test: AppUnderTest) -> None:
    ran: list[str] = []
    shared = Rate(2, per_seconds=60, name="api")

    @app.task(limits=(Rate(1, per_seconds=60, by="customer"),))
    async def of(customer: str) -> None:
        ran.append(customer)

    @app.task(limits=(shared,))
    async def one() -> None:
        ran.append("shared")

    @app.task(limits=(shared,))
    async def other() -> None:
        ran.append("shared")

    for customer in "aabbb":
        await of.asend(customer)
    for _ in range(2):
        await one.asend()
        await other.asend()
    await under_test.run_until_idle()
    assert Counter(ran) == {"a": 1, "b": 1, "shared": 2}


async def test_no_more_run_at_once_than_permits_on_all_workers(app: App, under_test: AppUnderTest) -> None:
    running = most = ended = 0

    @app.task(limits=(Concurrency(3),))
    async def limited() -> None:
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        ended += 1

    await limited.asend_many([()] * 30)
    for _ in range(100):
        await asyncio.gather(under_test.worker(slots=4).run(), under_test.worker(slots=4).run())
        if ended == 30:
            break
        under_test.clock.advance(1)
    assert ended == 30
    assert most == 3
    (record,) = (await under_test.broker.perform(FindRecords("limit/"))).records
    assert record.value == b"{}"  # every permit was given back


async def test_tokens_are_taken_for_a_second_at_once(app: App, under_test: AppUnderTest) -> None:
    class Counting:
        count = 0

        async def perform(self, operation: object) -> object:
            self.count += 1
            return await under_test.broker.perform(operation)  # type: ignore[arg-type]

        async def aclose(self) -> None: ...

    broker = Counting()
    limiting = Limiting(broker, under_test.clock, "worker")  # type: ignore[arg-type]
    for _ in range(100):
        _, denied = await limiting.admit([("task", Rate(100))], {"x": Raw(b"1")})
        assert denied is None
    assert broker.count == 1
    delays = [(await limiting.admit([("task", Rate(100))], {}))[1] for _ in range(50)]
    assert broker.count <= 3
    assert all(delay is not None and 0 < delay <= 1.1 for delay in delays)


@pytest.mark.parametrize("wrong", [lambda: Rate(0), lambda: Rate(1, per_seconds=0), lambda: Concurrency(0)])
def test_limits_that_let_nothing_through_are_refused(wrong: object) -> None:
    with pytest.raises(InvalidRequest):
        wrong()  # type: ignore[operator]
