"""Schedules: each occurrence is sent once, by whichever worker, on every store."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from penstock.broker.contract import Broker
from penstock.core.errors import InvalidRequest, StoreUnavailable
from penstock.core.messages import MessageView, State
from penstock.core.operations import Apply, Peek
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Status
from penstock.worker.arguments import WrongArguments
from penstock.worker.engine.duties import Duties
from penstock.worker.schedules.records import ScheduleRecord
from penstock.worker.schedules.schedules import ScheduleNotFound
from tests.worker.workers import ticked


class Ticks:
    """A task that notes when it ran."""

    def __init__(self, under_test: AppUnderTest) -> None:
        self.ran: list[Any] = []

        @under_test.app.task(name="tick")
        async def tick(mark: str = "") -> None:
            self.ran.append(mark or round((under_test.clock.now_ms() - self.start) / 1000))

        self.task = tick
        self.start = under_test.clock.now_ms()


@pytest.fixture
def ticks(under_test: AppUnderTest) -> Ticks:
    return Ticks(under_test)


async def waiting(under_test: AppUnderTest) -> tuple[MessageView, ...]:
    return (await under_test.broker.perform(Peek("default", limit=1000))).messages


async def once(under_test: AppUnderTest, app: App | None = None, broker: Broker | None = None) -> None:
    """Let a worker look after the schedules, but run no jobs."""
    await Duties(app or under_test.app, broker or under_test.broker).once()


async def test_an_interval_runs_a_task_again_and_again(app: App, under_test: AppUnderTest, ticks: Ticks) -> None:
    app.schedule("often", ticks.task, every_seconds=10)
    await under_test.fast_forward(35)
    assert ticks.ran == [10, 20, 30]


async def test_cron_notation_runs_a_task_at_its_times(app: App, under_test: AppUnderTest, ticks: Ticks) -> None:
    seen = []

    @app.schedule("nightly", cron="0 3 * * *", zone="Europe/Berlin", args=("x",))
    @app.task(name="report")
    def report(kind: str) -> None:
        seen.append(datetime.fromtimestamp(under_test.clock.now_ms() / 1000, UTC).strftime("%d %H:%M") + kind)

    await under_test.fast_forward(2 * 86_400)
    assert seen == ["15 02:00x", "16 02:00x"]


async def test_each_occurrence_is_sent_once_by_any_number_of_workers(
    app: App, under_test: AppUnderTest, ticks: Ticks
) -> None:
    app.schedule("often", ticks.task, every_seconds=10)
    await once(under_test)
    for _ in range(3):
        under_test.clock.advance(10)
        await asyncio.gather(*(once(under_test) for _ in range(5)))
    assert len(await waiting(under_test)) == 3


class LosingAnswers:
    """A broker whose answers to every guarded step are lost: it happens, and nobody is told."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.lost = 0

    async def perform(self, operation: Any) -> Any:
        reply = await self._broker.perform(operation)
        if isinstance(operation, Apply) and operation.effects.guards:
            self.lost += 1
            raise StoreUnavailable("the answer was lost")
        return reply

    async def aclose(self) -> None:
        pass


async def test_an_answer_that_is_lost_neither_doubles_nor_loses_an_occurrence(
    app: App, under_test: AppUnderTest, ticks: Ticks
) -> None:
    app.schedule("often", ticks.task, every_seconds=10, catch_up="all")
    await once(under_test)
    losing = LosingAnswers(under_test.broker)
    for _ in range(3):
        under_test.clock.advance(10)
        await asyncio.gather(*(once(under_test, broker=losing) for _ in range(3)))
    assert losing.lost >= 3
    assert len(await waiting(under_test)) == 3


