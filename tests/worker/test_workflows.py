"""Workflows: what comes after what, results passed on, failure rules, calling off and trying again."""

import pytest

from penstock.core.operations import DescribeQueue, Find, GetRecords
from penstock.testing.jobs import AppUnderTest
from penstock.worker import (
    App,
    Fail,
    JobCancelled,
    JobFailed,
    Status,
    Workflow,
    WorkflowExists,
    WorkflowInvalid,
    WorkflowUnknown,
    chain,
    chord,
    group,
)
from penstock.worker.arguments import WrongArguments


class Log:
    """Tasks that note when they run, and fail as often as a test wants."""

    def __init__(self, app: App) -> None:
        self.ran: list[str] = []
        self.failing: set[str] = set()

        @app.task(name="step", max_attempts=1)
        def step(name: str, *results: object) -> str:
            self.ran.append(name)
            if name in self.failing:
                raise Fail(f"{name} was told to")
            return name

        self.step = step


@pytest.fixture
def log(app: App) -> Log:
    return Log(app)


def diamond(app: App, log: Log) -> Workflow:
    """a, then b and c, then d."""
    flow = app.workflow("diamond")
    a = flow.add(log.step, "a", name="a")
    b = flow.add(log.step, "b", name="b", after=[a])
    c = flow.add(log.step, "c", name="c", after=[a])
    flow.add(log.step, "d", name="d", after=[b, c])
    return flow


