"""The examples run as their READMEs say."""

import re
from collections import Counter, defaultdict
from pathlib import Path

from tests.examples.commands import ROOT, Example


def test_every_example_is_in_the_list_and_has_a_readme() -> None:
    listed = re.findall(r"^\| \[(\w+)\]\(\1\) \|", (ROOT / "examples" / "README.md").read_text(), re.MULTILINE)
    folders = {path.parent.name for path in (ROOT / "examples").glob("*/*.py")}
    assert set(listed) == folders
    for folder in folders:
        assert (ROOT / "examples" / folder / "README.md").exists()


def test_sleepers_sleep_and_tell_how_long(tmp_path: Path) -> None:
    example = Example("sleepers", tmp_path)
    (command,) = example.commands
    told = example.run(command)
    heading, *rows, total = told.strip().splitlines()
    assert heading.split() == ["Worker", "Naps", "Total", "time", "slept"]
    assert len(rows) == 5
    naps = [int(row.split()[1]) for row in rows]
    slept = [float(row.split()[2]) for row in rows]
    assert sum(naps) == 200 == int(total.split()[1])
    assert abs(sum(slept) - float(total.split()[2])) < 0.01
    assert 200 * 0.010 < sum(slept) < 200 * 0.060 * 1.5
    assert float(total.split()[5]) < sum(slept), "they slept side by side"


def test_a_sequence_runs_in_order_and_not_beyond_a_failure(tmp_path: Path) -> None:
    example = Example("sequence", tmp_path)
    good, bad = map(example.run, example.commands)
    assert [line.split(maxsplit=2) for line in good.splitlines()] == [
        ["A", "succeeded", "gathered"],
        ["B", "succeeded", "gathered, sorted"],
        ["C", "succeeded", "gathered, sorted, delivered"],
    ]
    assert [line.split()[:2] for line in bad.splitlines()] == [["A", "succeeded"], ["B", "failed"], ["C", "cancelled"]]
    assert "B cannot sort today" in bad.splitlines()[2], "C tells why"


def test_statuses_are_followed_while_several_processes_work(tmp_path: Path) -> None:
    example = Example("status_monitor", tmp_path)
    (command,) = example.commands
    with example.running("penstock work tasks:app --slots 2"), example.running("penstock work tasks:app --slots 8"):
        told = example.run(f"{command} --longest 0.5")
    statuses = defaultdict(list)
    for line in told.splitlines():
        found = re.fullmatch(r"\[Monitor\] Task (task_\d+) is (\w+)", line)
        assert found is not None, line
        statuses[found[1]].append(found[2])
    assert len(statuses) == 20
    assert all(each[-1] == "succeeded" for each in statuses.values())
    seen = Counter(status for each in statuses.values() for status in each)
    assert seen["running"] > 10
    assert "retrying" in statuses["task_10"]


def test_an_order_without_a_stop_is_reported_pending(tmp_path: Path) -> None:
    example = Example("warehouse", tmp_path)
    (command,) = example.commands
    with (
        example.running("penstock work analyser:app --slots 3"),
        example.running("penstock work analyser:app --slots 3"),
    ):
        told = example.run(command).splitlines()
    assert told[-1] == "8 done, 2 pending"
    for number, line in enumerate(told[:-1], 1):
        outcome = r"pending, no Stop after 4 events" if number % 5 == 0 else r"done, 5 events, \d+ items"
        assert re.fullmatch(rf"order {number}: {outcome}", line), line
