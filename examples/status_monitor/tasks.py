"""The tasks: work that takes a while, and now and then fails at first."""

import os
import time

from penstock import Backoff, Penstock, Retry, current_job

app = Penstock(os.environ.get("PENSTOCK_URL", "sqlite:///tasks.db"))


@app.task(backoff=Backoff(first_seconds=0.5))
def work(number: int, seconds: float) -> None:
    job = current_job()
    steps = 10
    for step in range(steps):
        time.sleep(seconds / steps)
        job.progress(step + 1, steps)
        if number % 10 == 0 and job.attempt == 1 and step == steps // 2:
            raise Retry("not at the first time")
