"""``penstock bench``: how much a server does, beside a floor that only answers, in the same run by the same client."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median
from typing import Annotated
from uuid import uuid4

import typer
from msgspec import Struct

from penstock.cli.bench_load import Load, Ticking, Turn, constants
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answers, Tinted, note, print_table, progress, say
from penstock.cli.target import KeyPair
from penstock.cli.times import duration
from penstock.core.errors import PenstockError
from penstock.core.operations import CreateQueue, DeleteQueue
from penstock.core.queues import QueueChanges

ROUNDS = 3
TURNS = 4
GOOD = 0.4
POOR = 0.15
"""Parts of the floor's rate. A server with a disk of its own and the default durability reaches the upper one."""

app = CommandGroup()


class FloorMissing(PenstockError):
    """The floor cannot run on this machine."""

    code = "floor_missing"
    fault = "caller"


class Phase(Struct, frozen=True):
    """What was measured of one kind of load: medians of the rounds. ``of_floor``: messages for each request that the
    floor answers, or for each pair of them."""

    name: str
    messages_per_second: float
    p50_ms: float
    p99_ms: float
    floor_per_second: float
    of_floor: float


class Measured(Struct, frozen=True):
    """All that was measured. ``verdict``: good, fair or poor, by the lesser of the parts of the floor."""

    url: str
    seconds: float
    connections: int
    batch: int
    phases: tuple[Phase, ...]
    verdict: str


@app.command("bench")
def bench(
    url: Annotated[str, typer.Argument(metavar="URL", help="Server to load.", show_default=False)],
    answer: Answers,
    key: KeyPair = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=duration, help="How long in all. [default: 12]")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Send at most so many messages.")] = 200_000,
    connections: Annotated[int, typer.Option(min=1, max=512, help="How many at once.")] = 32,
    batch: Annotated[int, typer.Option(min=1, max=100, help="Messages in a request.")] = 1,
    at_least: Annotated[
        float | None,
        typer.Option(min=0, metavar="PART", help="Fail below this part of the floor."),
    ] = None,
) -> None:
    """Load a server and say what it does, beside a floor that only answers: rates, latencies, a verdict.

    It makes a queue of its own and deletes it. The floor is the server's own way with connections, answering constants,
    on this machine; both take turns with the same client, so that a busy machine is as hard for one as for the other.
    """
    try:
        import uvloop

        import penstock.server.listener  # noqa: F401
    except ModuleNotFoundError as error:
        raise FloorMissing(f"{error.name} is not installed.", hint="pip install 'penstock[server]'.") from None
    plan = Plan(url, key, seconds or 12, count, connections, batch)
    if not answer.is_json:
        note(f"{url}: {connections} connections, {batch} messages of 128 bytes a request, {plan.seconds:g} s in all")
    try:
        measured = uvloop.run(plan.run())
    except* PenstockError as errors:
        raise errors.exceptions[0] from None
    answer(measured, lambda: _print(measured))
    if at_least is not None and any(each.of_floor < at_least for each in measured.phases):
        raise typer.Exit(1)


