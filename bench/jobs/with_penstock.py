"""Penstock: the store's own durable default, or a server."""

from bench.jobs import told
from penstock import Penstock

app = Penstock(told.URL or "memory://", result_seconds=told.RESULT_SECONDS)


@app.task
async def noop() -> None:
    told.ran()


@app.task
def noop_in_thread() -> None:
    told.ran()


@app.task
async def stamp(sent_ns: int) -> None:
    told.started(sent_ns)


@app.task
def hang() -> None:
    told.hang()


send = noop.send
send_stamp = stamp.send
send_hang = hang.send


def send_many(count: int) -> None:
    for start in range(0, count, 1000):
        noop.send_many([()] * min(1000, count - start))


def send_many_in_threads(count: int) -> None:
    noop_in_thread.send_many([()] * count)
