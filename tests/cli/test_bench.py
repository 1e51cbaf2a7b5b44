"""``penstock bench``: it measures beside a floor, says a verdict, and leaves nothing behind."""

import json
from pathlib import Path

import pytest

from penstock.cli.bench_load import Turn
from tests.cli.test_commands import KEY, Terminal, _elsewhere, _served

__all__ = ["_elsewhere"]


@pytest.mark.parametrize("batch", ["1", "10"])
def test_a_server_is_measured_beside_a_floor(tmp_path: Path, batch: str) -> None:
    with _served(f"sqlite:////{tmp_path}/penstock.db") as url:
        key = f"{KEY.access_key_id}:{KEY.secret}"
        told = Terminal()(
            *("bench", url, "--key", key, "--seconds", "0.6", "--connections", "2", "--batch", batch, "--json")
        )
        assert Terminal("--url", url, "--key", key).json("queue", "list") == [], "its queue is deleted"
    measured = json.loads(told)
    assert measured["verdict"] in ("good", "fair", "poor")
    send, take = measured["phases"]
    assert (send["name"], take["name"]) == ("send", "receive and delete")
    for phase in (send, take):
        assert phase["messages_per_second"] > 0
        assert 0 < phase["p50_ms"] <= phase["p99_ms"]
        assert phase["floor_per_second"] > 0


def test_what_it_sends_is_bounded_and_a_missed_target_fails(tmp_path: Path) -> None:
    with _served(f"sqlite:////{tmp_path}/penstock.db") as url:
        key = f"{KEY.access_key_id}:{KEY.secret}"
        result = Terminal().run(
            *("bench", url, "--key", key, "--seconds", "60", "--count", "9", "--connections", "2", "--at-least", "99")
        )
    assert result.exit_code == 1
    assert "Verdict: " in result.stdout
    assert "receive and delete" in result.stdout


def test_what_cannot_be_measured_is_told_in_a_line(tmp_path: Path) -> None:
    assert "cannot be reached" in Terminal().fails("bench", "http://127.0.0.1:1", status=4)
    assert "no address" in Terminal().fails("bench", "sqlite:///x.db")
    with _served(f"sqlite:////{tmp_path}/penstock.db") as url:
        Terminal().fails("bench", url, status=5)


def test_percentiles_are_those_of_requests() -> None:
    turn = Turn(2.0, 10, [float(number) for number in range(101)])
    assert (turn.messages_per_second, turn.percentile(50), turn.percentile(99)) == (5, 50, 99)
    assert Turn(1.0, 0, []).percentile(99) == 0
