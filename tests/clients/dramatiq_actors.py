"""Dramatiq actors as people write them; their worker is started by the test. Results go to a file, a line each."""

import os
from pathlib import Path

import dramatiq
from dramatiq.middleware import AgeLimit, Callbacks, Pipelines, Retries, ShutdownNotifications, TimeLimit
from dramatiq_sqs import SQSBroker

NAMESPACE = "dramatiq"
QUEUE = "work"

# endpoint, region and keys come from the environment, as for every boto3 client
broker = SQSBroker(
    namespace=NAMESPACE,
    dead_letter=True,
    tags={"team": "blue"},
    middleware=[
        AgeLimit(),
        TimeLimit(),
        ShutdownNotifications(),
        Callbacks(),
        Pipelines(),
        Retries(min_backoff=100, max_backoff=200),
    ],
)
dramatiq.set_broker(broker)


def record(*words: object) -> None:
    """Write a line that survives the process."""
    with (Path(os.environ["RECORDS_FOLDER"]) / "records").open("ab", buffering=0) as file:
        file.write(" ".join(str(word) for word in words).encode() + b"\n")


@dramatiq.actor(queue_name=QUEUE)
def add(one: int, other: int) -> None:
    record("sum", one + other)


@dramatiq.actor(queue_name=QUEUE, max_retries=1)
def unreliable() -> None:
    record("attempt")
    raise ConnectionError("never")
