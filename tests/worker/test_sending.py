"""Sending: one or many, later, at an instant, once; and what a wrong call gets."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penstock.core.errors import InvalidRequest, MessageTooLarge
from penstock.core.operations import DescribeQueue
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Status
from penstock.worker.arguments import TaskInvalid, WrongArguments
from penstock.worker.queues import MOST_BYTES
from penstock.worker.sending import SomeRefused

ROOT = Path(__file__).resolve().parent.parent.parent
OWN_ID = "018bcfe5-6800-7000-8000-0000000000ff"


async def _ready(under_test: AppUnderTest) -> int:
    return (await under_test.broker.perform(DescribeQueue("default"))).queue.counts.ready


async def test_many_are_sent_with_arguments_by_position_or_by_name(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def add(x: int, y: int = 10) -> int:
        return x + y

    jobs = await add.asend_many([(1,), (1, 2), {"x": 5, "y": 6}, {"x": 7}])
    await under_test.run_until_idle()
    assert [await job.result(0) for job in jobs] == [11, 3, 11, 17]
    assert await add.asend_many([]) == []


async def test_more_are_sent_than_one_operation_takes(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def run(number: int) -> None: ...

    jobs = await run.asend_many([(number,) for number in range(1_100)])
    assert len({job.id for job in jobs}) == 1_100
    assert await _ready(under_test) == 1_100


async def test_one_wrong_call_among_many_sends_none(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def run(number: int) -> None: ...

    await run.asend(0)
    with pytest.raises(WrongArguments):
        await run.asend_many([(1,), ("two",)])
    assert await _ready(under_test) == 1


async def test_what_the_store_refuses_of_many_is_told_and_the_others_are_sent(
    app: App, under_test: AppUnderTest
) -> None:
    @app.task
    def read(text: str) -> None: ...

    await read.asend("first")
    large = "x" * MOST_BYTES
    with pytest.raises(SomeRefused, match="1 of 3 jobs were not accepted"):
        await read.asend_many([("a",), (large,), ("b",)])
    assert await _ready(under_test) == 3
    with pytest.raises(MessageTooLarge):
        await read.asend_many([(large,)])


async def test_a_job_waits_for_its_delay_or_its_instant(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def at() -> int:
        return under_test.clock.now_ms()

    now = under_test.clock.now_ms()
    aware = datetime.fromtimestamp(now / 1000, UTC) + timedelta(hours=1)
    naive = datetime.fromtimestamp(now / 1000) + timedelta(hours=2)
    jobs = [
        await at.with_options(delay_seconds=60).asend(),
        await at.with_options(at=aware).asend(),
        await at.with_options(at=naive).asend(),
        await at.with_options(at=aware - timedelta(days=1)).asend(),
    ]
    assert [await job.status() for job in jobs] == [*[Status.DELAYED] * 3, Status.WAITING]
    await under_test.fast_forward(7200)
    assert [await job.result(0) - now for job in jobs] == [60_000, 3_600_000, 7_200_000, 0]


async def test_a_second_job_with_the_same_deduplication_id_is_the_first(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task
    def pay(order: int) -> str:
        ran.append(order)
        return f"paid {order}"

    first = await pay.with_options(deduplication_id="order-7").asend(7)
    second = await pay.with_options(deduplication_id="order-7").asend(7)
    assert second.id == first.id
    await under_test.run_until_idle()
    assert ran == [7]
    assert await second.result(0) == "paid 7"


async def test_a_job_sent_twice_under_its_own_id_is_one_job(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task
    def run() -> None:
        ran.append(None)

    for _ in range(2):
        job = await run.with_options(job_id=OWN_ID).asend()
        assert job.id == OWN_ID
    await under_test.run_until_idle()
    assert len(ran) == 1
    with pytest.raises(InvalidRequest):
        await run.with_options(job_id="not a uuid").asend()
    for options in ({"job_id": OWN_ID}, {"deduplication_id": "x"}):
        with pytest.raises(InvalidRequest, match="share one id"):
            await run.with_options(**options).asend_many([(), ()])


@pytest.mark.parametrize(
    "options",
    [
        {"delay_seconds": 1, "at": datetime(2026, 1, 1)},
        {"delay_seconds": -1},
        {"priority": 10},
        {"priority": -1},
    ],
    ids=str,
)
def test_options_that_cannot_be_meant_are_refused(app: App, options: dict[str, object]) -> None:
    @app.task
    def run() -> None: ...

    with pytest.raises(InvalidRequest):
        run.with_options(**options)  # type: ignore[arg-type]


def test_a_function_that_cannot_be_a_task_is_refused(app: App) -> None:
    def run() -> None: ...

    app.task(name="run")(run)
    with pytest.raises(TaskInvalid, match="two tasks called run"):
        app.task(name="run")(run)
    with pytest.raises(TaskInvalid, match="no async function"):
        app.task(name="other", runs_in="async")(run)
    with pytest.raises(TaskInvalid, match="memory"):
        app.task(name="third", memory_limit_mb=100)(run)
    with pytest.raises(InvalidRequest, match="There is no task 'nobody'") as unknown:
        app.task_named("nobody")
    assert unknown.value.problem.hint == "There are: run."


def test_a_task_is_called_like_its_function(app: App) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        """Add."""
        return x + y

    assert add(2, 3) == 5
    assert (add.__name__, add.__doc__) == ("add", "Add.")


@pytest.mark.parametrize("command", [["shop/jobs.py"], ["-m", "shop.jobs"], ["-c", "import shop.jobs"]], ids=str)
def test_a_task_has_the_name_a_worker_knows_it_by_also_in_a_program(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    program = (
        "from penstock import Penstock\napp = Penstock('memory://')\n@app.task\ndef f() -> None: ...\nprint(f.name)"
    )
    (tmp_path / "shop" / "jobs.py").write_text(program)
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ("jobs.f" if command[0].endswith(".py") else "shop.jobs.f")
