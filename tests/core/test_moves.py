"""How fast a move task goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.moves import Move, MoveStatus, allowance, next_step_at

START = 1_700_000_000_000


def move(rate: int | None, moved: int = 0) -> Move:
    return Move("id", "a", "b", START, MoveStatus.RUNNING, 100, moved, rate)


def test_without_a_rate_a_move_goes_as_fast_as_it_can() -> None:
    assert allowance(move(None, 50), START, 7) == 7
    assert next_step_at(move(None, 50), START + 9) == START + 9


def test_the_first_message_goes_at_once_and_the_next_in_its_turn() -> None:
    assert allowance(move(10), START, 100) == 1
    assert allowance(move(10, 1), START + 99, 100) == 0
    assert next_step_at(move(10, 1), START) == START + 100
    assert allowance(move(10, 1), START + 700, 100) == 7
    assert allowance(move(10, 1), START + 700, 4) == 4


def test_a_clock_that_went_back_allows_nothing_more() -> None:
    assert allowance(move(10, 10), START - 5000, 100) == 0


@pytest.mark.parametrize("rate", [None, 5])
def test_nothing_moves_before_it_begins(rate: int | None) -> None:
    waiting = move(rate)
    assert allowance(waiting, START - 1, 100) == 0
    assert next_step_at(waiting, START - 9_000) == START
    assert allowance(waiting, START, 100) == (100 if rate is None else 1)


@given(rate=st.integers(1, 1_000_000), moved=st.integers(0, 10_000_000), late=st.integers(0, 10_000_000))
def test_the_next_step_comes_exactly_when_something_may_move(rate: int, moved: int, late: int) -> None:
    running = move(rate, moved)
    at = next_step_at(running, START)
    assert allowance(running, at, 1) == 1
    if at > START:
        assert allowance(running, at - 1, 1) == 0
    assert next_step_at(running, at + late) == at + late


@given(rate=st.integers(1, 10_000), steps=st.lists(st.integers(0, 5000), max_size=20))
def test_the_rate_is_kept_over_any_steps(rate: int, steps: list[int]) -> None:
    now, moved = START, 0
    for step in steps:
        now += step
        moved += allowance(move(rate, moved), now, 1_000_000)
        assert moved == 1 + rate * (now - START) // 1000


@given(rate=st.integers(1, 2_000), since=st.integers(0, 5_000))
def test_no_second_sees_more_than_the_rate(rate: int, since: int) -> None:
    def moved_by(ms: int) -> int:
        return allowance(move(rate), START + ms, 1_000_000)

    assert moved_by(999) <= rate
    assert moved_by(since + 1000) - moved_by(since) <= rate
