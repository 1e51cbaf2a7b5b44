"""The toolbox for tests of jobs: an app under test, time that passes when told, and faults on purpose."""

import pytest

from penstock import Fail, Penstock, Retry, Status, current_job
from penstock.core.errors import StoreUnavailable
from penstock.core.operations import Send, Settle
from penstock.testing import ManualClock, app_under_test, fast_forward, run_until_idle

app = Penstock("sqlite:///of-production.db")
began: list[tuple[str, int]] = []


@app.task(max_attempts=4)
def fetch(url: str) -> str:
    began.append((url, app.clock.now_ms()))
    if url == "busy" and current_job().attempt < 3:
        raise Retry(after=3600)
    if url == "gone":
        raise Fail(url)
    return url.upper()


@app.task
async def fetch_both(one: str, other: str) -> list[str]:
    return [(await fetch.asend(url)).id for url in (one, other)]


@pytest.fixture(autouse=True)
def nothing_began() -> None:
    began.clear()


def test_code_that_is_not_async_is_tested_without_waiting() -> None:
    with app_under_test(app) as jobs:
        now = jobs.clock.now_ms()
        job = fetch.send("busy")
        jobs.run_until_idle()
        assert job.status() is Status.RETRYING
        jobs.fast_forward(7200)
        assert job.result(0) == "BUSY"
        assert [at - now for _, at in began] == [0, 3_600_000, 7_200_000]
        assert jobs.clock.now_ms() == now + 7_200_000


async def test_async_code_is_tested_on_its_own_loop() -> None:
    async with app_under_test(app) as jobs:
        job = await fetch_both.asend("a", "busy")
        await jobs.run_until_idle(jumps=True)
        assert [await app.async_job(each).result(0) for each in await job.result(0)] == ["A", "BUSY"]


def test_each_test_begins_with_nothing_and_leaves_the_app_as_it_was() -> None:
    clock = app.clock
    for _ in range(2):
        with app_under_test(app) as jobs:
            fetch.send("a")
            jobs.run_until_idle()
    assert len(began) == 2
    assert app.clock is clock


def test_the_functions_do_the_same_for_whoever_has_only_the_app() -> None:
    with app_under_test(app):
        job = fetch.send("busy")
        run_until_idle(app)
        fast_forward(app, 7200)
        assert job.result(0) == "BUSY"


def test_an_app_that_is_not_under_test_runs_what_is_in_its_store() -> None:
    own = Penstock("memory://", clock=ManualClock())

    @own.task
    def add(x: int, y: int) -> int:
        return x + y

    job = add.with_options(delay_seconds=5).send(2, 3)
    run_until_idle(own)
    assert job.status() is Status.DELAYED
    fast_forward(own, 5)
    assert job.result(0) == 5
    own.close()


def test_an_app_in_use_goes_on_with_its_own_store_after_a_test() -> None:
    own = Penstock("memory://")

    @own.task
    def run() -> None: ...

    before = run.send()
    with app_under_test(own):
        assert before.status() is Status.UNKNOWN
    assert before.status() is Status.WAITING
    own.close()


def test_a_worker_that_died_leaves_its_job_to_the_next() -> None:
    with app_under_test(app) as jobs:
        job = fetch.send("a")
        jobs.faults.worker_dies(job)
        jobs.run_until_idle()
        assert began == [], "it died before it began"
        jobs.run_until_idle(jumps=True)
        assert len(began) == 1
        assert job.result(0) == "A"


def test_a_job_delivered_twice_does_its_work_twice() -> None:
    with app_under_test(app) as jobs:
        fetch.send("other")
        job = fetch.send("a")
        jobs.faults.delivered_twice(job)
        jobs.run_until_idle(jumps=True)
        assert [url for url, _ in began] == ["other", "a", "a"]
        assert job.result(0) == "A"


def test_a_fault_may_wait_for_any_job_of_a_task() -> None:
    with app_under_test(app) as jobs:
        jobs.faults.delivered_twice(fetch)
        fetch_both.send("a", "b")
        jobs.run_until_idle(jumps=True)
        assert sorted(url for url, _ in began) == ["a", "a", "b"]


def test_the_store_is_away_for_as_long_as_a_test_says() -> None:
    with app_under_test(app) as jobs:
        with jobs.faults.store_away(), pytest.raises(StoreUnavailable):
            fetch.send("a")
        job = fetch.send("b")
        with jobs.faults.store_away(Settle, times=1) as trouble:
            jobs.run_until_idle()
        assert trouble.count == 1
        assert job.result(0) == "B"
        assert len(began) == 1


def test_an_answer_may_be_lost_though_what_was_asked_is_done() -> None:
    with app_under_test(app) as jobs:
        fetch.send("a")
        with jobs.faults.answers_lost(Send), pytest.raises(StoreUnavailable):
            fetch.send("b")
        jobs.run_until_idle()
        assert [url for url, _ in began] == ["a", "b"]


def test_an_error_in_the_test_itself_leaves_the_app_as_it_was() -> None:
    with pytest.raises(ZeroDivisionError), app_under_test(app):
        1 / 0  # noqa: B018
    with app_under_test(app) as jobs:
        job = fetch.send("gone")
        jobs.run_until_idle()
        assert job.status() is Status.FAILED
