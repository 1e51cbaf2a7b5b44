"""How long the console's questions take with many queues and messages, and what an open page costs those who work.

    python bench/console.py --queues 1000 --messages 1000000

The server is a process of its own on a SQLite file. The load is rounds of send, receive and settle on one connection;
its cost is the CPU time of the server per round, with and without pages that are open, in turns.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from penstock.client.http import HttpBroker
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, Receive, Send, Settle
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.core.settlements import Settlement

START = "from penstock.cli.main import main; main()"
AT_ONCE = 1000
TIMES = 7
ROUND_MESSAGES = 10

QUESTIONS = {
    "overview (first event)": "overview?sort=ready&is_descending=true",
    "queue (first figures)": "queue?queue=queue-0000",
    "messages": "messages?queue=queue-0000",
    "messages, none matches": "messages?queue=queue-0000&text=nothing-like-it",
    "messages, JSON path": "messages?queue=queue-0000&json_path=n&json_value=900",
    "count": "count?queue=queue-0000&text=nothing-like-it",
    "causes": "causes?queue=dead",
    "jobs, running": "jobs?status=running",
    "jobs, failed": "jobs?status=failed",
    "workflows": "workflows",
}


async def fill(broker: HttpBroker, queues: int, messages: int) -> None:
    """Half of the messages in one queue, the others in all."""
    await broker.perform(CreateQueue("dead"))
    for number in range(queues - 1):
        changes = QueueChanges(redrive=RedrivePolicy("dead", 3))
        await broker.perform(CreateQueue(f"queue-{number:04}", changes))

    async def send(queue: str, count: int) -> None:
        while count > 0:
            drafts = tuple(Draft(f'{{"n": {n}, "text": "{"x" * 60}"}}') for n in range(min(AT_ONCE, count)))
            await broker.perform(Send(queue, drafts))
            count -= AT_ONCE

    share = messages // 2 // queues
    await asyncio.gather(send("queue-0000", messages // 4), send("queue-0000", messages // 4))
    await send("dead", share)
    for number in range(queues - 1):
        await send(f"queue-{number:04}", share)


async def ask(http: httpx.AsyncClient, question: str) -> float:
    """Return the seconds until there is something to show."""
    began = time.perf_counter()
    wanted = b"event: queue" if question.startswith("queue?") else b""
    async with http.stream("GET", f"/console/api/{question}") as answer:
        assert answer.status_code == 200, await answer.aread()
        seen = b""
        async for part in answer.aiter_bytes():
            seen += part
            if answer.headers["content-type"] == "text/event-stream" and wanted in seen:
                break
    return time.perf_counter() - began


async def work(broker: HttpBroker, seconds: float) -> int:
    """Send, receive and settle for a while; return how many rounds."""
    until = time.perf_counter() + seconds
    rounds = 0
    while time.perf_counter() < until:
        await broker.perform(Send("busy", (Draft("x" * 200),) * ROUND_MESSAGES))
        taken = (await broker.perform(Receive("busy", ROUND_MESSAGES))).deliveries
        await broker.perform(Settle(tuple(Settlement("busy", each.receipt_handle) for each in taken)))
        rounds += 1
    return rounds


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def watch(http: httpx.AsyncClient) -> None:
    """Be an open page: the overview and the busy queue."""

    async def follow(question: str) -> None:
        while True:
            async with http.stream("GET", f"/console/api/{question}") as answer:
                async for _ in answer.aiter_bytes():
                    pass

    await asyncio.gather(follow("overview"), follow("queue?queue=busy"))


async def measure(url: str, pid: int, options: argparse.Namespace) -> None:
    broker = HttpBroker(url)
    if not options.keep or not options.keep.exists() or options.fill:
        await fill(broker, options.queues, options.messages)
    if options.fill:
        await broker.aclose()
        return
    await broker.perform(CreateQueue("busy"))
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        began = time.perf_counter()
        await http.get("/console/")
        print(f"first byte of the page {1000 * (time.perf_counter() - began):8.1f} ms")
        for name, question in QUESTIONS.items():
            taken = [await ask(http, question) for _ in range(TIMES)]
            print(f"{name:26} median {1000 * statistics.median(taken):7.1f} ms, most {1000 * max(taken):7.1f} ms")
        costs: dict[bool, list[float]] = {False: [], True: []}
        for is_watched in (False, True) * options.turns:
            watching = asyncio.create_task(watch(http)) if is_watched else None
            await work(broker, 0.5)
            before = cpu_seconds(pid)
            rounds = await work(broker, options.seconds)
            costs[is_watched].append((cpu_seconds(pid) - before) / rounds)
            if watching is not None:
                watching.cancel()
        quiet, watched = (statistics.median(costs[each]) for each in (False, True))
        print(f"CPU per round: {1e6 * quiet:.0f} µs alone, {1e6 * watched:.0f} µs watched: {watched / quiet - 1:+.1%}")
    await broker.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queues", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a store file that is filled once and used again")
    parser.add_argument("--fill", action="store_true", help="only fill it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = options.keep or Path(folder) / "console.db"
        command = [sys.executable, "-c", START, "serve", "--port", "0", "--store", f"sqlite:///{file}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            asyncio.run(measure(url, process.pid, options))
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
