"""A, then B, then C: each with what the one before returned; and C is not run when B has failed."""

import os
import subprocess
import sys

from penstock import Backoff, JobFailed, Penstock, chain

app = Penstock(os.environ.get("PENSTOCK_URL", "sqlite:///sequence.db"))


@app.task
def gather() -> str:
    return "gathered"


@app.task(max_attempts=3, backoff=Backoff(first_seconds=0.1, factor=2))
def sort(goods: str, fails: bool) -> str:
    if fails:
        raise ValueError("B cannot sort today")
    return f"{goods}, sorted"


@app.task
def deliver(goods: str) -> str:
    return f"{goods}, delivered"


def main() -> None:
    run = chain(gather.call(), sort.call(fails="--fails" in sys.argv), deliver.call()).send()
    worker = subprocess.Popen(["penstock", "work", "sequence:app", "--log-level", "error"])
    try:
        run.result(30)
    except JobFailed:
        pass
    finally:
        worker.terminate()
        worker.wait()
    for name, view in zip("ABC", run.look().nodes.values(), strict=True):
        record = view.record
        assert record is not None
        said = record.failure or app.decode_result(record.task, record.result)
        print(f"{name}  {view.status:<9}  {said}")
    app.close()


if __name__ == "__main__":
    main()
