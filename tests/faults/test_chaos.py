"""Chaos: workers on one store, one of them killed with SIGKILL every second, and in the end everything has run.

The suite does it for some seconds. ``PENSTOCK_CHAOS_SECONDS=60 PENSTOCK_CHAOS_JOBS=20000`` is the whole of it.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from random import Random, SystemRandom

import pytest

from penstock import Job, Penstock, Status, WorkflowRun, chain, chord
from penstock.core.operations import DescribeQueue, ListGroups
from tests.faults import chaos_tasks
from tests.faults.consistency import check_consistency
from tests.faults.server_process import environment

SECONDS = int(os.environ.get("PENSTOCK_CHAOS_SECONDS", "8"))
JOBS = int(os.environ.get("PENSTOCK_CHAOS_JOBS", "2000"))
WORKERS = 4
CHAIN_LENGTH = 5
CHORD_PARTS = 10
KEYS = 20
SLOW_EACH_ROUND = 20
LONGEST_REDELIVERY_SECONDS = 5.0
_PATIENCE_SECONDS = 60


class Workers:
    """Worker processes, each ``penstock work`` with what it needs."""

    def __init__(self, folder: Path, url: str) -> None:
        self._log = folder / "workers.log"
        self._environment = {**environment(), "CHAOS_URL": url, "CHAOS_TOLD": str(folder / "told")}
        self.processes = [self._start() for _ in range(WORKERS)]
        self.killed_at: list[float] = []

    def _start(self) -> "subprocess.Popen[bytes]":
        code = "from penstock.cli.main import main; main()"
        command = [sys.executable, "-c", code, "work", "tests.faults.chaos_tasks:app", "--queues", "default,ordered"]
        with self._log.open("ab") as log:
            return subprocess.Popen([*command, "--log-level", "error"], env=self._environment, stdout=log, stderr=log)

    def kill_one(self, random: Random) -> None:
        """Kill one of them at once, and start another in its place."""
        index = random.randrange(WORKERS)
        self.processes[index].kill()
        self.killed_at.append(time.monotonic())
        self.processes[index].wait()
        self.processes[index] = self._start()

    def stop(self) -> None:
        """End them as a person would."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(_PATIENCE_SECONDS)