async def test_results_are_passed_on(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def number(value: int) -> int:
        return value

    @app.task
    async def total(values: list[int], extra: int = 0) -> int:
        return sum(values) + extra

    flow = app.workflow()
    one, two = flow.add(number, 1), flow.add(number, 2)
    both = flow.add(total, [one, two])
    flow.add(total, [one, both], extra=10)
    run = await flow.asend()
    assert await run.status() is Status.WAITING
    assert await (await run.job(both)).status() is Status.BLOCKED
    await under_test.run_until_idle()
    assert await run.status() is Status.SUCCEEDED
    assert await run.result(0) == 14
    assert await (await run.job(both)).result(0) == 3
    assert (await run.look()).counts == {Status.SUCCEEDED: 4}


async def test_chain_group_chord_and_map(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    @app.task
    def total(values: list[int]) -> int:
        return sum(values)

    @app.task
    def gather(*values: int) -> list[int]:
        return list(values)

    @app.task
    def nothing_needed(note: str = "no result wanted") -> str:
        return note

    forms = {
        "chain": (chain(add.call(1, 2), add.call(3), add.call(y=4)), 10),
        "group": (group(add.call(1, 2), chain(add.call(1, 1), add.call(1))), [3, 3]),
        "group of one": (group(add.call(1, 2)), [3]),
        "chord": (chord([add.call(1, 2), add.call(3, 4)], total.call()), 10),
        "map": (chord(add.starmap((i, i) for i in range(5)), total.call()), 20),
        "nothing to map": (chord(add.map([]), total.call()), 0),
        "varargs": (chord([add.call(1, 2), add.call(3, 4)], gather.call()), [3, 7]),
        "fan out": (chain(add.call(0, 1), group(add.call(1), add.call(2)), total.call()), 5),
        "not passed": (chain(add.call(1, 2), nothing_needed.call()), "no result wanted"),
    }
    runs = {name: await form.asend() for name, (form, _) in forms.items()}
    await under_test.run_until_idle()
    for name, (_, wanted) in forms.items():
        assert await runs[name].result(0) == wanted, name


async def test_a_wrong_call_in_a_workflow_fails_before_anything_is_sent(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    with pytest.raises(WrongArguments, match="add"):
        await chain(add.call(1, 2), add.call(1, 2, 3)).asend("wrong")
    with pytest.raises(WrongArguments, match="add"):
        app.workflow().add(add, 1, "2")
    with pytest.raises(WorkflowInvalid, match="no steps"):
        await group().asend()
    with pytest.raises(WorkflowUnknown):
        await app.async_workflow_run("wrong").status()


async def test_cycles_and_strangers_are_refused_at_send(app: App, log: Log, under_test: AppUnderTest) -> None:
    flow = app.workflow("cycle")
    flow.add(log.step, "a", name="a", after=["c"])
    flow.add(log.step, "b", name="b", after=["a"])
    flow.add(log.step, "c", name="c", after=["b"])
    with pytest.raises(WorkflowInvalid, match="a -> b -> c -> a"):
        await flow.asend()
    lonely = app.workflow("lonely")
    lonely.add(log.step, "a", after=["nobody"])
    with pytest.raises(WorkflowInvalid, match="'nobody'"):
        await lonely.asend()
    stranger = app.workflow("stranger")
    stranger.add(log.step, "x", flow.add(log.step, "y", name="y"))
    with pytest.raises(WorkflowInvalid, match="no node of this workflow"):
        await stranger.asend()
    await under_test.run_until_idle()
    assert log.ran == []


async def test_sending_again_is_harmless_at_any_time(app: App, log: Log, under_test: AppUnderTest) -> None:
    one = await diamond(app, log).asend()
    other = await diamond(app, log).asend()
    await under_test.run_until_idle()
    await diamond(app, log).asend()
    await under_test.run_until_idle()
    assert sorted(log.ran) == ["a", "b", "c", "d"]
    assert await one.result(0) == await other.result(0) == "d"
    different = app.workflow("diamond")
    different.add(log.step, "a")
    with pytest.raises(WorkflowExists):
        await different.asend()


async def test_failure_skips_what_comes_after(app: App, log: Log, under_test: AppUnderTest) -> None:
    log.failing = {"b"}
    run = await diamond(app, log).asend()
    await under_test.run_until_idle()
    view = await run.look()
    assert view.status is Status.FAILED
    assert {name: job.status for name, job in view.nodes.items()} == {
        "a": Status.SUCCEEDED,
        "b": Status.FAILED,
        "c": Status.SUCCEEDED,
        "d": Status.CANCELLED,
    }
    with pytest.raises(JobCancelled, match="which it comes after, failed: Fail: b was told to"):
        await run.result(0)


async def test_what_runs_despite_failure_gets_null(app: App, log: Log, under_test: AppUnderTest) -> None:
    @app.task
    def report(values: list[str | None]) -> list[str | None]:
        return values

    log.failing = {"bad"}
    flow = app.workflow()
    good, bad = flow.add(log.step, "good"), flow.add(log.step, "bad")
    skipped = flow.add(log.step, "skipped", bad)
    flow.add(report, [good, bad, skipped], on_failure="run")
    run = await flow.asend()
    await under_test.run_until_idle()
    assert await run.result(0) == ["good", None, None]
    assert await run.status() is Status.FAILED


async def test_what_waits_runs_when_the_failed_job_has_succeeded(app: App, log: Log, under_test: AppUnderTest) -> None:
    log.failing = {"a"}
    flow = app.workflow()
    a = flow.add(log.step, "a")
    b = flow.add(log.step, "b", a, on_failure="wait")
    run = await flow.asend()
    await under_test.run_until_idle()
    assert await (await run.job(b)).status() is Status.BLOCKED
    assert await run.status() is Status.FAILED
    log.failing = set()
    assert await run.retry() == 1
    await under_test.run_until_idle()
    assert await run.result(0) == "b"
    assert log.ran == ["a", "a", "b"]


async def test_retry_runs_again_only_what_did_not_succeed(app: App, log: Log, under_test: AppUnderTest) -> None:
    log.failing = {"b"}
    run = await diamond(app, log).asend()
    await under_test.run_until_idle()
    assert await run.retry() == 2
    await under_test.run_until_idle()
    assert await run.status() is Status.FAILED
    log.failing, log.ran = set(), []
    assert await run.retry() == 2
    view = await run.look()
    assert view.status is Status.RUNNING
    assert view.nodes["d"].status is Status.BLOCKED
    assert await run.retry() == 0
    await under_test.run_until_idle()
    assert log.ran == ["b", "d"]
    assert await run.result(0) == "d"
    dead = await under_test.broker.perform(DescribeQueue("default-dead"))
    assert dead.queue.counts.ready == 0


async def test_a_retry_while_others_still_run_waits_for_all(app: App, log: Log, under_test: AppUnderTest) -> None:
    log.failing = {"bad"}
    flow = app.workflow()
    bad = flow.add(log.step, "bad")
    slow = flow.add(log.step.with_options(delay_seconds=60), "slow")
    flow.add(log.step, "last", bad, slow)
    run = await flow.asend()
    await under_test.run_until_idle()
    log.failing = set()
    assert await run.retry() == 1  # the failure had arrived where the last one waits
    await under_test.fast_forward(60)
    assert log.ran == ["bad", "bad", "slow", "last"]
    assert await run.result(0) == "last"


async def test_cancelling_a_workflow_calls_off_all_that_has_not_ended(
    app: App, log: Log, under_test: AppUnderTest
) -> None:
    flow = diamond(app, log)
    flow.add(log.step.with_options(delay_seconds=60), "later", name="later")
    run = await flow.asend()
    assert await run.cancel() == 5
    assert await run.status() is Status.CANCELLED
    await under_test.fast_forward(120)
    assert log.ran == []
    assert await run.cancel() == 0
    with pytest.raises(JobCancelled):
        await run.result(0)
    assert await run.retry() == 5
    await under_test.fast_forward(120)
    assert sorted(log.ran) == ["a", "b", "c", "d", "later"]
    assert await run.status() is Status.SUCCEEDED


async def test_cancelling_one_job_skips_what_comes_after(app: App, log: Log, under_test: AppUnderTest) -> None:
    run = await diamond(app, log).asend()
    assert await (await run.job("c")).cancel()
    await under_test.run_until_idle()
    assert sorted(log.ran) == ["a", "b"]
    assert await (await run.job("d")).status() is Status.CANCELLED


async def test_results_are_kept_until_a_slow_workflow_wants_them(app: App, under_test: AppUnderTest) -> None:
    @app.task(result_seconds=1)
    def quick() -> int:
        return 1

    @app.task
    def both(x: int, y: int) -> int:
        return x + y

    flow = app.workflow()
    one = flow.add(quick)
    other = flow.add(quick.with_options(delay_seconds=3 * 86_400))
    flow.add(both, one, other)
    run = await flow.asend()
    await under_test.fast_forward(3 * 86_400)
    assert await run.result(0) == 2


async def test_the_definition_is_kept_and_then_forgotten(app: App, log: Log, under_test: AppUnderTest) -> None:
    await diamond(app, log).asend()
    definition = await app.async_workflow_run("diamond").definition()
    assert [(node.name, node.task, node.after) for node in definition.nodes] == [
        ("a", "step", ()),
        ("b", "step", (0,)),
        ("c", "step", (0,)),
        ("d", "step", (1, 2)),
    ]
    await under_test.run_until_idle()
    under_test.clock.advance(8 * 86_400)
    keys = ("flow/diamond", "flow-messages/diamond/0")
    assert (await under_test.broker.perform(GetRecords(keys))).records == (None, None)
    await diamond(app, log).asend()
    await under_test.run_until_idle()
    assert sorted(log.ran) == sorted("abcd" * 2)


async def test_a_failed_job_names_its_reason_in_the_result(app: App, log: Log, under_test: AppUnderTest) -> None:
    log.failing = {"a"}
    run = await chain(log.step.call("a")).asend()
    await under_test.run_until_idle()
    with pytest.raises(JobFailed, match="Fail: a was told to"):
        await run.result(0)


async def test_nothing_of_a_workflow_is_left_blocked_when_it_has_ended(
    app: App, log: Log, under_test: AppUnderTest
) -> None:
    run = await diamond(app, log).asend()
    job_ids = (await run.definition()).job_ids()
    await under_test.run_until_idle()
    assert (await under_test.broker.perform(Find(tuple(job_ids)))).messages == (None,) * 4
