"""The load of ``penstock bench``: many connections, one request at a time on each, encoded beforehand."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from statistics import quantiles
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from penstock.client.connection import Answer, ConnectionLost, Pool
from penstock.core.errors import InvalidRequest, StoreUnavailable
from penstock.core.messages import Delivery, Draft
from penstock.core.operations import Operation, Receive, ReceiveReply, Send, SendReply, Sent, Settle, SettleReply
from penstock.core.settlements import Settled, Settlement, SettleOutcome
from penstock.wire.rest import ask, asking, error_in

BODY = "x" * 128
ANSWER_SECONDS = 30.0

Ticking = Callable[[int], None]
"""Told how many messages were done since it was told before."""


class Turn(Struct, frozen=True):
    """What was done in one turn; the latencies, of requests, in ms."""

    seconds: float
    message_count: int
    latencies_ms: Sequence[float]

    @property
    def messages_per_second(self) -> float:
        """The rate."""
        return self.message_count / self.seconds

    def percentile(self, part: int) -> float:
        """Return the latency that so many percent of the requests do not exceed."""
        if len(self.latencies_ms) < 2:
            return self.latencies_ms[0] if self.latencies_ms else 0.0
        return quantiles(self.latencies_ms, n=100, method="inclusive")[part - 1]


class Load:
    """Loads one server.

    Args:
        url: of the server.
        key: proves who we are.
        queue: which queue.
        connections: how many at once.
        batch: how many messages a request carries.
    """

    def __init__(self, url: str, key: str | None, queue: str, connections: int, batch: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidRequest(f"{url!r} is no address of a server.", hint="Write http://host:port.", field="url")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        port = parts.port or (443 if tls else 80)
        self._pool = Pool(parts.hostname, port, tls, connect_seconds=5, most_idle=connections)
        authorization = f"authorization: Bearer {key}\r\n" if key else ""
        host = parts.netloc.rpartition("@")[2]
        self._head = f" HTTP/1.1\r\nhost: {host}\r\n{authorization}content-type: application/json\r\n"
        self._path = parts.path.rstrip("/") + "/v1"
        self._url, self._queue, self._connections, self._batch = url, queue, connections, batch
        self._send = self._request(Send(queue, (Draft(BODY),) * batch))
        self._receive = self._request(receive := Receive(queue, batch, 0))
        self._read = asking(receive).reply

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    async def send(self, seconds: float, most: int, ticking: Ticking) -> Turn:
        """Send for so long, but not more messages than that."""
        left = most

        async def once(latencies: list[float]) -> int:
            nonlocal left
            if left < self._batch:
                return 0
            left -= self._batch
            await self._timed(self._send, latencies)
            ticking(self._batch)
            return self._batch

        return await self._turn(once, seconds)

    async def take(self, seconds: float, most: int, ticking: Ticking) -> Turn:
        """Receive and delete for so long, or until there is nothing more, and not more messages than that."""
        left = most

        async def once(latencies: list[float]) -> int:
            nonlocal left
            if left < self._batch:
                return 0
            left -= self._batch
            deliveries = self._read((await self._timed(self._receive, latencies)).body).deliveries
            if not deliveries:
                return 0
            settlements = tuple(Settlement(self._queue, each.receipt_handle) for each in deliveries)
            await self._timed(self._request(Settle(settlements)), latencies)
            ticking(len(deliveries))
            return len(deliveries)

        return await self._turn(once, seconds)

    async def _turn(self, once: Callable[[list[float]], Awaitable[int]], seconds: float) -> Turn:
        latencies: list[float] = []
        count = 0
        began = perf_counter()

        async def go_on() -> None:
            nonlocal count
            while perf_counter() - began < seconds and (done := await once(latencies)):
                count += done

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._connections):
                    group.create_task(go_on())
        except* (ConnectionLost, OSError, TimeoutError):
            raise StoreUnavailable(f"The connection to {self._url} broke.", hint="Does the server still run?") from None
        return Turn(max(1e-9, perf_counter() - began), count, latencies)

    async def _timed(self, request: bytes, latencies: list[float]) -> Answer:
        connection = await self._pool.take(ANSWER_SECONDS)
        began = perf_counter()
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await connection.ask(request)
        latencies.append((perf_counter() - began) * 1000)
        self._pool.give_back(connection)
        if answer.status >= 300:
            raise error_in(answer.status, answer.body)
        return answer

    def _request(self, operation: Operation[Any]) -> bytes:
        asked = ask(operation)
        head = f"{asked.method} {self._path}{asked.target}{self._head}content-length: {len(asked.body)}\r\n\r\n"
        return head.encode() + asked.body


def constants(queue: str, batch: int) -> dict[str, str]:
    """Return what a server that only pretends would answer, by the last part of the path."""
    import msgspec

    message_id = "00000000-0000-7000-8000-000000000000"
    delivery = Delivery(message_id, "0" * 60, BODY, 1, 1, 1, 1, 1)
    answers = {
        "messages": SendReply((Sent(message_id, 1),) * batch),
        "receive": ReceiveReply((delivery,) * batch),
        "settle": SettleReply((SettleOutcome(Settled.DONE, message_id),) * batch),
    }
    return {name: msgspec.json.encode(answer).decode() for name, answer in answers.items()}
