"""RQ on Redis; no results."""

from redis import Redis
from rq import Queue

from bench.jobs import told

queue = Queue(connection=Redis.from_url(told.URL or "redis://"))


def send() -> None:
    queue.enqueue(told.ran, result_ttl=0)


def send_stamp(sent_ns: int) -> None:
    queue.enqueue(told.started, sent_ns, result_ttl=0)


def send_hang() -> None:
    from rq import Retry

    queue.enqueue(told.hang, retry=Retry(max=3), job_timeout=600)


def send_many(count: int) -> None:
    for start in range(0, count, 1000):
        queue.enqueue_many([Queue.prepare_data(told.ran, result_ttl=0) for _ in range(min(1000, count - start))])
