"""Dramatiq on Redis."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.jobs import told

dramatiq.set_broker(RedisBroker(url=told.URL))


@dramatiq.actor
def noop() -> None:
    told.ran()


@dramatiq.actor
def stamp(sent_ns: int) -> None:
    told.started(sent_ns)


@dramatiq.actor
def hang() -> None:
    told.hang()


send = noop.send
send_stamp = stamp.send
send_hang = hang.send


def send_many(count: int) -> None:
    dramatiq.group(noop.message() for _ in range(count)).run()
