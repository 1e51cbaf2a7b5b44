"""What is measured, and the targets of Penstock's durable default (two processors shared with the load client)."""

import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from bench.client import Plan
from bench.figures import Figure, figure_of
from bench.filling import ORDERED, PLAIN, copy, filled
from bench.measuring import Pace, Pair, Side, about, compare, running
from bench.requests import ACCESS_KEY_ID, SECRET
from bench.scripts import GROUPS
from bench.servers import BUILD, ServerProcess, floor, load, penstock, start_penstock

KEYS = f"{ACCESS_KEY_ID}:{SECRET}"


def rates(pace: Pace) -> list[Figure]:
    """Requests and messages a second over 32 connections, beside the floor."""
    figures = []
    with floor() as server:
        base = Side(running(server), Plan(port=0, script="send", is_constant=True, seconds=pace.seconds / 2))

        def beside(what: str, script: str, fill_count: int = 0, warm_up_seconds: float = 0.5) -> list[Pair]:
            plan = Plan(
                port=0, script=script, seconds=pace.seconds, fill_count=fill_count, warm_up_seconds=warm_up_seconds
            )
            return compare(what, base, Side(penstock, plan), pace)

        with floor("--ours") as ours:
            plan = Plan(port=0, script="send", is_constant=True, seconds=pace.seconds / 2)
            pairs = compare("a constant, Penstock's connections", base, Side(running(ours), plan), pace)
        what = "a constant from Penstock's own connections"
        figures.append(figure_of(what, [each.ratio() for each in pairs], "x floor", "", about(pairs)))
        enough = round(10_000 * pace.seconds)
        for what, target, pairs in (
            ("send, singles", ">= 0.45", beside("send", "send")),
            ("receive, singles", "", beside("receive", "receive", enough)),
            ("delete, singles", "", beside("delete", "delete", enough, 0)),
            ("send, receive, delete, singles", ">= 0.40", beside("cycle", "cycle")),
        ):
            figures.append(figure_of(what, [each.ratio() for each in pairs], "x floor", target, about(pairs)))
        for what, script, target in (
            ("send, tens", "send_batch", ">= 1.5"),
            ("send, receive, delete, tens", "cycle_batch", ">= 0.7"),
        ):
            pairs = beside(script, script)
            ratios = [each.ratio(lambda figures: figures.messages) for each in pairs]
            figures.append(figure_of(what, ratios, "msg x floor", target, about(pairs)))
    return figures


def latency(pace: Pace) -> list[Figure]:
    """How long one durable send takes on one connection that does nothing else."""
    with floor() as server:
        base = Plan(port=0, script="send", connections=1, is_constant=True, seconds=pace.seconds / 2)
        plan = Plan(port=0, script="send", connections=1, seconds=pace.seconds)
        pairs = compare("one connection", Side(running(server), base), Side(penstock, plan), pace)
    beside = f"floor p50 {median(each.base.p50_ms for each in pairs):.2f} ms"
    return [
        figure_of("durable send, p50", [each.other.p50_ms for each in pairs], "ms", "<= 1.5", beside),
        figure_of("durable send, p99", [each.other.p99_ms for each in pairs], "ms"),
    ]


def authentication(pace: Pace) -> list[Figure]:
    """What it costs to verify signatures: the same signed sends to a server with keys and to one without."""
    plan = Plan(port=0, script="send", is_signed=True, seconds=pace.seconds)

    @contextlib.contextmanager
    def with_keys() -> Iterator[ServerProcess]:
        with penstock(keys=KEYS) as server:
            yield server

    pairs = compare("signed sends", Side(penstock, plan), Side(with_keys, plan), pace)
    ratios = [each.ratio() for each in pairs]
    return [figure_of("send with SigV4 checked", ratios, "x without", ">= 0.85", about(pairs))]


def waiting(pace: Pace) -> list[Figure]:
    """Rates, restart and memory with very many messages waiting, beside the same with none."""
    figures: list[Figure] = []
    for is_fifo in (False, True):
        kind = f"FIFO, {GROUPS:,} groups" if is_fifo else "standard"
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            path = copy(filled(pace.waiting, is_fifo=is_fifo), Path(folder))
            figures += _restart(path, kind, pace, is_fifo=is_fifo)
            with penstock(path) as full:
                figures += _with_and_without(full, kind, pace, is_fifo=is_fifo)
                what = f"memory after load, {pace.waiting:,} waiting ({kind})"
                figures.append(Figure(what=what, value=full.rss_mib, unit="MiB", target="<= 120"))
    return figures


def idle(pace: Pace) -> list[Figure]:
    """Memory of a server that has nothing, and the processor time of one with 100 receivers waiting."""
    figures = []
    with penstock() as server:
        sleep(1)
        figures.append(Figure(what="memory, idle", value=server.rss_mib, unit="MiB", target="<= 70"))
        seconds = 5 * pace.seconds
        plan = Plan(port=server.port, script="wait", connections=100, seconds=seconds, warm_up_seconds=1)
        before = server.processor_seconds
        load(plan)
        used = (server.processor_seconds - before) / seconds
        figures.append(
            Figure(
                what="processor, 100 receivers waiting",
                value=100 * used,
                unit="% of a core",
                target="<= 1",
                detail=f"over {seconds:g} s, connecting and asking included",
            )
        )
        load(Plan(port=server.port, script="cycle", seconds=pace.seconds))
        figures.append(Figure(what="memory, idle after load", value=server.rss_mib, unit="MiB"))
    return figures


def _with_and_without(full: ServerProcess, kind: str, pace: Pace, *, is_fifo: bool) -> list[Figure]:
    figures = []
    queue = ORDERED if is_fifo else PLAIN
    for what, script in (
        ("send, singles", "send"),
        ("send, tens", "send_batch"),
        ("send, receive, delete, singles", "cycle"),
        ("send, receive, delete, tens", "cycle_batch"),
    ):
        plan = Plan(port=0, script=script, queue=queue, is_fifo=is_fifo, seconds=pace.seconds)
        there = Plan(port=0, script=script, queue=queue, is_fifo=is_fifo, seconds=pace.seconds, is_queue_there=True)
        pairs = compare(f"{what}, {kind}", Side(penstock, plan), Side(running(full), there), pace)
        ratios = [each.other.messages / each.base.messages for each in pairs]
        title = f"{what}, {pace.waiting:,} waiting ({kind})"
        figures.append(figure_of(title, ratios, "x with none", ">= 0.8", about(pairs)))
    return figures


def _restart(path: Path, kind: str, pace: Pace, *, is_fifo: bool) -> list[Figure]:
    """Kill the server amid sends, and take the time until a new one has answered a receive."""
    queue = ORDERED if is_fifo else PLAIN
    times, memory = [], []
    for number in range(3):
        server = start_penstock(path)
        plan = Plan(
            port=server.port,
            script="send",
            queue=queue,
            is_fifo=is_fifo,
            seconds=1,
            is_queue_there=True,
            first_number=(number + 1) * 10**11,
        )
        load(plan)
        server.end(signal.SIGKILL)
        started_at = perf_counter()
        server = start_penstock(path)
        load_one = Plan(
            port=server.port, script="receive_one", queue=queue, connections=1, is_queue_there=True, warm_up_seconds=0
        )
        load(load_one)
        times.append(perf_counter() - started_at)
        memory.append(server.rss_mib)
        server.end()
    title = f"{pace.waiting:,} waiting ({kind})"
    return [
        figure_of(f"restart after SIGKILL to the first message, {title}", times, "s", "<= 3"),
        figure_of(f"memory after restart, {title}", memory, "MiB", "<= 120"),
    ]
