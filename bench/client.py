"""The load client: many persistent connections in a process of its own, each following a script.

Run as ``python -m bench.client``, with a plan as JSON on standard input and the figures as JSON on standard output. It
looks at no more of an answer than its status and length, so that most of the machine is left to the server.
"""

import asyncio
import json
import sys
from time import perf_counter, process_time
from typing import Any

import msgspec
import uvloop
from msgspec import Struct

from bench.requests import encode
from bench.scripts import SCRIPTS, Script, Tally, Target

_MOST_SECONDS = 120
_PREPARING_CONNECTIONS = 16


class Plan(Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        port: of the server.
        script: name of what each connection does.
        connections: how many.
        seconds: how long to measure; a script that has nothing left to do ends it sooner.
        warm_up_seconds: how long to work before measuring.
        queue: its name.
        is_queue_there: it need not be created.
        is_fifo, is_signed: see ``Target``.
        fill_count: so many messages are sent before.
        first_number: see ``Target``.
        is_constant: the server is the floor, which knows no queues.
    """

    port: int
    script: str
    connections: int = 32
    seconds: float = 3
    warm_up_seconds: float = 0.5
    queue: str = "bench"
    is_queue_there: bool = False
    is_fifo: bool = False
    is_signed: bool = False
    fill_count: int = 0
    first_number: int = 0
    is_constant: bool = False


class Figures(Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        requests, messages: per second.
        p50_ms, p99_ms: of requests, from sending to answer.
        client_load: processor time of the client as a share of the time.
    """

    requests: float
    messages: float
    p50_ms: float
    p99_ms: float
    client_load: float


class Connection(asyncio.Protocol):
    """One connection at its script.

    Args:
        run: told what happens.
        script: what to do; begun with the connection, unless this one takes the place of another.
        request: of the script, to begin with.
    """

    def __init__(self, run: "Run", script: Script, request: bytes | None = None) -> None:
        self._run = run
        self._script = script
        self._request = request
        self._buffer = b""
        self._sent_at = 0.0
        self._is_last = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        if self._request is None:
            self._go_on(None)
        else:
            self._sent_at = perf_counter()
            transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        head = data[:end].lower()
        at = head.find(b"content-length: ")
        line_end = head.find(b"\r\n", at)
        length = int(head[at + 16 : line_end if line_end > 0 else end])
        if len(data) < end + 4 + length:
            self._buffer = data
            return
        self._buffer = b""
        if data[9:12] != b"200":
            self._run.fail(data[:1000].decode(errors="replace"))
            return
        self._run.times.append(perf_counter() - self._sent_at)
        self._is_last = b"\r\nconnection: close" in head
        self._go_on(data[end + 4 :])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_last:
            self._run.fail("The server closed a connection.")

    def _go_on(self, body: bytes | None) -> None:
        try:
            request = next(self._script) if body is None else self._script.send(body)
        except StopIteration:
            self._run.ended()
            return
        if self._is_last:
            self._run.connect(Connection(self._run, self._script, request))
        else:
            self._sent_at = perf_counter()
            self.transport.write(request)


class Run:
    """All connections of a plan at work."""

    def __init__(self, port: int, tally: Tally, connections: int) -> None:
        self.times: list[float] = []
        self._port = port
        self._tally = tally
        self._connections = connections
        self._working = connections
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()
        self._connecting: set[asyncio.Task[Any]] = set()
        self._is_over = False

    def connect(self, connection: Connection) -> None:
        """Let a connection begin. Some servers want a new one for each request."""
        connecting = self._loop.create_task(
            self._loop.create_connection(lambda: connection, "127.0.0.1", self._port)  # type: ignore[arg-type]
        )
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connected)

    def ended(self) -> None:
        """A script has nothing left to do."""
        self._working -= 1
        if self._working == 0 and not self._done.done():
            self._done.set_result(None)

    def fail(self, message: str) -> None:
        """Nothing measured here can be used."""
        if not self._done.done() and not self._is_over:
            self._done.set_exception(RuntimeError(message))

    async def measure(self, target: Target, script: str, warm_up_seconds: float, seconds: float) -> Figures:
        """Follow a script, and return what happened after the warm-up."""
        for _ in range(self._connections):
            self.connect(Connection(self, SCRIPTS[script](target, self._tally)))
        if warm_up_seconds:
            await asyncio.wait([self._done], timeout=warm_up_seconds)
        first, messages, started, load = len(self.times), self._tally.messages, perf_counter(), process_time()
        await asyncio.wait([self._done], timeout=min(seconds, _MOST_SECONDS))
        elapsed, times = perf_counter() - started, sorted(self.times[first:])
        self._is_over = True
        if self._done.done():
            self._done.result()
        return Figures(
            requests=len(times) / elapsed,
            messages=(self._tally.messages - messages) / elapsed,
            p50_ms=1000 * times[len(times) // 2] if times else 0,
            p99_ms=1000 * times[len(times) * 99 // 100] if times else 0,
            client_load=(process_time() - load) / elapsed,
        )

    def _connected(self, connecting: "asyncio.Task[Any]") -> None:
        self._connecting.discard(connecting)
        if not connecting.cancelled() and connecting.exception() is not None:
            self.fail(f"Cannot connect: {connecting.exception()}")


async def carry_out(plan: Plan) -> Figures:
    """Prepare what the plan needs, then measure."""
    url = f"http://127.0.0.1:{plan.port}/000000000000/{plan.queue}"
    if not plan.is_constant and not plan.is_queue_there:
        url = await create_queue(plan)
    target = Target(plan.port, url, is_fifo=plan.is_fifo, is_signed=plan.is_signed, first_number=plan.first_number)
    tally = Tally()
    if plan.fill_count:
        await _fill(target, plan.fill_count)
    if plan.script == "delete":
        await Run(target.port, tally, _PREPARING_CONNECTIONS).measure(target, "collect", 0, _MOST_SECONDS)
    return await Run(target.port, tally, plan.connections).measure(
        target, plan.script, plan.warm_up_seconds, plan.seconds
    )


async def _fill(target: Target, fill_count: int) -> None:
    tally = Tally(fill_count)
    await Run(target.port, tally, _PREPARING_CONNECTIONS).measure(target, "fill", 0, _MOST_SECONDS)


async def create_queue(plan: Plan) -> str:
    """Create the queue of a plan, as an AWS SDK does; return its URL."""
    attributes = {"FifoQueue": "true"} if plan.is_fifo else {}
    request = encode(plan.port, "CreateQueue", is_signed=plan.is_signed, QueueName=plan.queue, Attributes=attributes)
    reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    body = await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
    writer.transport.abort()
    answer: dict[str, Any] = json.loads(body)
    if "QueueUrl" not in answer:
        raise RuntimeError(answer)
    return str(answer["QueueUrl"])


def main() -> None:
    """Carry out the plan on standard input."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.write(msgspec.json.encode(uvloop.run(carry_out(plan))).decode())


if __name__ == "__main__":
    main()
