"""Clients that send, receive and delete until the server is gone, and write down what they know in ledgers."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from time import monotonic
from typing import Any

from tests.faults.ledger import Delivery, Ledger, Message
from tests.faults.sqs_connection import Refused, ServerGone, SqsConnection, queue_url

LEASE_SECONDS = 2
_MOST_AHEAD = 400
"""How many messages may wait before senders let receivers catch up."""


class Sender:
    """Sends to one queue, by singles and batches. In a FIFO queue it has groups of its own.

    What was not answered when the server went is, half of the time, sent again first with the same deduplication id.
    """

    def __init__(self, ledger: Ledger, name: str, random: Random, groups: list[str] | None = None) -> None:
        self._ledger = ledger
        self._name = name
        self._random = random
        self._groups = groups
        self._unanswered: list[Message] = []

    async def run(self, connection: SqsConnection) -> None:
        """Send until the server is gone."""
        again, self._unanswered = self._unanswered, []
        if self._groups is not None and again and self._random.random() < 0.5:
            await self._send(connection, again)
        while True:
            size = self._random.choice((1, 1, 2, 5, 10))
            messages = [self._new() for _ in range(size)]
            await self._send(connection, messages)
            while len(self._ledger.waiting) > _MOST_AHEAD:
                await connection.call("GetQueueAttributes", QueueUrl=queue_url(self._ledger.name))
                await asyncio.sleep(0.01)

    def _new(self) -> Message:
        random = self._random
        length = random.choice((0, 10, 100, 100, 1000, 1000, 20_000))
        filling = "".join(random.choices('abc xyz äß漢€\n"\\<&>', k=min(length, 1000))) * max(1, length // 1000)
        return self._ledger.sending(self._name, filling, random.choice(self._groups) if self._groups else None)

    async def _send(self, connection: SqsConnection, messages: list[Message]) -> None:
        url = queue_url(self._ledger.name)
        self._unanswered = messages
        if len(messages) == 1:
            answer = await connection.call("SendMessage", QueueUrl=url, **_parameters(messages[0]))
            self._note(messages[0], answer)
        else:
            entries = [{"Id": f"e{index}", **_parameters(each)} for index, each in enumerate(messages)]
            answer = await connection.call("SendMessageBatch", QueueUrl=url, Entries=entries)
            assert "Failed" not in answer, answer
            for each in answer["Successful"]:
                self._note(messages[int(each["Id"][1:])], each)
        self._unanswered = []

    def _note(self, message: Message, answer: dict[str, Any]) -> None:
        sequence = answer.get("SequenceNumber")
        self._ledger.sent(message, answer["MessageId"], None if sequence is None else int(sequence))


class Receiver:
    """Receives by long polls and deletes, by singles and batches; a fickle one gives back or holds longer instead."""

    def __init__(self, ledger: Ledger, random: Random, *, is_fickle: bool = False) -> None:
        self._ledger = ledger
        self._random = random
        self._is_fickle = is_fickle

    async def run(self, connection: SqsConnection) -> None:
        """Receive until the server is gone."""
        while True:
            most = 2 if self._is_fickle else self._random.choice((1, 3, 10))
            deliveries = await receive(connection, self._ledger, most)
            if self._is_fickle:
                for delivery in deliveries:
                    await self._change_visibility(connection, delivery)
                await asyncio.sleep(0.02)
            elif self._random.random() < 0.05:
                continue  # forgets what it holds
            elif self._random.random() < 0.5:
                await self._delete_batch(connection, deliveries)
            else:
                for delivery in deliveries:
                    await self._delete(connection, delivery)

    async def _delete(self, connection: SqsConnection, delivery: Delivery) -> None:
        self._ledger.deleting(delivery)
        try:
            await connection.call(
                "DeleteMessage", QueueUrl=queue_url(self._ledger.name), ReceiptHandle=delivery.receipt_handle
            )
        except Refused as refused:
            self._check_late(delivery, refused)
            self._ledger.not_deleted(delivery)
        else:
            self._ledger.deleted(delivery)

    async def _delete_batch(self, connection: SqsConnection, deliveries: list[Delivery]) -> None:
        if not deliveries:
            return
        for delivery in deliveries:
            self._ledger.deleting(delivery)
        entries = [{"Id": str(index), "ReceiptHandle": each.receipt_handle} for index, each in enumerate(deliveries)]
        answer = await connection.call("DeleteMessageBatch", QueueUrl=queue_url(self._ledger.name), Entries=entries)
        for each in answer.get("Successful", ()):
            self._ledger.deleted(deliveries[int(each["Id"])])
        for each in answer.get("Failed", ()):
            self._check_late(deliveries[int(each["Id"])], each)
            self._ledger.not_deleted(deliveries[int(each["Id"])])

    async def _change_visibility(self, connection: SqsConnection, delivery: Delivery) -> None:
        seconds = self._random.choice((0, 0, 1))
        self._ledger.changing_visibility(delivery)
        asked_at = monotonic()
        try:
            await connection.call(
                "ChangeMessageVisibility",
                QueueUrl=queue_url(self._ledger.name),
                ReceiptHandle=delivery.receipt_handle,
                VisibilityTimeout=seconds,
            )
        except Refused as refused:
            self._check_late(delivery, refused)
        else:
            self._ledger.changed_visibility(delivery, asked_at, seconds)

    def _check_late(self, delivery: Delivery, refused: object) -> None:
        """A delivery may be refused when its lease is over, not before."""
        assert monotonic() - delivery.asked_at > LEASE_SECONDS, f"refused in time: {delivery}: {refused}"


async def receive(connection: SqsConnection, ledger: Ledger, most: int) -> list[Delivery]:
    """Receive by a long poll, and write down what came."""
    asked_at = monotonic()
    answer = await connection.call(
        "ReceiveMessage",
        QueueUrl=queue_url(ledger.name),
        MaxNumberOfMessages=most,
        WaitTimeSeconds=1,
        AttributeNames=["All"],
    )
    found = []
    for each in answer.get("Messages", ()):
        told = each["Attributes"]
        sequence = told.get("SequenceNumber")
        number = None if sequence is None else int(sequence)
        found.append(
            (each["MessageId"], each["ReceiptHandle"], each["Body"], int(told["ApproximateReceiveCount"]), number)
        )
    return ledger.received(asked_at, found)


async def until_gone(port: int, work: Callable[[SqsConnection], Awaitable[None]]) -> None:
    """Let a client work on a connection of its own until the server is gone."""
    try:
        connection = await SqsConnection.open(port)
    except ServerGone:
        return
    try:
        await work(connection)
    except ServerGone:
        return
    finally:
        await connection.aclose()


def _parameters(message: Message) -> dict[str, str]:
    if message.group is None:
        return {"MessageBody": message.body}
    return {"MessageBody": message.body, "MessageGroupId": message.group, "MessageDeduplicationId": message.key}
