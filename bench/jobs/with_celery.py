"""Celery on Redis; no results."""

from celery import Celery, group

from bench.jobs import told

app = Celery("bench", broker=told.URL)
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)


@app.task
def noop() -> None:
    told.ran()


@app.task
def stamp(sent_ns: int) -> None:
    told.started(sent_ns)


@app.task
def hang() -> None:
    told.hang()


send = noop.delay
send_stamp = stamp.delay
send_hang = hang.delay


def send_many(count: int) -> None:
    for start in range(0, count, 1000):
        group(noop.s() for _ in range(min(1000, count - start))).apply_async()