@pytest.mark.parametrize(
    ("catch_up", "late_seconds", "expected"),
    [("last", 5, 1), ("skip", 5, 1), ("skip", 90, 0), ("last", 90, 1), ("all", 90, 3)],
)
async def test_what_was_missed_is_caught_up_with_as_the_rule_says(
    app: App, under_test: AppUnderTest, ticks: Ticks, catch_up: Any, late_seconds: float, expected: int
) -> None:
    app.schedule("rare", ticks.task, every_seconds=1000, catch_up=catch_up)
    await once(under_test)
    under_test.clock.advance(3000 + late_seconds)
    await once(under_test)
    assert len(await waiting(under_test)) == expected
    (schedule,) = await app.async_schedules.list()
    assert schedule.next_at == ticks.start + 4_000_000


async def test_a_long_downtime_is_caught_up_with_in_portions(app: App, under_test: AppUnderTest, ticks: Ticks) -> None:
    app.schedule("often", ticks.task, every_seconds=1, catch_up="all")
    await once(under_test)
    under_test.clock.advance(450)
    await once(under_test)
    sent = await waiting(under_test)
    assert len(sent) == 450
    assert [each.message_id for each in sent] == sorted(each.message_id for each in sent), "in order"


async def test_a_clock_that_goes_back_doubles_nothing(app: App, under_test: AppUnderTest, ticks: Ticks) -> None:
    app.schedule("often", ticks.task, every_seconds=10)
    await once(under_test)
    under_test.clock.advance(30)
    await once(under_test)
    under_test.clock.advance(-25)
    for _ in range(3):
        await once(under_test)
        under_test.clock.advance(10)
    assert len(await waiting(under_test)) == 1
    under_test.clock.advance(5)
    await once(under_test)
    assert len(await waiting(under_test)) == 2


async def test_a_clock_that_was_years_ahead_stops_no_schedule(app: App, under_test: AppUnderTest, ticks: Ticks) -> None:
    app.schedule("often", ticks.task, every_seconds=10)
    await once(under_test)
    years = 3 * 365 * 86_400
    under_test.clock.advance(years)
    await once(under_test)
    under_test.clock.advance(-years)
    await once(under_test)
    under_test.clock.advance(10)
    await once(under_test)
    assert len(await waiting(under_test)) == 2


async def test_an_occurrence_is_left_out_while_the_job_before_has_not_ended(
    app: App, under_test: AppUnderTest, ticks: Ticks
) -> None:
    app.schedule("often", ticks.task, every_seconds=10, allows_overlap=False)
    await once(under_test)
    for _ in range(3):
        under_test.clock.advance(10)
        await once(under_test)
    assert len(await waiting(under_test)) == 1
    await under_test.run_until_idle()
    under_test.clock.advance(10)
    await once(under_test)
    assert len(await waiting(under_test)) == 1
    assert ticks.ran == [30]


async def test_a_paused_schedule_sends_nothing_and_catches_up_with_nothing(
    app: App, under_test: AppUnderTest, ticks: Ticks
) -> None:
    app.schedule("often", ticks.task, every_seconds=10, catch_up="all")
    await once(under_test)
    await app.async_schedules.pause("often")
    await under_test.fast_forward(35)
    assert ticks.ran == []
    resumed = await app.async_schedules.resume("often")
    assert resumed.upcoming(2) == (ticks.start + 40_000, ticks.start + 50_000)
    await under_test.fast_forward(10)
    assert ticks.ran == [40]


async def test_a_triggered_schedule_sends_a_job_and_keeps_its_times(
    app: App, under_test: AppUnderTest, ticks: Ticks
) -> None:
    before = await app.async_schedules.add("often", ticks.task, every_seconds=10, args={"mark": "now"})
    job = await app.async_schedules.trigger("often")
    await under_test.run_until_idle()
    assert await job.status() is Status.SUCCEEDED
    assert ticks.ran == ["now"]
    assert await app.async_schedules.get("often") == before


async def test_a_removed_schedule_sends_nothing_more(app: App, under_test: AppUnderTest, ticks: Ticks) -> None:
    await app.async_schedules.add("often", ticks.task, every_seconds=10)
    await app.async_schedules.remove("often")
    await under_test.fast_forward(20)
    assert ticks.ran == []
    for change in (app.async_schedules.remove, app.async_schedules.pause, app.async_schedules.trigger):
        with pytest.raises(ScheduleNotFound):
            await change("often")


