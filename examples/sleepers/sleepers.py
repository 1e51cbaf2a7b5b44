"""Workers that sleep: fill a queue with naps, drain it, tell who slept how long."""

import argparse
import os
import random
import subprocess
import threading
import time
from collections import defaultdict

from penstock import Job, Penstock

app = Penstock(os.environ.get("PENSTOCK_URL", "sqlite:///sleepers.db"))


@app.task(queue="naps", runs_in="thread")
def sleep(milliseconds: int) -> tuple[str, float]:
    """Take a nap; return who slept, and for how many seconds."""
    began = time.perf_counter()
    time.sleep(milliseconds / 1000)
    return threading.current_thread().name, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=100, help="how many naps are put into the queue")
    parser.add_argument("--workers", type=int, default=5, help="how many workers drain it")
    chosen = parser.parse_args()
    jobs = sleep.send_many([(random.randint(10, 60),) for _ in range(chosen.iterations)])
    began = time.perf_counter()
    drain = ["penstock", "work", "sleepers:app", "--queues", "naps", "--slots", str(chosen.workers), "--burst"]
    subprocess.run([*drain, "--log-level", "warning"], check=True)
    print_table(jobs, time.perf_counter() - began)
    app.close()


def print_table(jobs: list[Job[tuple[str, float]]], seconds: float) -> None:
    naps: defaultdict[str, list[float]] = defaultdict(list)
    for job in jobs:
        name, slept = job.result(0)
        naps[name].append(slept)
    print("Worker    Naps   Total time slept")
    for number, name in enumerate(sorted(naps, key=lambda name: (len(name), name)), 1):
        print(f"{number:<8}{len(naps[name]):6}{sum(naps[name]):16.3f} s")
    total = sum(map(sum, naps.values()))
    print(f"{'All':<8}{len(jobs):6}{total:16.3f} s   in {seconds:.1f} s")


if __name__ == "__main__":
    main()
