"""The console with very many queues and messages: how long its questions take, how soon a page can be used, and what an
open page costs those who work.

The cost is the server's processor time for a round of send, receive and settle on one connection, with pages that are
open and without, in turns. ``python -m bench.console URL`` measures on the store of a URL instead of a file.
"""

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from bench.figures import Figure, figure_of, show
from bench.measuring import FULL, Pace
from bench.servers import BUILD, ServerProcess, start_penstock
from penstock.client.http import HttpBroker
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, ListQueues, Receive, Send, Settle
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.core.settlements import Settlement

QUEUES = 1000
AT_ONCE = 1000
TIMES = 7
ROUND_MESSAGES = 10
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

MOST_MS = "<= 300"
QUESTIONS = {
    "the overview, first figures": "overview?sort=ready&is_descending=true",
    "a queue, first figures": "queue?queue=queue-0000",
    "messages": "messages?queue=queue-0000",
    "messages by a text that none has, a part": "messages?queue=queue-0000&text=nothing-like-it",
    "messages by JSON path that few have, a part": "messages?queue=queue-0000&json_path=n&json_value=90000",
    "messages in flight": "messages?queue=queue-0000&state=in_flight",
    "messages by receive count, a part": "messages?queue=queue-0000&min_receive_count=1",
    "a count, a part": "count?queue=queue-0000&text=nothing-like-it",
    "causes of dead letters": "causes?queue=dead",
    "causes, of very many": "causes?queue=queue-0000",
    "jobs that run": "jobs?status=running",
    "jobs that are retried": "jobs?status=retrying",
    "jobs that failed": "jobs?status=failed",
    "schedules": "schedules",
    "workflows": "workflows",
}


def console(pace: Pace) -> list[Figure]:
    """Measure on a file with a thousand queues, filled once."""
    kept = BUILD / "filled" / f"console-{pace.waiting}.db"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        new = kept.with_suffix(".new")
        new.unlink(missing_ok=True)
        server = start_penstock(new)
        try:
            asyncio.run(fill(HttpBroker(f"http://127.0.0.1:{server.port}"), QUEUES, pace.waiting))
        finally:
            server.end()
        new.rename(kept)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        server = start_penstock(Path(shutil.copyfile(kept, Path(folder) / kept.name)))
        try:
            return asyncio.run(measure(server, pace))
        finally:
            server.end()