class Sent:
    """What was sent: a quarter each of plain jobs, chains, chords and ordered keys; and jobs that a kill cuts short."""

    def __init__(self) -> None:
        self.wanted: set[tuple[str, str]] = set()
        self.plain_jobs: list[Job[int]] = []
        self.runs: list[WorkflowRun] = []
        self.count = 0
        self._plain = self._slow = self._ordered = 0

    def send(self, number: int, jobs: int) -> None:
        """Send about so many, as the round of this number."""
        share = jobs // 4
        before = len(self.wanted)
        self._send_plain(share)
        for each in range(share // CHAIN_LENGTH):
            name = f"chain-{number}-{each}"
            steps = [chaos_tasks.step.call(name, 0), *[chaos_tasks.step.call(name)] * (CHAIN_LENGTH - 1)]
            self.runs.append(chain(*steps).send(name))
            self.wanted |= {("step", f"{name}/{step}") for step in range(CHAIN_LENGTH)}
        for each in range(share // (CHORD_PARTS + 1)):
            name = f"chord-{number}-{each}"
            parts = [chaos_tasks.part.call(name, part) for part in range(CHORD_PARTS)]
            self.runs.append(chord(parts, chaos_tasks.joined.call(name)).send(name))
            self.wanted |= {("part", f"{name}/{part}") for part in range(CHORD_PARTS)}
            self.wanted.add(("joined", f"{name}/{sum(range(CHORD_PARTS))}"))
        for _ in range(share // KEYS):
            for key in range(KEYS):
                chaos_tasks.ordered.with_options(key=f"key-{key}").send(f"key-{key}", self._ordered)
                self.wanted.add(("ordered", f"key-{key}/{self._ordered}"))
            self._ordered += 1
        self.count += len(self.wanted) - before

    def _send_plain(self, count: int) -> None:
        numbers = range(self._plain, self._plain + count)
        self.plain_jobs += chaos_tasks.plain.send_many([(number,) for number in numbers])
        self.wanted |= {("plain", str(number)) for number in numbers}
        self._plain += count
        slow = range(self._slow, self._slow + SLOW_EACH_ROUND)
        chaos_tasks.slow.send_many([(number,) for number in slow])
        self.wanted |= {("slow", str(number)) for number in slow}
        self._slow += SLOW_EACH_ROUND


@pytest.mark.timeout(SECONDS + 3 * _PATIENCE_SECONDS)
def test_everything_runs_though_a_worker_is_killed_every_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = int(os.environ.get("PENSTOCK_FAULT_SEED", 0)) or SystemRandom().randrange(1, 10**9)
    print(f"PENSTOCK_FAULT_SEED={seed}")
    random = Random(seed)
    url = f"sqlite:///{tmp_path}/jobs.db"
    app = chaos_tasks.app
    monkeypatch.setattr(app, "url", url)
    sent, workers = Sent(), Workers(tmp_path, url)
    try:
        for number in range(SECONDS):
            began = time.monotonic()
            sent.send(number, JOBS // SECONDS)
            # amid the work of this round, and sometimes behind it
            time.sleep(random.uniform(0.2, 0.7))
            workers.kill_one(random)
            time.sleep(max(0, began + 1 - time.monotonic()))
        told = _until_all_ran(tmp_path / "told", sent.wanted, app)
    finally:
        workers.stop()
    try:
        _verify(app, sent, told, workers.killed_at)
    finally:
        app.close()
    check_consistency(tmp_path / "jobs.db")


def _until_all_ran(path: Path, wanted: set[tuple[str, str]], app: Penstock) -> list[tuple[str, str, int, float]]:
    """Return what was told once nothing that was sent is left in the queues."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        told = _read(path)
        missing = wanted - {(kind, name) for kind, name, _, _ in told}
        if not missing and not any(_left(app, queue) for queue in ("default", "ordered")):
            return told
        assert time.monotonic() < deadline, f"{len(missing)} have not run: {sorted(missing)[:10]}"
        time.sleep(0.1)


def _read(path: Path) -> list[tuple[str, str, int, float]]:
    lines = (line.split() for line in path.read_text().splitlines())
    return [(kind, name, int(attempt), float(at)) for kind, name, attempt, at in lines]


def _left(app: Penstock, queue: str) -> int:
    counts = app.portal.run(lambda broker: broker.perform(DescribeQueue(queue))).queue.counts  # type: ignore[arg-type]
    return counts.ready + counts.delayed + counts.in_flight


def _verify(app: Penstock, sent: Sent, told: list[tuple[str, str, int, float]], killed_at: list[float]) -> None:
    ran = Counter((kind, name) for kind, name, _, _ in told if kind != "began")
    _joins_fired_once(sent, told)
    _order_is_held(told)
    assert all(job.status() is Status.SUCCEEDED for job in sent.plain_jobs[:: max(1, len(sent.plain_jobs) // 200)])
    assert all(run.status() is Status.SUCCEEDED for run in sent.runs)
    for queue in ("default", "ordered"):
        assert app.parked_keys(queue) == []
    assert app.portal.run(lambda broker: broker.perform(ListGroups("ordered"))).groups == ()  # type: ignore[arg-type]
    for queue in ("default-dead", "ordered-dead"):
        assert _left(app, queue) == 0
    waits = _redelivery_seconds(told, killed_at)
    print(f"{'jobs':<32}{sent.count:>10}")
    print(f"{'kills':<32}{len(killed_at):>10}")
    for kind, count in sorted(Counter(kind for kind, _ in ran).items()):
        twice = sum(times > 1 for (each, _), times in ran.items() if each == kind)
        print(f"{kind:<12}{count:>8} ran{twice:>8} of them more than once")
    print(f"{'redelivered after a kill':<32}{len(waits):>10}")
    assert waits, "kills hit nothing"
    print(f"{'longest until it ran again':<32}{max(waits):>8.2f} s")
    assert max(waits) < LONGEST_REDELIVERY_SECONDS


def _joins_fired_once(sent: Sent, told: list[tuple[str, str, int, float]]) -> None:
    """A join that fired twice would have sent a job of the same id twice: it would begin at its first attempt again."""
    firsts = Counter((kind, name) for kind, name, attempt, _ in told if attempt == 1 and kind in ("joined", "step"))
    doubled = [each for each, times in firsts.items() if times > 1]
    assert not doubled


def _order_is_held(told: list[tuple[str, str, int, float]]) -> None:
    """Repetitions aside, the jobs of a key ran in the order in which they were sent."""
    seen: defaultdict[str, list[int]] = defaultdict(list)
    for kind, name, _, _ in told:
        if kind == "ordered":
            key, _, number = name.partition("/")
            highest = seen[key][-1] if seen[key] else -1
            assert int(number) in (highest, highest + 1), f"{key}: {number} after {highest}"
            seen[key].append(int(number))


def _redelivery_seconds(told: list[tuple[str, str, int, float]], killed_at: list[float]) -> list[float]:
    """Return, for each time a slow job was cut short by a kill, how long from that until it began again."""
    began: defaultdict[str, list[float]] = defaultdict(list)
    for kind, name, _, at in told:
        if kind == "began":
            began[name].append(at)
    waits = []
    for times in began.values():
        for before, after in pairwise(times):
            cut = [kill for kill in killed_at if before <= kill <= after]
            if cut:
                waits.append(after - cut[0])
    return waits
