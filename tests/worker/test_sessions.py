"""Session tasks: the events of one key, live and in order in one worker, until it returns, raises or idles out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import Struct

from penstock.core.messages import Draft
from penstock.core.operations import DescribeQueue, Send
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Backoff, Events, RetryPolicy, SessionIdle, SessionTask
from penstock.worker.arguments import TaskInvalid, WrongArguments
from penstock.worker.engine.worker import Worker
from tests.support.turns import until


class Event(Struct):
    kind: str
    number: int = 0


START, STOP = Event("start"), Event("stop")


class Analysis:
    """A session that notes what it is given and returns at a stop."""

    def __init__(self, app: App, **options: object) -> None:
        self.given: dict[str, list[list[int | str]]] = {}
        self.failing = False

        async def analyse(key: str, events: Events[Event]) -> int:
            given: list[int | str] = []
            self.given.setdefault(key, []).append(given)
            async for event in events:
                if event.kind == "stop":
                    if self.failing:
                        raise ConnectionError("not yet")
                    return len(given)
                given.append(event.number or event.kind)
            raise AssertionError("the stream has no end of its own")

        self.task: SessionTask[Event] = app.session(name="analyse", idle_seconds=2, **options)(analyse)  # type: ignore[arg-type]


@asynccontextmanager
async def working(under_test: AppUnderTest, *, slots: int = 4) -> AsyncIterator[Worker]:
    worker = under_test.worker(slots=slots, is_burst=False)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.drain()
        await asyncio.wait_for(running, 10)


async def left(under_test: AppUnderTest) -> tuple[int, int]:
    counts = (await under_test.broker.perform(DescribeQueue("default"))).queue.counts
    return counts.ready + counts.delayed, counts.in_flight


async def test_events_of_one_key_come_in_order_until_it_returns(app: App, under_test: AppUnderTest) -> None:
    analysis = Analysis(app)
    for key in ("a", "b"):
        await analysis.task.asend_many([(key, Event("pick", number)) for number in range(1, 30)])
        await analysis.task.asend(key, STOP)
    await under_test.worker(slots=4).run()
    assert analysis.given == {key: [list(range(1, 30))] for key in "ab"}
    assert await left(under_test) == (0, 0)
    last = await analysis.task.alast("a")
    assert last is not None
    assert (last.status, last.event_count, bytes(last.result)) == ("done", 30, b"29")


async def test_events_reach_a_session_that_runs_live(app: App, under_test: AppUnderTest) -> None:
    analysis = Analysis(app)
    async with working(under_test) as worker:
        for number in range(1, 6):
            await analysis.task.asend("k", Event("pick", number))
            await until(
                lambda upto=number: analysis.given.get("k") == [list(range(1, upto + 1))],
                "the session was given its events",
            )  # type: ignore[misc]
            under_test.clock.advance(1.5)
        assert len(worker.held) == 5
        await analysis.task.asend("k", STOP)
        await until(lambda: not worker.held, "the session has ended")
    assert await left(under_test) == (0, 0)


async def test_what_comes_after_the_end_begins_another_session(app: App, under_test: AppUnderTest) -> None:
    analysis = Analysis(app)
    kinds = [START, STOP, START, START, STOP]
    await analysis.task.asend_many([("k", kind) for kind in kinds])
    await under_test.worker(slots=4).run()
    assert analysis.given["k"] == [["start"], ["start", "start"]]
    assert await left(under_test) == (0, 0)


async def test_one_that_idles_out_leaves_its_events_and_is_reported(app: App, under_test: AppUnderTest) -> None:
    analysis = Analysis(app)
    await analysis.task.asend_many([("k", START), ("k", Event("pick", 1))])
    async with working(under_test) as worker:
        await until(lambda: analysis.given.get("k") == [["start", 1]], "the session was given its events")
        under_test.clock.advance(1.9)
        assert len(worker.held) == 2

        def has_idled_out() -> bool:
            under_test.clock.advance(0.1)
            return not worker.held

        await until(has_idled_out, "the session has ended")
    (key,) = await app.async_parked_keys()
    view = await key.look()
    assert (view.key, view.waiting) == ("k", 2)
    last = await analysis.task.alast("k")
    assert last is not None
    assert (last.status, last.event_count) == ("pending", 2)
    await analysis.task.asend("k", STOP)
    await key.resume()
    await under_test.run_until_idle()
    assert analysis.given["k"][-1] == ["start", 1]
    assert await left(under_test) == (0, 0)


async def test_it_may_decide_for_itself_when_idle(app: App, under_test: AppUnderTest) -> None:
    @app.session(idle_seconds=2)
    async def collect(key: str, events: Events[int]) -> int:
        total = 0
        try:
            async for event in events:
                total += event
        except SessionIdle:
            return total

    await collect.asend_many([("k", 1), ("k", 2)])
    await under_test.run_until_idle()
    last = await collect.alast("k")
    assert last is not None
    assert bytes(last.result) == b"3"
    assert await left(under_test) == (0, 0)


async def test_one_that_raises_is_given_all_its_events_again(app: App, under_test: AppUnderTest) -> None:
    analysis = Analysis(app, retry=RetryPolicy(max_attempts=2, backoff=Backoff(first_seconds=10, jitter=0)))
    analysis.failing = True
    await analysis.task.asend_many([("k", Event("pick", 1)), ("k", Event("pick", 2)), ("k", STOP)])
    await under_test.worker(slots=4).run()
    assert await left(under_test) == (3, 0)
    analysis.failing = False
    await under_test.run_until_idle(jumps=True)
    assert analysis.given["k"] == [[1, 2], [1, 2]]
    assert await left(under_test) == (0, 0)


@pytest.mark.parametrize("on_failure", ["block", "park", "skip"])
async def test_one_that_fails_for_good(app: App, under_test: AppUnderTest, on_failure: str) -> None:
    analysis = Analysis(app, retry=RetryPolicy(max_attempts=1), on_failure=on_failure)
    analysis.failing = True
    await analysis.task.asend_many([("k", Event("pick", 1)), ("k", STOP), ("k", Event("pick", 2))])
    await under_test.worker(slots=4).run()
    parked = [key.key for key in await app.async_parked_keys()]
    dead = (await under_test.broker.perform(DescribeQueue("default-dead"))).queue.counts.ready
    if on_failure == "block":
        assert (parked, dead, await left(under_test)) == (["k"], 0, (3, 0))
        analysis.failing = False
        await app.async_key("k").resume()
        await under_test.run_until_idle()
        assert analysis.given["k"][1] == [1]
    elif on_failure == "park":
        assert (parked, dead, await left(under_test)) == (["k"], 2, (1, 0))
    else:
        assert dead == 2
        assert analysis.given["k"] == [[1], [2]]


async def test_idle_may_be_a_reason_to_try_again(app: App, under_test: AppUnderTest) -> None:
    analysis = Analysis(app, on_idle="retry", retry=RetryPolicy(backoff=Backoff(first_seconds=10, jitter=0)))
    await analysis.task.asend("k", START)
    await under_test.run_until_idle()
    assert await app.async_parked_keys() == []
    await analysis.task.asend("k", STOP)
    await under_test.run_until_idle(jumps=True)
    assert analysis.given["k"] == [["start"], ["start"]]
    assert await left(under_test) == (0, 0)


async def test_a_drain_gives_everything_back_at_once(app: App, under_test: AppUnderTest) -> None:
    analysis = Analysis(app)
    await analysis.task.asend_many([("k", Event("pick", number)) for number in range(1, 6)])
    async with working(under_test):
        await until(lambda: analysis.given.get("k") == [[1, 2, 3, 4, 5]], "the session was given its events")
    assert await left(under_test) == (5, 0)
    await analysis.task.asend("k", STOP)
    await under_test.run_until_idle()
    assert analysis.given["k"][1] == [1, 2, 3, 4, 5]
    last = await analysis.task.alast("k")
    assert last is not None
    assert last.status == "done"


async def test_leases_of_all_its_events_are_renewed(app: App, under_test: AppUnderTest) -> None:
    analysis = Analysis(app)
    await analysis.task.asend_many([("k", Event("pick", number)) for number in (1, 2, 3)])
    async with working(under_test) as worker:
        await until(lambda: analysis.given.get("k") == [[1, 2, 3]], "the session was given its events")
        for number in range(4, 60):
            await analysis.task.asend("k", Event("pick", number))
            await until(lambda upto=number: len(analysis.given["k"][0]) == upto, "the session was given its events")  # type: ignore[misc]
            under_test.clock.advance(1)
            await asyncio.sleep(0.002)
        assert len(analysis.given["k"]) == 1
        await analysis.task.asend("k", STOP)
        await until(lambda: not worker.held, "the session has ended")
    assert len(analysis.given["k"]) == 1
    assert await left(under_test) == (0, 0)


async def test_one_that_wants_more_events_than_it_may_have_fails(app: App, under_test: AppUnderTest) -> None:
    analysis = Analysis(app, most_events=10)
    await analysis.task.asend_many([("k", Event("pick", number)) for number in range(1, 30)])
    await under_test.worker(slots=2).run()
    assert analysis.given["k"] == [list(range(1, 11))]
    last = await analysis.task.alast("k")
    assert last is not None
    assert last.failure is not None
    assert (last.status, last.failure.kind) == ("failed", "SessionTooLong")
    assert await left(under_test) == (29, 0)


async def test_a_session_takes_one_slot(app: App, under_test: AppUnderTest) -> None:
    analysis, ran = Analysis(app), []

    @app.task
    async def other() -> None:
        ran.append(1)

    await analysis.task.asend_many([("k", Event("pick", number)) for number in range(1, 100)])
    async with working(under_test, slots=2):
        await until(lambda: len(analysis.given.get("k", [[]])[0]) == 99, "the session was given its events")
        await other.asend_many([()] * 5)
        await until(lambda: len(ran) == 5, "the others have run")


async def test_a_job_of_the_same_key_ends_the_stream_and_has_its_turn(app: App, under_test: AppUnderTest) -> None:
    analysis, ran = Analysis(app, on_idle="retry", retry=RetryPolicy(max_attempts=1), on_failure="skip"), []

    @app.task
    async def other() -> None:
        ran.append(1)

    await analysis.task.asend("k", START)
    await other.with_options(key="k").asend()
    await under_test.run_until_idle()
    assert analysis.given["k"] == [["start"]]
    assert ran == [1]


async def test_wrong_events_and_wrong_sessions_are_refused(app: App, under_test: AppUnderTest) -> None:
    analysis = Analysis(app)
    with pytest.raises(WrongArguments, match="Event of analyse"):
        await analysis.task.asend("k", {"number": 1})  # type: ignore[arg-type]
    with pytest.raises(TaskInvalid, match="is no session"):

        @app.session()
        async def nothing(key: str) -> None: ...

    await analysis.task.asend("k", START)
    wrong = Draft('{"task": "analyse", "args": {"event": 7}}', group_id="k")
    await under_test.broker.perform(Send("default", (wrong,)))
    await under_test.run_until_idle()
    last = await analysis.task.alast("k")
    assert last is not None
    assert last.failure is not None
    assert last.failure.kind == "WrongArguments"
