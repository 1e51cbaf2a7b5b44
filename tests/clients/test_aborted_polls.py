"""Clients that hang up in the middle of a long poll, at the worst moment: at once."""

import http.client
import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.clients.served import PATIENCE_SECONDS, Served

ABORTED_COUNT = 20


def test_a_long_poll_that_is_aborted_at_once_takes_no_message(served: Served, named: Callable[[str], str]) -> None:
    address = urlsplit(served.url)
    connection = http.client.HTTPConnection(address.netloc, timeout=PATIENCE_SECONDS)
    connection.connect()
    assert connection.sock is not None
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    headers = {"Content-Type": "application/x-amz-json-1.0"}

    def call(action: str, **parameters: Any) -> dict[str, Any]:
        # not by an SDK, which would take so long to make a request that the worst moment is over
        connection.request("POST", "/", json.dumps(parameters), {**headers, "X-Amz-Target": f"AmazonSQS.{action}"})
        found = connection.getresponse().read()
        return dict(json.loads(found)) if found else {}

    counts = []
    for number in range(ABORTED_COUNT):
        url = call("CreateQueue", QueueName=named(str(number)))["QueueUrl"]
        body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20})
        head = (
            f"POST / HTTP/1.1\r\nHost: {address.netloc}\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
            f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((address.hostname, address.port), PATIENCE_SECONDS) as poll:
            poll.sendall((head + body).encode())
        call("SendMessage", QueueUrl=url, MessageBody="kept")
        asked = {"QueueUrl": url, "MessageSystemAttributeNames": ["ApproximateReceiveCount"]}
        found = call("ReceiveMessage", **asked).get("Messages", [])
        counts.append([each["Attributes"]["ApproximateReceiveCount"] for each in found])
    connection.close()
    assert counts == [["1"]] * ABORTED_COUNT