def another_version(app: App, broker: Broker, name: str | None = None) -> App:
    async def connect() -> Broker:
        return broker

    newer = App(connect, name=name or app.name, clock=app.clock, entropy=app.entropy)

    @newer.task(name="tick")
    async def tick(mark: str = "") -> None: ...

    newer.portal.attach(broker)
    return newer


async def names(app: App) -> list[str]:
    return [each.name for each in await app.async_schedules.list()]


async def test_a_schedule_that_the_code_no_longer_declares_is_removed(
    app: App, under_test: AppUnderTest, ticks: Ticks
) -> None:
    app.schedule("kept", ticks.task, every_seconds=10)
    app.schedule("dropped", ticks.task, every_seconds=10)
    await app.async_schedules.add("by hand", ticks.task, every_seconds=10)
    await once(under_test)
    newer = another_version(app, under_test.broker)
    newer.schedule("kept", newer.tasks["tick"], every_seconds=10)
    await once(under_test, newer)
    assert await names(newer) == ["by hand", "kept"]
    stranger = another_version(app, under_test.broker, "another app")
    await once(under_test, stranger)
    assert await names(newer) == ["by hand", "kept"], "the schedules of other apps are not touched"


async def test_a_changed_schedule_begins_anew_and_an_unchanged_one_goes_on(
    app: App, under_test: AppUnderTest, ticks: Ticks
) -> None:
    app.schedule("same", ticks.task, every_seconds=10)
    app.schedule("changed", ticks.task, every_seconds=10)
    await once(under_test)
    await app.async_schedules.pause("changed")
    under_test.clock.advance(15)
    newer = another_version(app, under_test.broker)
    newer.schedule("same", newer.tasks["tick"], every_seconds=10, args=("other",))
    newer.schedule("changed", newer.tasks["tick"], every_seconds=20)
    await once(under_test, newer)
    changed, same = await newer.async_schedules.list()
    assert (changed.next_at, changed.is_paused) == (ticks.start + 35_000, True)
    assert (same.next_at, same.last_at) == (ticks.start + 20_000, ticks.start + 10_000), "what was missed was sent"


async def test_wrong_schedules_are_refused_where_they_are_declared(app: App, ticks: Ticks) -> None:
    app.schedule("one", ticks.task, every_seconds=10)
    for wrong in (
        {"name": "one", "every_seconds": 10},
        {"name": "two"},
        {"name": "two", "every_seconds": 10, "cron": "* * * * *"},
        {"name": "two", "cron": "nonsense"},
        {"name": "two", "every_seconds": 10, "catch_up": "some"},
        {"name": "", "every_seconds": 10},
    ):
        with pytest.raises(InvalidRequest):
            app.schedule(task=ticks.task, **wrong)  # type: ignore[call-overload]
    with pytest.raises(WrongArguments):
        app.schedule("two", ticks.task, every_seconds=10, args=(7,))
    with pytest.raises(InvalidRequest, match="delay_seconds"):
        app.schedule("two", ticks.task.with_options(delay_seconds=3), every_seconds=10)


async def test_a_running_worker_sends_occurrences_in_time(app: App, under_test: AppUnderTest, ticks: Ticks) -> None:
    app.schedule("often", ticks.task, every_seconds=60)
    worker = under_test.worker(is_burst=False)
    running = asyncio.create_task(worker.run())
    schedule: ScheduleRecord | None = None
    while schedule is None:
        await asyncio.sleep(0)
        schedule = next(iter(await app.async_schedules.list()), None)
    while len(ticks.ran) < 2:
        await ticked(under_test, worker)
    worker.drain()
    await running
    assert {each % 60 for each in ticks.ran} <= {0, 1, 2, 3, 4, 5}
    assert State.READY not in {each.state for each in await waiting(under_test)}
