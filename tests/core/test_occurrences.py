"""When schedules have their occurrences: time zones, clock changes, intervals."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from penstock.core.errors import InvalidRequest
from penstock.core.occurrences import Cron, Every, Times

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN) -> int:
    """Return an instant written as local time, ``...+`` for the second time it comes."""
    local = datetime.fromisoformat(text.rstrip("+")).replace(tzinfo=ZoneInfo(zone), fold=text.endswith("+"))
    return round(local.timestamp() * 1000)


def occurrences(times: Times, start: int, until: int) -> list[str]:
    found = []
    while (start := times.after(start)) <= until:
        found.append(datetime.fromtimestamp(start / 1000, ZoneInfo(BERLIN)).strftime("%d %H:%M %z"))
    return found


def test_a_daily_time_stays_at_its_local_time() -> None:
    times = Cron("0 3 * * *", BERLIN)
    found = occurrences(times, at("2026-03-28 00:00"), at("2026-03-30 12:00"))
    assert found == ["28 03:00 +0100", "29 03:00 +0200", "30 03:00 +0200"]


def test_a_time_that_a_clock_change_leaves_out_comes_right_after_it() -> None:
    times = Cron("30 2 * * *", BERLIN)
    found = occurrences(times, at("2026-03-28 12:00"), at("2026-03-30 12:00"))
    assert found == ["29 03:00 +0200", "30 02:30 +0200"]


def test_a_time_that_comes_twice_is_taken_the_first_time() -> None:
    times = Cron("30 2 * * *", BERLIN)
    found = occurrences(times, at("2026-10-24 12:00"), at("2026-10-26 12:00"))
    assert found == ["25 02:30 +0200", "26 02:30 +0100"]


def test_in_an_hour_that_comes_twice_no_occurrence_lies_in_the_past() -> None:
    second_time = at("2026-10-25 02:10+")
    assert Cron("30 2 * * *", BERLIN).after(second_time) == at("2026-10-26 02:30")


def test_what_runs_all_the_time_counts_real_hours() -> None:
    found = occurrences(Cron("0 * * * *", BERLIN), at("2026-10-25 01:30"), at("2026-10-25 04:00"))
    assert found == ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100", "25 04:00 +0100"]
    found = occurrences(Cron("*/30 2 * * *", BERLIN), at("2026-03-28 12:00"), at("2026-03-30 12:00"))
    assert found == ["30 02:00 +0200", "30 02:30 +0200"]


@pytest.mark.parametrize(
    "notation", ["0 3 * * *", "*/7 * * * *", "30 2 * * 1-5", "15 0 1 * *", "* * 3 * * *", "@weekly"]
)
def test_the_last_of_those_missed_is_that_which_going_on_step_by_step_finds(notation: str) -> None:
    times = Cron(notation, BERLIN)
    for first_after, until in (
        ("2026-03-28 23:00", "2026-03-31 05:00"),
        ("2026-10-24 23:00", "2026-10-25 02:10+"),
        ("2026-01-01 00:00", "2026-01-01 03:30"),
    ):
        first = each = times.after(at(first_after))
        last = first
        while each <= at(until):
            last, each = each, times.after(each)
        assert times.last_between(first, at(until)) == last


def test_an_interval_is_counted_from_its_beginning() -> None:
    times = Every(10, since=1_000)
    assert [times.after(now) for now in (0, 1_000, 1_001, 11_000, 35_999)] == [1_000, 11_000, 11_000, 21_000, 41_000]
    assert times.last_between(11_000, 45_000) == 41_000
    assert times.last_between(11_000, 11_000) == 11_000


@pytest.mark.parametrize("notation", ["", "* * *", "61 * * * *", "0 0 31 2 *", "every day", "@sometimes"])
def test_what_is_no_cron_notation_is_refused(notation: str) -> None:
    with pytest.raises(InvalidRequest, match="cron notation"):
        Cron(notation)


def test_what_is_no_time_zone_is_refused() -> None:
    for zone in ("Mars/Olympus", "", "../etc/passwd"):
        with pytest.raises(InvalidRequest, match="no time zone") as refused:
            Cron("0 3 * * *", zone)
        assert "tzdata" in (refused.value.problem.hint or "")


def test_an_interval_that_is_too_short_is_refused() -> None:
    for seconds in (0, -1, 0.5, float("nan")):
        with pytest.raises(InvalidRequest, match="too close"):
            Every(seconds, 0)
