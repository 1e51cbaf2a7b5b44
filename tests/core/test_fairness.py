"""Which tenants are noisy."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.fairness import NOISY_MIN_IN_FLIGHT, QUIET_AFTER_MS, BusyTime, is_noisy

NOW = 1_700_000_000_000
QUIET: dict[str, Any] = {
    "was_noisy": False,
    "waiting": 10,
    "last_sent_at": NOW,
    "in_flight": 0,
    "queue_in_flight": 0,
    "busy": BusyTime(),
    "queue_busy": BusyTime(),
    "now": NOW,
}


def noisy(**facts: Any) -> bool:
    return is_noisy(**{**QUIET, **facts})


def test_a_new_tenant_is_quiet() -> None:
    assert not noisy()


@pytest.mark.parametrize(
    ("in_flight", "queue_in_flight", "expected"),
    [
        (NOISY_MIN_IN_FLIGHT, NOISY_MIN_IN_FLIGHT, True),
        (NOISY_MIN_IN_FLIGHT - 1, NOISY_MIN_IN_FLIGHT - 1, False),
        (NOISY_MIN_IN_FLIGHT, 10 * NOISY_MIN_IN_FLIGHT - 1, True),
        (NOISY_MIN_IN_FLIGHT, 10 * NOISY_MIN_IN_FLIGHT, False),
        (31, 309, True),
        (31, 310, False),
    ],
)
def test_more_than_a_tenth_of_the_leases_and_at_least_30_is_noisy(
    in_flight: int, queue_in_flight: int, expected: bool
) -> None:
    assert noisy(in_flight=in_flight, queue_in_flight=queue_in_flight) is expected


def test_more_than_a_tenth_of_the_processing_time_is_noisy_while_something_is_in_flight() -> None:
    mine, queue = BusyTime().plus(11, NOW), BusyTime().plus(100, NOW)
    assert noisy(in_flight=1, queue_in_flight=1, busy=mine, queue_busy=queue)
    assert not noisy(in_flight=0, busy=mine, queue_busy=queue)
    assert not noisy(in_flight=1, queue_in_flight=1, busy=BusyTime().plus(10, NOW), queue_busy=queue)


def test_it_stays_noisy_until_its_backlog_has_drained() -> None:
    assert noisy(was_noisy=True)
    assert not noisy(was_noisy=True, waiting=0)


def test_it_turns_quiet_five_minutes_after_its_last_send() -> None:
    assert noisy(was_noisy=True, last_sent_at=NOW - QUIET_AFTER_MS + 1)
    assert not noisy(was_noisy=True, last_sent_at=NOW - QUIET_AFTER_MS)


def test_processing_time_of_this_minute_and_the_one_before_counts() -> None:
    start = NOW // 60_000 * 60_000
    busy = BusyTime().plus(5, start).plus(7, start + 59_999)
    assert busy.total_ms == 12
    assert busy.at(start + 60_000).total_ms == 12
    assert busy.plus(3, start + 60_000).total_ms == 15
    assert busy.plus(3, start + 60_000).at(start + 120_000).total_ms == 3
    assert busy.at(start + 120_000).total_ms == 0


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 200_000)), max_size=20))
def test_processing_time_is_what_the_last_two_minutes_brought(spans: list[tuple[int, int]]) -> None:
    busy, now, brought = BusyTime(), NOW, []
    for busy_ms, step in spans:
        now += step
        busy = busy.plus(busy_ms, now)
        brought.append((now, busy_ms))
    assert busy.at(now).total_ms == sum(ms for at, ms in brought if at // 60_000 >= now // 60_000 - 1)