async def fill(broker: HttpBroker, queues: int, messages: int) -> None:
    """Half of the messages in one queue, the others in all."""
    await broker.perform(CreateQueue("dead"))
    changes = QueueChanges(redrive=RedrivePolicy("dead", 3))
    await _each(range(queues - 1), lambda number: broker.perform(CreateQueue(f"queue-{number:04}", changes)))

    async def send(queue: str, count: int) -> None:
        for start in range(0, count, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, count))
            await broker.perform(Send(queue, tuple(Draft(f'{{"n": {n}, "text": "{"x" * 60}"}}') for n in numbers)))

    share = messages // 2 // queues
    await asyncio.gather(*(send("queue-0000", messages // 8) for _ in range(4)))
    await send("dead", share)
    await _each(range(queues - 1), lambda number: send(f"queue-{number:04}", share))
    await broker.aclose()


async def measure(server: ServerProcess, pace: Pace, queues: int = QUEUES) -> list[Figure]:
    """Measure a server that is filled."""
    url = f"http://127.0.0.1:{server.port}"
    broker = HttpBroker(url)
    await broker.perform(CreateQueue("busy"))
    behind = f"{queues:,} queues, {pace.waiting:,} messages"
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        bytes_ms = [1000 * await _first_byte(http) for _ in range(TIMES)]
        figures = [figure_of("console: the page, first byte", bytes_ms, "ms", "<= 100")]
        for name, question in QUESTIONS.items():
            taken = [1000 * await _ask(http, question) for _ in range(TIMES)]
            figures.append(
                Figure(what=f"console: {name}", value=max(taken), unit="ms at most", target=MOST_MS, low=min(taken),
                       high=max(taken), detail=f"median {statistics.median(taken):.0f} ms; {behind}")
            )  # fmt: skip
        figures += await _page(url)
        figures.append(await _cost(server, broker, http, pace))
    await broker.aclose()
    return figures


async def _each(items: range, work: Callable[[int], Awaitable[object]]) -> None:
    """Do something for each, some at a time."""
    left = iter(items)

    async def some() -> None:
        for item in left:
            await work(item)

    await asyncio.gather(*(some() for _ in range(8)))


async def _first_byte(http: httpx.AsyncClient) -> float:
    began = time.perf_counter()
    async with http.stream("GET", "/console/") as answer:
        async for _ in answer.aiter_raw():
            break
    return time.perf_counter() - began


async def _ask(http: httpx.AsyncClient, question: str) -> float:
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


async def _page(url: str) -> list[Figure]:
    """Measure how soon the overview can be used in a browser that never saw it, where there is one."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    try:
        from playwright.async_api import async_playwright
    except ModuleNotFoundError:
        program = None
    if program is None:
        return []
    taken = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(TIMES):
            context = await browser.new_context()
            page = await context.new_page()
            began = time.perf_counter()
            await page.goto(f"{url}/console/")
            await page.locator("tbody tr").first.wait_for()
            taken.append(1000 * (time.perf_counter() - began))
            await context.close()
        await browser.close()
    return [figure_of("console: the overview in a browser, nothing cached", taken, "ms", "<= 1000")]


async def _cost(server: ServerProcess, broker: HttpBroker, http: httpx.AsyncClient, pace: Pace) -> Figure:
    """Measure what two open streams cost a busy server."""
    costs: dict[bool, list[float]] = {False: [], True: []}
    for is_watched in (False, True) * pace.pairs:
        watching = asyncio.create_task(_watch(http)) if is_watched else None
        await _work(broker, 0.5)
        before = server.processor_seconds
        rounds = await _work(broker, pace.seconds)
        costs[is_watched].append((server.processor_seconds - before) / rounds)
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    ratios = [watched / quiet - 1 for quiet, watched in zip(costs[False], costs[True], strict=True)]
    quiet = statistics.median(costs[False])
    detail = f"{1e6 * quiet:.0f} us a round of {ROUND_MESSAGES} messages sent, received and deleted"
    return figure_of("console: what an open overview and queue cost", ratios, "of processor", "<= 0.05", detail)


async def _work(broker: HttpBroker, seconds: float) -> int:
    """Send, receive and settle for a while; return how many rounds."""
    until = time.perf_counter() + seconds
    rounds = 0
    while time.perf_counter() < until:
        await broker.perform(Send("busy", (Draft("x" * 200),) * ROUND_MESSAGES))
        taken = (await broker.perform(Receive("busy", ROUND_MESSAGES))).deliveries
        await broker.perform(Settle(tuple(Settlement("busy", each.receipt_handle) for each in taken)))
        rounds += 1
    return rounds


async def _watch(http: httpx.AsyncClient) -> None:
    """Be an open page: the overview and the busy queue."""

    async def follow(question: str) -> None:
        while True:
            async with http.stream("GET", f"/console/api/{question}") as answer:
                async for _ in answer.aiter_bytes():
                    pass

    await asyncio.gather(follow("overview"), follow("queue?queue=busy"))


async def _filled_and_measured(server: ServerProcess, queues: int, pace: Pace) -> list[Figure]:
    broker = HttpBroker(f"http://127.0.0.1:{server.port}")
    if not (await broker.perform(ListQueues(limit=1))).queues:
        await fill(HttpBroker(f"http://127.0.0.1:{server.port}"), queues, pace.waiting)
    await broker.aclose()
    return await measure(server, pace, queues)


def main() -> None:
    """Measure on the store of a URL, which is filled if it is empty."""
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__)
    parser.add_argument("store", metavar="URL")
    parser.add_argument("--queues", type=int, default=QUEUES)
    parser.add_argument("--messages", type=int, default=FULL.waiting)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    server = start_penstock(options.store)
    try:
        pace = Pace(options.pairs, options.seconds, options.messages)
        show(asyncio.run(_filled_and_measured(server, options.queues, pace)))
    finally:
        server.end()


if __name__ == "__main__":
    main()
