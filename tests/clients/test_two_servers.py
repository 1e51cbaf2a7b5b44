"""Two servers on one store, as behind a load balancer: it does not matter which of them a client reaches."""

import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest

from tests.clients.served import PATIENCE_SECONDS, serving, until_it_waits
from tests.support.redis_server import shared_server


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_it_does_not_matter_which_server_a_client_reaches(folder: Path, kind: str) -> None:
    store = f"sqlite:///{folder}/penstock.db"
    if kind == "redis":
        store = f"{shared_server().url}?tag={quote(str(folder), safe='')}"
    with serving(folder / "one", "--store", store) as one, serving(folder / "two", "--store", store) as two:
        first, second = boto3.client("sqs", **one.arguments()), boto3.client("sqs", **two.arguments())
        url = first.create_queue(QueueName="orders")["QueueUrl"]
        received: list[dict[str, Any]] = []

        def poll() -> None:
            received.extend(second.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"])

        waiting = two.waiting_count()
        polling = threading.Thread(target=poll)
        polling.start()
        until_it_waits(two, waiting)
        first.send_message(QueueUrl=url, MessageBody="hello")
        # well before its long poll would end: the other server is told
        polling.join(PATIENCE_SECONDS / 3)
        assert [message["Body"] for message in received] == ["hello"]
        assert "Messages" not in first.receive_message(QueueUrl=url), "what one server leased, the other keeps back"
        first.delete_message(QueueUrl=url, ReceiptHandle=received[0]["ReceiptHandle"])
        assert one.message_count("orders") == two.message_count("orders") == 0
        first.close()
        second.close()
