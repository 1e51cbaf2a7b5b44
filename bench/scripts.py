"""What a connection of the load client does, as generators: they yield a request and are sent the body of the answer.

A script adds to its tally what has been done. One that returns has nothing left to do.
"""

import re
from collections.abc import Callable, Generator
from itertools import count
from random import Random
from typing import Any

from bench.requests import BODY, Template, encode

GROUPS = 10_000
_HANDLE_LENGTH = 40
_HANDLE = re.compile(rb'"ReceiptHandle":\s*"([^"]+)"')
_HOLE = b"@" * 12

Script = Generator[bytes, bytes, None]


class Tally:
    """What all connections together have done.

    Args:
        wanted: how many messages make ``fill`` stop.

    Attributes:
        messages: went through what the scenario is about.
        handles: of deliveries held, for scenarios that delete what was received before.
    """

    def __init__(self, wanted: int = 0) -> None:
        self.wanted = wanted
        self.messages = 0
        self.handles: list[bytes] = []


class Target:
    """Where a scenario takes place.

    Args:
        port: of the server.
        queue_url: the queue.
        is_fifo: messages get one of ``GROUPS`` groups and a deduplication id.
        is_signed: requests are signed.
        first_number: of the deduplication ids; two clients of one queue need different ones.
    """

    def __init__(
        self, port: int, queue_url: str, *, is_fifo: bool = False, is_signed: bool = False, first_number: int = 0
    ) -> None:
        self.port = port
        self._queue_url = queue_url
        self._is_fifo = is_fifo
        self._is_signed = is_signed
        self._numbers = count(first_number)
        self._random = Random(first_number)

    def request(self, action: str, **parameters: Any) -> bytes:
        """Return a request about the queue."""
        return encode(self.port, action, is_signed=self._is_signed, QueueUrl=self._queue_url, **parameters)

    def sends(self, size: int) -> Callable[[], bytes]:
        """Return what makes requests that send so many messages; by ``SendMessage`` for 1, else by a batch."""
        hole = _HOLE.decode()
        ordered = {"MessageGroupId": hole, "MessageDeduplicationId": hole} if self._is_fifo else {}
        if size == 1:
            request = self.request("SendMessage", MessageBody=BODY, **ordered)
        else:
            entries = [{"Id": str(number), "MessageBody": BODY, **ordered} for number in range(size)]
            request = self.request("SendMessageBatch", Entries=entries)
        if not self._is_fifo:
            return lambda: request
        template = Template(request, _HOLE)

        def fill() -> bytes:
            values = []
            for _ in range(size):
                values += (b"group-%06d" % self._random.randrange(GROUPS), b"%012d" % next(self._numbers))
            return template.fill(*values)

        return fill

    def deletes(self) -> Template:
        """Return the request that deletes one delivery."""
        hole = "@" * _HANDLE_LENGTH
        return Template(self.request("DeleteMessage", ReceiptHandle=hole), hole.encode())

    def delete_batch(self, handles: list[bytes]) -> bytes:
        """Return the request that deletes several deliveries."""
        entries = [{"Id": str(number), "ReceiptHandle": each.decode()} for number, each in enumerate(handles)]
        return self.request("DeleteMessageBatch", Entries=entries)


def send(target: Target, tally: Tally) -> Script:
    """Send by singles."""
    make = target.sends(1)
    while True:
        yield make()
        tally.messages += 1


def send_batch(target: Target, tally: Tally) -> Script:
    """Send by batches of 10."""
    make = target.sends(10)
    while True:
        yield make()
        tally.messages += 10


def fill(target: Target, tally: Tally) -> Script:
    """Send by tens until there are as many as wanted."""
    make = target.sends(10)
    while tally.messages < tally.wanted:
        tally.messages += 10
        yield make()


def receive(target: Target, tally: Tally) -> Script:
    """Receive by singles, and keep."""
    request = target.request("ReceiveMessage", VisibilityTimeout=3600)
    while True:
        body = yield request
        tally.messages += len(_HANDLE.findall(body))


def receive_one(target: Target, tally: Tally) -> Script:
    """Receive one message."""
    yield target.request("ReceiveMessage", VisibilityTimeout=0)
    tally.messages += 1


def collect(target: Target, tally: Tally) -> Script:
    """Receive by tens and keep the receipt handles, until there is nothing left."""
    request = target.request("ReceiveMessage", MaxNumberOfMessages=10, VisibilityTimeout=3600)
    while True:
        found = _HANDLE.findall((yield request))
        if not found:
            return
        tally.handles += found


def delete(target: Target, tally: Tally) -> Script:
    """Delete by singles what was collected."""
    template = target.deletes()
    while tally.handles:
        yield template.fill(tally.handles.pop())
        tally.messages += 1


def cycle(target: Target, tally: Tally) -> Script:
    """Send, receive and delete by singles."""
    make = target.sends(1)
    request = target.request("ReceiveMessage")
    template = target.deletes()
    while True:
        yield make()
        found: list[bytes] = []
        while not found:
            found = _HANDLE.findall((yield request))
        yield template.fill(found[0])
        tally.messages += 1


def cycle_batch(target: Target, tally: Tally) -> Script:
    """Send, receive and delete by tens."""
    make = target.sends(10)
    request = target.request("ReceiveMessage", MaxNumberOfMessages=10)
    while True:
        yield make()
        found: list[bytes] = []
        while not found:
            found = _HANDLE.findall((yield request))
        yield target.delete_batch(found)
        tally.messages += len(found)


def wait(target: Target, tally: Tally) -> Script:
    """Wait for messages by long polls."""
    request = target.request("ReceiveMessage", WaitTimeSeconds=20)
    while True:
        yield request


SCRIPTS: dict[str, Callable[[Target, Tally], Script]] = {
    script.__name__: script
    for script in (send, send_batch, fill, receive, receive_one, collect, delete, cycle, cycle_batch, wait)
}
