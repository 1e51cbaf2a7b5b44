"""A process that works on a store of its own accord, without a server, and says line by line what it does.

Run as ``python -m tests.faults.worker_process <file> <name> <group>...``. A line is written before something is asked
of the store, and another when it was answered, so that whoever reads them knows as much as a client would when this
process is killed. It ends when it is.
"""

import asyncio
import os
import sys
import time
from itertools import count
from random import Random
from typing import Any

import msgspec
import uvloop

from penstock.broker.local import LocalBroker
from penstock.core.messages import Draft
from penstock.core.operations import DescribeQueue, Receive, Send, Settle
from penstock.core.settlements import Settlement
from penstock.store.sqlite import SqliteStore

PLAIN = "plain"
ORDERED = "ordered"
_MOST_WAITING = 200


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line.

    Attributes:
        at: when, in seconds on the clock that all processes of a machine share.
        owner: name of the process that says it.
        queue: about which.
        what: ``sending``, ``sent``, ``received``, ``deleting`` or ``deleted``.
        key, body, group, message_id, sequence: of a message.
        asked_at: when a receive began.
        lease_seconds: what it asked for, unless that was the queue's.
        deliveries: (message id, receipt handle, body, receive count, sequence number) each.
        receipt_handle: of what is deleted.
        outcome: of a settlement.
    """

    at: float
    owner: str
    queue: str
    what: str
    key: str = ""
    body: str = ""
    group: str | None = None
    message_id: str = ""
    sequence: int = 0
    asked_at: float = 0
    lease_seconds: float | None = None
    deliveries: tuple[tuple[str, str, str, int, int], ...] = ()
    receipt_handle: str = ""
    outcome: str = ""


class Worker:
    """Sends, receives and deletes on one broker, and writes lines.

    Args:
        broker: on the store.
        name: of this process; also the owner of its leases.
        groups: message groups to which nobody else sends.
    """

    def __init__(self, broker: LocalBroker, name: str, groups: list[str]) -> None:
        self._broker = broker
        self._name = name
        self._groups = groups
        self._random = Random(name)
        self._numbers = count()

    async def run(self) -> None:
        """Work until the process is killed."""
        receivers = [self._receive(queue) for queue in (PLAIN, PLAIN, ORDERED, ORDERED)]
        late = [self._receive(queue, lease_seconds=0.05) for queue in (PLAIN, ORDERED)]
        await asyncio.gather(self._send(PLAIN), self._send(ORDERED), *receivers, *late)

    async def _send(self, queue: str) -> None:
        while True:
            keys = [f"{self._name}-{next(self._numbers)}" for _ in range(self._random.choice((1, 3, 10)))]
            drafts = [self._draft(queue, key) for key in keys]
            for key, draft in zip(keys, drafts, strict=True):
                self._say(queue, "sending", key=key, body=draft.body, group=draft.group_id)
            reply = await self._broker.perform(Send(queue, tuple(drafts)))
            for key, sent in zip(keys, reply.outcomes, strict=True):
                self._say(queue, "sent", key=key, message_id=sent.message_id, sequence=sent.sequence_number)
            counts = (await self._broker.perform(DescribeQueue(queue))).queue.counts
            while counts.ready > _MOST_WAITING:
                await asyncio.sleep(0.01)
                counts = (await self._broker.perform(DescribeQueue(queue))).queue.counts

    def _draft(self, queue: str, key: str) -> Draft:
        body = f"{key}|{'x' * self._random.choice((0, 10, 100, 1000))}"
        if queue == PLAIN:
            return Draft(body)
        return Draft(body, group_id=self._random.choice(self._groups), deduplication_id=key)

    async def _receive(self, queue: str, lease_seconds: float | None = None) -> None:
        """Receive and delete; those with a lease of their own do so when it is over, and somebody else may have it."""
        while True:
            asked_at = time.monotonic()
            most = self._random.choice((1, 3, 10))
            reply = await self._broker.perform(
                Receive(queue, most, wait_seconds=1, visibility_timeout_seconds=lease_seconds, owner=self._name)
            )
            deliveries = tuple(
                (each.message_id, each.receipt_handle, each.body, each.receive_count, each.sequence_number)
                for each in reply.deliveries
            )
            self._say(queue, "received", asked_at=asked_at, deliveries=deliveries, lease_seconds=lease_seconds)
            if lease_seconds is not None:
                await asyncio.sleep(1.5 * lease_seconds)
            for each in reply.deliveries:
                await asyncio.sleep(0)
                self._say(queue, "deleting", receipt_handle=each.receipt_handle)
                settled = await self._broker.perform(Settle((Settlement(queue, each.receipt_handle, is_fenced=True),)))
                self._say(queue, "deleted", receipt_handle=each.receipt_handle, outcome=settled.outcomes[0].result)

    def _say(self, queue: str, what: str, **more: Any) -> None:
        line = msgspec.json.encode(Line(time.monotonic(), self._name, queue, what, **more)) + b"\n"
        while line:
            line = line[os.write(1, line) :]


async def _work(path: str, name: str, groups: list[str]) -> None:
    await Worker(LocalBroker(await SqliteStore.open(path)), name, groups).run()


if __name__ == "__main__":
    uvloop.run(_work(sys.argv[1], sys.argv[2], sys.argv[3:]))
