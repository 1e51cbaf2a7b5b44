"""Which job is run first: by priority, by the order of queues, by their weights."""

from collections import Counter

import pytest

from penstock.core.errors import InvalidRequest
from penstock.core.operations import DescribeQueue, ListQueues
from penstock.testing.faults import Faults
from penstock.testing.jobs import AppUnderTest, InlineRunner
from penstock.worker import App
from penstock.worker.engine.options import QueueShare, Turns, WorkerOptions, parse_queues
from penstock.worker.engine.worker import Worker
from penstock.worker.queues import QueueDefinition


async def test_jobs_of_higher_priority_are_run_first(app: App, under_test: AppUnderTest) -> None:
    ran = []

    @app.task(priority=3)
    def run(name: str) -> None:
        ran.append(name)

    for name, priority in (("low", 0), ("plain", None), ("high", 9), ("higher too", 9)):
        await run.with_options(priority=priority).asend(name)
    await under_test.run_until_idle()
    assert ran == ["high", "higher too", "plain", "low"]


async def _ran(app: App, under_test: AppUnderTest, shares: str, *, is_strict: bool, jobs: int = 20) -> list[str]:
    ran: list[str] = []

    @app.task
    def run(name: str) -> None:
        ran.append(name)

    names = [share.name for share in parse_queues(shares)]
    for name in reversed(names):
        await run.with_options(queue=name).asend_many([(name,)] * jobs)
    options = WorkerOptions(
        queues=parse_queues(shares), is_strict=is_strict, slots=1, is_burst=True, lookahead_seconds=0
    )
    inline = InlineRunner(Faults())
    await Worker(app, under_test.broker, options, {"async": inline, "thread": inline}).run()
    return ran


async def test_a_strict_queue_goes_before_the_ones_after_it(app: App, under_test: AppUnderTest) -> None:
    ran = await _ran(app, under_test, "high,middle,low", is_strict=True, jobs=3)
    assert ran == ["high"] * 3 + ["middle"] * 3 + ["low"] * 3


async def test_weighted_queues_share_a_worker(app: App, under_test: AppUnderTest) -> None:
    ran = await _ran(app, under_test, "high:3,low:1", is_strict=False)
    assert len(ran) == 40
    assert Counter(ran[:16]) == {"high": 12, "low": 4}, "by their weights while both have jobs"
    assert Counter(ran) == {"high": 20, "low": 20}


def test_turns_are_spread_evenly() -> None:
    turns = Turns(parse_queues("a:5,b:2,c:1"), is_strict=False)
    first = [turns.order()[0] for _ in range(80)]
    assert Counter(first) == {"a": 50, "b": 20, "c": 10}
    for start in range(0, 80, 8):
        assert Counter(first[start : start + 8]) == {"a": 5, "b": 2, "c": 1}
    assert sorted(turns.order()) == ["a", "b", "c"], "all are asked"


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("default", (QueueShare("default"),)),
        (" high:6, default:3 ,low", (QueueShare("high", 6), QueueShare("default", 3), QueueShare("low"))),
    ],
)
def test_queues_are_read_from_the_command_line(text: str, shares: tuple[QueueShare, ...]) -> None:
    assert parse_queues(text) == shares


@pytest.mark.parametrize("text", ["", ",", "a:0", "a:-1", "a:x", ":3", "a,a", "a:1:2"])
def test_queues_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_queues(text)
    assert refused.value.problem.hint


async def test_a_queue_is_made_as_the_app_says_when_it_is_first_used(app: App, under_test: AppUnderTest) -> None:
    @app.task(queue="mail")
    def write() -> None: ...

    app.queue("mail", keys="fair", key_slots=2, lease_seconds=90)
    await write.asend()
    names = [queue.name for queue in (await under_test.broker.perform(ListQueues())).queues]
    assert names == ["mail", "mail-dead"]
    config = (await under_test.broker.perform(DescribeQueue("mail"))).queue.settings
    assert (config.group_order, config.group_max_in_flight, config.visibility_timeout_seconds) == ("fair", 2, 90)
    assert config.redrive is not None
    assert config.redrive.dead_letter_queue == "mail-dead"


def test_a_queue_that_cannot_be_meant_is_refused(app: App) -> None:
    with pytest.raises(InvalidRequest, match="no name"):
        app.queue("no spaces please")
    with pytest.raises(InvalidRequest, match="one job at a time"):
        QueueDefinition(name="orders", key_slots=2)
