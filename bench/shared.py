"""Stores for more than one machine: workers on Redis and PostgreSQL beside their peers, servers on Redis beside SQLite.

Redis keeps everything in memory only, for Penstock as for its peers. PostgreSQL and SQLite flush before they answer.
"""

import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from msgspec import structs

from bench.client import Plan
from bench.figures import Figure, figure_of
from bench.jobs.contenders import (
    BULLMQ,
    HUEY_ON_REDIS,
    ON_POSTGRES,
    ON_REDIS,
    ON_REDIS_AS_BULLMQ,
    ON_REDIS_WITH_RESULTS,
    PEERS,
    PROCRASTINATE,
)
from bench.jobs.running import redis
from bench.jobs.turns import beside, by_turns, drain, starting_of
from bench.measuring import Pace
from bench.servers import BUILD, ServerProcess, load, penstock, start_penstock

_CELERY, _DRAMATIQ, _HUEY = (
    next(peer for peer in PEERS if peer.module == name) for name in ("celery", "dramatiq", "huey")
)


def draining(pace: Pace) -> list[Figure]:
    """Drain no-ops with workers in two processes."""
    ours = (ON_REDIS, ON_REDIS_AS_BULLMQ, ON_REDIS_WITH_RESULTS, ON_POSTGRES)
    rates = by_turns("drain", (*ours, _DRAMATIQ, BULLMQ, _CELERY, PROCRASTINATE), drain, pace)
    on_redis = {"dramatiq": ">= 3", "bullmq": ">= 2", "celery": ">= 15"}
    on_postgres = {"dramatiq": ">= 0.8", "procrastinate": ">= 5"}
    figures = beside("drain", ON_REDIS, (_DRAMATIQ, BULLMQ, _CELERY), rates, on_redis)
    figures += beside("drain", ON_REDIS_AS_BULLMQ, (BULLMQ,), rates, {"bullmq": ">= 2"})
    figures += beside("drain", ON_REDIS_WITH_RESULTS, (_DRAMATIQ, BULLMQ, _CELERY), rates, {})
    return figures + beside("drain", ON_POSTGRES, (_DRAMATIQ, PROCRASTINATE), rates, on_postgres)


def sending(pace: Pace) -> list[Figure]:
    """Send jobs one by one, and many."""
    contenders = (ON_REDIS, ON_POSTGRES, _DRAMATIQ, BULLMQ, _HUEY, HUEY_ON_REDIS, PROCRASTINATE)
    one = by_turns("send one by one", contenders, lambda place: 3000 / place.send("one", 3000), pace)
    ours = by_turns("send many", (ON_REDIS, ON_POSTGRES), lambda place: 20_000 / place.send("many", 20_000), pace)
    figures = beside("send one by one", ON_REDIS, (_HUEY, HUEY_ON_REDIS, _DRAMATIQ, BULLMQ), one, {"huey": ">= 1"})
    figures += beside("send one by one", ON_POSTGRES, (_HUEY, PROCRASTINATE), one, {})
    for contender in (ON_REDIS, ON_POSTGRES):
        ratios = [our / their for our, their in zip(ours[contender.name], one["Dramatiq"], strict=True)]
        target = ">= 5" if contender is ON_REDIS else ""
        detail = f"{median(ours[contender.name]):,.0f}/s"
        what = f"send many, {contender.name} by Dramatiq's send"
        figures.append(figure_of(what, ratios, "x Dramatiq", target, detail))
    return figures


def starting(pace: Pace) -> list[Figure]:
    """From send to start on an idle worker."""
    return [*starting_of(ON_REDIS, 1.4, 6), *starting_of(ON_POSTGRES)]


def serving(pace: Pace) -> list[Figure]:
    """Single sends over SQS to two servers on one Redis, beside one server on SQLite, with as many connections."""
    ratios, redis_rates, sqlite_rates = [], [], []
    for _ in range(pace.pairs):
        with penstock() as alone:
            on_sqlite = load(Plan(port=alone.port, script="send", seconds=pace.seconds))
        with _two_on_redis() as servers:
            on_redis = _load_both(servers, Plan(port=0, script="send", connections=16, seconds=pace.seconds))
        redis_rates.append(on_redis)
        sqlite_rates.append(on_sqlite.requests)
        ratios.append(on_redis / on_sqlite.requests)
        print(f"  redis {on_redis:,.0f}/s beside sqlite {on_sqlite.requests:,.0f}/s", file=sys.stderr)
    detail = f"{median(redis_rates):,.0f}/s beside {median(sqlite_rates):,.0f}/s"
    return [figure_of("send, singles, two servers on Redis by one on SQLite", ratios, "x SQLite", ">= 1", detail)]


@contextmanager
def _two_on_redis() -> Iterator[list[ServerProcess]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=BUILD)))
        url = stack.enter_context(redis(folder))
        servers = [start_penstock(url) for _ in range(2)]
        for server in servers:
            stack.callback(server.end)
        yield servers


def _load_both(servers: list[ServerProcess], plan: Plan) -> float:
    with ThreadPoolExecutor(len(servers)) as threads:
        asked = [threads.submit(load, structs.replace(plan, port=server.port)) for server in servers]
        return sum(each.result().requests for each in asked)