class Plan(Struct, frozen=True):
    """What to do."""

    url: str
    key: str | None
    seconds: float
    count: int
    connections: int
    batch: int

    async def run(self) -> Measured:
        """Make a queue, load it and the floor in turns, delete it."""
        from penstock.client.http import HttpBroker

        queue = f"penstock-bench-{uuid4().hex[:8]}"
        broker = HttpBroker(self.url, token=self.key)
        try:
            await broker.perform(CreateQueue(queue, QueueChanges(retention_seconds=3600)))
            try:
                async with _floor(constants(queue, self.batch)) as floor_url:
                    phases = await self._measure(floor_url, queue)
            finally:
                await broker.perform(DeleteQueue(queue))
        finally:
            await broker.aclose()
        least = min(each.of_floor for each in phases)
        verdict = "good" if least >= GOOD else "fair" if least >= POOR else "poor"
        return Measured(self.url, self.seconds, self.connections, self.batch, phases, verdict)

    async def _measure(self, floor_url: str, queue: str) -> tuple[Phase, ...]:
        floor = Load(floor_url, None, queue, self.connections, self.batch)
        server = Load(self.url, self.key, queue, self.connections, self.batch)
        seconds, most = self.seconds / (ROUNDS * TURNS), max(self.batch, self.count // ROUNDS)
        sent: list[tuple[Turn, Turn]] = []
        taken: list[tuple[Turn, Turn]] = []
        turns: tuple[tuple[str, Callable[[Ticking], Awaitable[Turn]]], ...] = (
            ("floor, send", lambda tick: floor.send(seconds, most, tick)),
            ("send", lambda tick: server.send(seconds, most, tick)),
            ("floor, receive and delete", lambda tick: floor.take(seconds, most, tick)),
            ("receive and delete", lambda tick: server.take(seconds, most, tick)),
        )
        try:
            with progress("Connecting", self.seconds) as shown:
                for number in range(ROUNDS):
                    begun = seconds * TURNS * number
                    done = [
                        await _watched(name, turn, begun + at * seconds, shown) for at, (name, turn) in enumerate(turns)
                    ]
                    sent.append((done[0], done[1]))
                    taken.append((done[2], done[3]))
        finally:
            floor.close()
            server.close()
        return _phase("send", sent, self.batch), _phase("receive and delete", taken, self.batch)


async def _watched(
    name: str, turn: Callable[[Ticking], Awaitable[Turn]], begun_seconds: float, shown: Callable[..., None]
) -> Turn:
    """Let a turn take place, and tell meanwhile how it goes."""
    clock = asyncio.get_running_loop().time
    began = told = clock()
    total = 0

    def tick(count: int) -> None:
        nonlocal total, told
        total += count
        now = clock()
        if now - told >= 0.1:
            told = now
            shown(begun_seconds + now - began, f"{name}: {total / (now - began):,.0f}/s")

    return await turn(tick)


def _phase(name: str, rounds: list[tuple[Turn, Turn]], batch: int) -> Phase:
    return Phase(
        name,
        round(median(server.messages_per_second for _, server in rounds), 1),
        round(median(server.percentile(50) for _, server in rounds), 2),
        round(median(server.percentile(99) for _, server in rounds), 2),
        round(median(floor.messages_per_second / batch for floor, _ in rounds), 1),
        round(
            median(batch * server.messages_per_second / max(1, floor.messages_per_second) for floor, server in rounds),
            2,
        ),
    )


@asynccontextmanager
async def _floor(answers: dict[str, str]) -> AsyncIterator[str]:
    """Run the floor; it ends when its standard input does, whatever becomes of this process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "penstock.cli.bench_floor"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(answers).encode() + b"\n")
        port = int(await process.stdout.readline() or 0)
        if not port:
            raise FloorMissing("The floor did not start.", hint="What it said is above.")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        await process.wait()


def _print(measured: Measured) -> None:
    columns = ("", "Messages/s", "p50 ms", "p99 ms", "Floor/s", "Of the floor")
    rows = [
        (
            each.name,
            f"{each.messages_per_second:,.0f}",
            f"{each.p50_ms:.2f}",
            f"{each.p99_ms:.2f}",
            f"{each.floor_per_second:,.0f}",
            Tinted(f"{each.of_floor:.0%}", _colour(each.of_floor)),
        )
        for each in measured.phases
    ]
    print_table(columns, rows, numbers=columns[1:])
    said = {
        "good": "it does what can be expected of one process and its store.",
        "fair": "something takes its time: the disk, the store's server, the network, or others on the machine.",
        "poor": "most of the time is spent waiting. Look at the disk (fsync), the network to the store, or signatures.",
    }
    say(f"Verdict: {measured.verdict}: {said[measured.verdict]}")


def _colour(of_floor: float) -> str:
    return "green" if of_floor >= GOOD else "yellow" if of_floor >= POOR else "red"
