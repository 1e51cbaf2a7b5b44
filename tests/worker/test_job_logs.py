"""What jobs log is kept with them where a worker is told to: bounded, by attempt, seen while they run."""

import logging

import msgspec
import pytest

from penstock.core.operations import FindRecords
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Backoff, Retry, current_job
from penstock.worker.job_logs import (
    MOST_CHARACTERS,
    MOST_LINE_CHARACTERS,
    MOST_LINES,
    JobLog,
    LogLine,
    LogRecord,
    log_prefix,
)
from tests.worker.workers import Gate, ticked, working

log = logging.getLogger("shop")


async def kept(under_test: AppUnderTest, job_id: str) -> list[LogRecord]:
    """Return what was kept of each attempt."""
    records = (await under_test.broker.perform(FindRecords(log_prefix(job_id)))).records
    return [msgspec.json.decode(each.value, type=LogRecord) for each in records]


async def test_what_jobs_log_is_kept_by_attempt(
    app: App, under_test: AppUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # processes of a test run cannot tell each other of text that is half of a pair
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    @app.task(backoff=Backoff(first_seconds=1, jitter=0))
    def work() -> None:
        log.debug("too low")
        log.info("attempt %d", current_job().attempt)
        if current_job().attempt == 1:
            try:
                raise KeyError("stock")
            except KeyError:
                log.exception("half \ud800 of a pair")
            raise Retry

    @app.task
    async def quiet() -> None: ...

    log.setLevel(logging.DEBUG)
    job, other = await work.asend(), await quiet.asend()
    await under_test.worker(job_log_level=logging.INFO).run()
    under_test.clock.advance(2)
    await under_test.worker(job_log_level=logging.INFO).run()
    first, second = await kept(under_test, job.id)
    assert [(each.level, each.logger, each.text.partition("\n")[0]) for each in first.lines] == [
        ("INFO", "shop", "attempt 1"),
        ("ERROR", "shop", "half ? of a pair"),
    ]
    assert "KeyError: 'stock'" in first.lines[1].text
    assert [each.text for each in second.lines] == ["attempt 2"]
    assert await kept(under_test, other.id) == []
    log.warning("outside of jobs, and when no worker listens")


async def test_without_being_told_a_worker_keeps_nothing(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def work() -> None:
        log.error("nobody asked")

    job = await work.asend()
    await under_test.worker().run()
    assert await kept(under_test, job.id) == []


async def test_what_is_logged_is_seen_while_the_job_runs(app: App, under_test: AppUnderTest) -> None:
    gate = Gate()

    @app.task
    async def work() -> None:
        log.warning("has begun")
        await gate.wait()

    job = await work.asend()
    async with working(under_test, job_log_level=logging.INFO) as worker:
        await gate.until_reached()
        await ticked(under_test, worker)
        assert [each.text for (record,) in [await kept(under_test, job.id)] for each in record.lines] == ["has begun"]
        gate.open()


def test_the_latest_lines_are_kept() -> None:
    log = JobLog()
    for number in range(3 * MOST_LINES):
        log.add(LogLine(number, "INFO", "x", str(number)))
    kept = msgspec.json.decode(log.to_record("id", 1, 9).value, type=LogRecord)
    assert ([each.at for each in kept.lines], kept.dropped_count) == (list(range(400, 600)), 400)
    for _ in range(100):
        log.add(LogLine(0, "INFO", "x", "y" * MOST_LINE_CHARACTERS))
    kept = msgspec.json.decode(log.to_record("id", 1, 9).value, type=LogRecord)
    assert sum(len(each.text) for each in kept.lines) <= MOST_CHARACTERS
